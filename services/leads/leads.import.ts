import { v7 as uuidv7 } from "uuid";
import { erasedAmong, markHash } from "../../mixins/privacy/erased-persons.ts";
import { errorType, type FieldError } from "../../mixins/contract/errors.ts";
import { leadsCreated } from "../../mixins/process/metrics.ts";
import { timeInput } from "../../mixins/contract/schemas.ts";
import { phoneForms } from "../../mixins/values/phone.ts";
import { valueTaken } from "../../mixins/records/custom/custom.errors.ts";
import type { CallFields } from "../../mixins/records/custom/of-call.ts";
import { emailMark, phoneMark } from "../../mixins/privacy/personal-data.ts";
import { fieldErrors } from "../../mixins/contract/field-errors.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { type Ctx, type Result } from "../contracts.ts";
import { leadFields, type Desk } from "./desk.ts";
import {
  fenceImport,
  findMatches,
  moveCheckpoint,
  recordChanges,
  recordRejections,
  takeTurn,
  type Rejection,
} from "./import.repository.ts";
import { ImportPlan, keysOf, type ImportedLead, type ImportInput } from "./import.rules.ts";
import { lead as leadKind, type LeadRow } from "../../entities/lead.ts";
import {
  externalIdTaken,
  importFenced,
  importOvertaken,
  importTooLarge,
  sensitiveNotImported,
} from "./leads.errors.ts";
import { changesBetween, normalForm } from "../../mixins/records/changes.ts";
import { about } from "../../mixins/records/desk.ts";
import { leadStore } from "./leads.store.ts";
import { assignByPools, membersOf } from "./pools.assignment.ts";

type ImportContext = Ctx<"leads.importBatch">;
type ImportRow = ImportContext["params"]["rows"][number];

/**
 * Writes the next rows of an import with the import's new counts, in one transaction: either all of it happened or
 * nothing did, so a run that died is resumed from `processed` and no row is written twice. The import's row is locked
 * first; a run that was overtaken (another epoch, another checkpoint) writes nothing.
 */
export async function importBatch(ctx: ImportContext, desk: Desk): Promise<Result<"leads.importBatch">> {
  const { principal, tx } = ctx.locals;
  const { importId, onDuplicate, matchBy, isDryRun, rows } = ctx.params;
  const settings = await desk.settings.of(tx.organizationId);
  const cipher = await desk.keys.of(tx.organizationId);
  const judged = rows
    .map(judgeRow)
    .map((row) => ({ ...row, hashes: marksOfInput(row.input).map((mark) => markHash(cipher, mark)) }));
  const hashes = judged.flatMap((row) => row.hashes);
  const quota = await desk.quota.of(tx.organizationId, leadKind);
  const inputs = judged.flatMap(({ input }) => (input ? [input] : []));
  const fields = await leadFields(ctx, desk);
  for (const input of inputs) {
    const key = fields.sensitiveNamedBy(input);
    if (key !== undefined) throw sensitiveNotImported(key);
  }
  await fields.prepare(ctx, inputs);
  for (const row of judged) fitCustomFields(row, fields);
  const assignees = inputs.flatMap(({ assignedTo }) => assignedTo ?? []);
  const active = await desk.users.among(ctx, new Set([...assignees, ...membersOf(settings.pools)]));

  const identity = { organizationId: tx.organizationId, now: tx.now.toISOString(), importId };
  const planFor = (
    matches: LeadRow[],
    erased: ReadonlySet<string>,
  ): { plan: ImportPlan; rejections: Rejection[]; remarks: Rejection[] } => {
    const plan = new ImportPlan({ onDuplicate, matchBy }, matches, settings.scoring, identity);
    const rejections: Rejection[] = [];
    // rows that are said something of, and are not refused
    const remarks: Rejection[] = [];
    for (const row of judged) {
      if (row.hashes.some((hash) => erased.has(hash.toString("hex")))) {
        // the row of the file is not kept either
        rejections.push({ rowNumber: row.rowNumber, record: {}, reason: erasedPerson });
        continue;
      }
      const { rowNumber, record } = row;
      const { refused, skipped, notes } =
        row.input === undefined
          ? { refused: row.reason, notes: row.notes }
          : takeRow(plan, row, row.input, active);
      if (refused !== undefined)
        rejections.push({ rowNumber, record, reason: [refused, ...notes].join("; ") });
      else if (skipped !== undefined) remarks.push({ rowNumber, record, reason: skipped });
      else if (notes.length > 0)
        remarks.push({ rowNumber, record, reason: `imported without ${notes.join("; ")}` });
    }
    return { plan, rejections, remarks };
  };
  const keys = keysOf(inputs, onDuplicate, matchBy);
  // a row touches three leads at most: what cannot be halved any more is taken as it is
  const isWhole = rows.length === 1;
  const routed = new Map<string, string | null>();
  if (!isDryRun && settings.pools.length > 0) {
    // turns are taken before the transaction, for the leads that a look says will be new
    const reader = desk.database.reader(tx.organizationId);
    const [seen, erasedNow] = await Promise.all([
      findMatches(reader, keys, { lock: false, isWhole }),
      erasedAmong(reader, hashes),
    ]);
    if (seen.isCut) throw importTooLarge();
    const look = planFor(seen.rows, erasedNow);
    const leads = look.plan.created().map(({ row }) => row);
    await assignByPools(
      ctx,
      settings.pools,
      leads,
      active,
      `import ${importId} ${ctx.params.processedBefore}`,
    );
    for (const lead of leads) routed.set(lead.id, lead.assigned_to);
  }

  const [, isCurrent, erased, matches] = await Promise.all([
    isDryRun || takeTurn(tx),
    fenceImport(tx, ctx.params),
    erasedAmong(tx, hashes),
    findMatches(tx, keys, { lock: onDuplicate === "update" && !isDryRun, isWhole }),
  ]);
  if (!isCurrent) throw importFenced();
  if (matches.isCut) throw importTooLarge();
  const { plan, rejections, remarks } = planFor(matches.rows, erased);

  if (!isDryRun) {
    const created = plan.created();
    quota.take(created.length);
    for (const { row } of created) {
      // a lead that the look took for a duplicate: looked at again, it gets its turn
      if (settings.pools.length > 0 && !routed.has(row.id)) throw importOvertaken();
      row.assigned_to ??= routed.get(row.id) ?? null;
    }
    const marks = created.map(({ row }) => ({ id: row.id, apart: fields.marksOf({ ...row }) }));
    const clashing = await fields.clashing(tx, marks);
    const free = created.filter(({ row }) => !clashing.has(row.id));
    const inserted = await leadStore.insertFree(
      tx,
      free.map(({ row }) => row),
    );
    const changed = plan.changed();
    leadStore.update(
      tx,
      changed.map(({ row }) => row),
      importOvertaken,
    );
    // somebody took the external id between our look and our insert
    for (const lead of created.filter(({ row }) => !inserted.has(row.id))) {
      const { message } = clashing.has(lead.row.id) ? valueTaken(leadKind) : externalIdTaken();
      rejections.push(...plan.withdraw(lead).map((one) => ({ ...one, reason: message })));
    }
    const written = [...created.filter(({ row }) => inserted.has(row.id)), ...changed];
    fields.store(
      tx,
      written.map(({ row }) => ({ id: row.id, apart: fields.marksOf({ ...row }) })),
    );
    for (const lead of written) tell(tx, lead, principal.userId, fields);
    recordChanges(tx, importId, written);
    tx.afterCommit(() => leadsCreated.inc({ origin: "import" }, inserted.size));
  }
  const counts = { ...plan.counts, failed: rejections.length };
  const refusedRows = new Set(rejections.map(({ rowNumber }) => rowNumber));
  recordRejections(tx, importId, [
    ...rejections,
    ...remarks.filter(({ rowNumber }) => !refusedRows.has(rowNumber)),
  ]);
  moveCheckpoint(tx, importId, rows.length, counts);
  return counts;
}

