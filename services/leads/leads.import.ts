import { v7 as uuidv7 } from "uuid";
import { errorType } from "../../mixins/errors.ts";
import { leadsCreated } from "../../mixins/metrics.ts";
import { fieldErrors } from "../../mixins/service.ts";
import { record, type Ctx, type Result } from "../contracts.ts";
import type { Desk } from "./desk.ts";
import {
  fenceImport,
  moveCheckpoint,
  recordChanges,
  recordRejections,
  type Rejection,
} from "./import.repository.ts";
import { ImportPlan, keysOf, type ImportedLead } from "./import.rules.ts";
import { newLead, type LeadInput } from "./lead.schemas.ts";
import { externalIdTaken, importFenced, importOvertaken, unknownAssignee } from "./leads.errors.ts";
import { leadEvent } from "./leads.events.ts";
import { claimExternalIds, findMatches, insertFreeLeads, updateLeads } from "./leads.repository.ts";
import { normalise } from "./leads.rules.ts";
import { assignByPools, membersOf } from "./pools.assignment.ts";

type ImportContext = Ctx<"leads.importBatch">;
type ImportRow = ImportContext["params"]["rows"][number];

/**
 * Writes the next rows of an import with the import's new counts, in one transaction: either all of it happened or
 * nothing did, so a run that died is resumed from `processed` and no row is written twice. The import's row is locked
 * first; a run that was overtaken (another epoch, another checkpoint) writes nothing.
 */
export async function importBatch(ctx: ImportContext, desk: Desk): Promise<Result<"leads.importBatch">> {
  const { actor, tx } = ctx.locals;
  const { importId, onDuplicate, isDryRun, rows } = ctx.params;
  const settings = await desk.settings.of(tx.organizationId);
  const judged = rows.map(judgeRow);
  const inputs = judged.flatMap(({ input }) => (input ? [input] : []));
  const assignees = inputs.flatMap(({ assignedTo }) => assignedTo ?? []);
  const active = await desk.users.among(ctx, new Set([...assignees, ...membersOf(settings.pools)]));

  const [isCurrent, matches] = await Promise.all([
    fenceImport(tx, ctx.params),
    findMatches(tx, keysOf(inputs, onDuplicate), { lock: onDuplicate === "update" && !isDryRun }),
  ]);
  if (!isCurrent) throw importFenced();

  const plan = new ImportPlan(onDuplicate, matches, settings.scoring, {
    organizationId: tx.organizationId,
    now: tx.now.toISOString(),
    importId,
  });
  const rejections: Rejection[] = [];
  for (const { rowNumber, record, input, reason } of judged) {
    const refused = input === undefined ? reason : takeRow(plan, rowNumber, record, input, active);
    if (refused !== undefined) rejections.push({ rowNumber, record, reason: refused });
  }

  if (!isDryRun) {
    const created = plan.created();
    await assignByPools(
      tx,
      settings.pools,
      created.map(({ row }) => row),
      active,
    );
    const inserted = await insertFreeLeads(
      tx,
      created.map(({ row }) => row),
    );
    const changed = plan.changed();
    claimExternalIds(
      tx,
      changed.filter(({ row, before }) => row.external_id !== before?.external_id).map(({ row }) => row),
      importOvertaken,
    );
    updateLeads(
      tx,
      changed.map(({ row }) => row),
    );
    // somebody took the external id between our look and our insert
    for (const lead of created.filter(({ row }) => !inserted.has(row.id)))
      rejections.push(...plan.withdraw(lead).map((one) => ({ ...one, reason: externalIdTaken().message })));
    const written = [...created.filter(({ row }) => inserted.has(row.id)), ...changed];
    for (const lead of written) record(tx, eventOf(lead, actor.userId));
    recordChanges(tx, importId, written);
    tx.afterCommit(() => leadsCreated.inc({ origin: "import" }, inserted.size));
  }
  const counts = { ...plan.counts, failed: rejections.length };
  recordRejections(tx, importId, rejections);
  moveCheckpoint(tx, importId, rows.length, counts);
  return counts;
}

/** A row with its input when that is valid, else with the reason why not. */
function judgeRow({ rowNumber, record, input, error }: ImportRow) {
  const rejected = (reason: string) => ({ rowNumber, record, input: undefined, reason });
  if (error !== undefined) return rejected(error);
  const parsed = newLead.safeParse(input);
  const { input: valid, problems } = parsed.success
    ? normalise(parsed.data)
    : { input: undefined, problems: fieldErrors(parsed.error) };
  if (problems.length > 0)
    return rejected(
      problems.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`)).join("; "),
    );
  return { rowNumber, record, input: valid, reason: "" };
}

/** Adds a valid row to the plan; answers why it was refused, if it was. */
function takeRow(
  plan: ImportPlan,
  rowNumber: number,
  record: Record<string, string>,
  input: LeadInput,
  active: ReadonlySet<string>,
): string | undefined {
  try {
    if (input.assignedTo && !active.has(input.assignedTo)) throw unknownAssignee();
    plan.take({ rowNumber, record }, input, uuidv7());
    return undefined;
  } catch (error) {
    if (errorType(error) === undefined) throw error;
    return (error as Error).message;
  }
}

const eventOf = ({ row, before, changes }: ImportedLead, actorId: string | null) =>
  before === null
    ? leadEvent("lead.created", row, actorId)
    : leadEvent("lead.updated", row, actorId, { changes: [...changes], formerAssignee: before.assigned_to });