/** What does not fit the definitions of custom fields is left out of a row, and told of. */
function fitCustomFields(row: ReturnType<typeof judgeRow>, fields: CallFields): void {
  if (row.input === undefined) return;
  const { input, problems } = fields.acceptFitting(row.input);
  row.input = input;
  row.notes = [...row.notes, ...problems.map(({ path, message }) => `${path}: ${message}`)];
}

const erasedPerson = "erased_person: this person was erased on request and is not imported again";

const marksOfInput = (input: ImportInput | undefined): string[] => [
  ...(input?.email ? [emailMark(input.email)] : []),
  ...(input?.phone ? phoneForms(input.phone).map(phoneMark) : []),
];

/** A row with its input when that is valid, else with the reason why not; `id` is its lead's if it becomes one. */
function judgeRow({ rowNumber, record, input, error, notes = [] }: ImportRow) {
  const known = { id: uuidv7(), rowNumber, record, notes };
  const rejected = (reason: string) => ({ ...known, input: undefined, reason });
  if (error !== undefined) return rejected(error);
  const { fields, convertedAt } = withoutConversion(input);
  const parsed = leadKind.newInput.safeParse(fields);
  const { input: valid, problems } = parsed.success
    ? normalForm(leadKind, parsed.data)
    : { input: undefined, problems: fieldErrors(parsed.error) };
  if (valid === undefined || problems.length > 0) return rejected(sentenceOf(problems));
  return { ...known, input: { ...valid, ...(convertedAt && { convertedAt }) }, reason: "" };
}

/** Callers of the API convert leads; a file may tell that one was converted elsewhere, at a time or some time. */
function withoutConversion(input: unknown): { fields: unknown; convertedAt?: string } {
  if (typeof input !== "object" || input === null) return { fields: input };
  const { convertedAt, ...fields } = input as Record<string, unknown>;
  if (fields.status !== "converted") return { fields };
  delete fields.status;
  return { fields, convertedAt: timeInput.safeParse(convertedAt).data ?? new Date().toISOString() };
}

/** Adds a valid row to the plan; answers why it was refused or skipped, if it was, and what of it does not come in. */
function takeRow(
  plan: ImportPlan,
  { id, rowNumber, record, notes: known }: ReturnType<typeof judgeRow>,
  { assignedTo, ...rest }: ImportInput,
  active: ReadonlySet<string>,
): { refused?: string; skipped?: string | undefined; notes: string[] } {
  const isKnown = !assignedTo || active.has(assignedTo);
  const notes = isKnown
    ? known
    : [...known, `assignedTo: ${assignedTo} is no active user of the organization`];
  try {
    const input = isKnown && assignedTo !== undefined ? { ...rest, assignedTo } : rest;
    return { skipped: plan.take({ rowNumber, record }, input, id), notes };
  } catch (error) {
    if (errorType(error) === undefined) throw error;
    const { data, message } = error as Error & { data?: { errors?: FieldError[] } };
    return { refused: data?.errors ? sentenceOf(data.errors) : message, notes };
  }
}

const sentenceOf = (problems: readonly FieldError[]): string =>
  problems.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`)).join("; ");

function tell(
  tx: UnitOfWork,
  { row, before }: ImportedLead,
  actorId: string | null,
  fields: CallFields,
): void {
  const event = { kind: leadKind, row, actorId, fields };
  if (before === null) return about(tx, { ...event, verb: "created" });
  about(tx, { ...event, verb: "updated", changes: changesBetween(leadKind, before, row) });
}
