import { lead, type LeadRow } from "../../entities/lead.ts";
import { timeInput } from "../../mixins/contract/schemas.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { leadsCreated } from "../../mixins/process/metrics.ts";
import type { RecordContext, RecordRules } from "../../mixins/records/writing/desk.ts";
import { importOvertaken } from "../../mixins/records/importing/import.errors.ts";
import { externalIdTaken } from "../../mixins/records/writing/store.ts";
import type { Ctx } from "../contracts.ts";
import type { Desk } from "./desk.ts";
import { leadOvertaken } from "./leads.errors.ts";
import { decideLead, rescored, verbsOf } from "./leads.rules.ts";
import { hasExternalId } from "./leads.store.ts";
import { assignByPools, membersOf } from "./pools.assignment.ts";
import type { LeadSettings } from "./settings.ts";

/** What a call knows of leads before its transaction. */
export interface Prepared {
  settings: LeadSettings;
  /** To whom new leads that nobody has yet go, by id, where a pool wants them. */
  assignees: ReadonlyMap<string, string | null>;
  /** What new leads are counted under. */
  origin: string;
  /** Whether pools were asked for all leads of an import that a look took for new. */
  arePoolsAsked?: boolean;
  /** Whether an upsert has seen a lead where pools might have been asked for a new one. */
  isSeen?: boolean;
}

/** What leads decide by themselves: their score, and who gets a new one. */
export const leadRules = (desk: Desk): RecordRules<LeadRow, Prepared> => ({
  /** Nothing is asked of anybody where the settings are at hand and no pool wants a lead: capturing stays one round trip. */
  async prepare(ctx, fresh) {
    const { organizationId } = ctx.locals.principal;
    const settings = await desk.settings.of(organizationId);
    // of many, those are refused before
    const [only] = settings.pools.length > 0 && fresh.length === 1 ? fresh : [];
    if (only?.external_id != null)
      if (await hasExternalId(desk.database.reader(organizationId), only.external_id))
        throw externalIdTaken(lead);
    const origin = "items" in (ctx.params as object) ? "bulk" : "api";
    return { settings, assignees: await assigneesOf(ctx, desk, settings, fresh), origin };
  },
  /** A pool's turn is taken only where a look says that the lead will be new. */
  async prepareUpsert(ctx, fresh, isExpected) {
    const { organizationId } = ctx.locals.principal;
    const settings = await desk.settings.of(organizationId);
    const hasPools = settings.pools.length > 0;
    const reader = desk.database.reader(organizationId);
    const isSeen = isExpected || (hasPools && (await hasExternalId(reader, fresh.external_id ?? "")));
    const assignees = await assigneesOf(ctx, desk, settings, isSeen ? [] : [fresh]);
    return { settings, assignees, origin: "upsert", isSeen };
  },
  async prepareImport(ctx, look) {
    const settings = await desk.settings.of(ctx.locals.principal.organizationId);
    const prepared: Prepared = { settings, assignees: new Map(), origin: "import" };
    if (settings.pools.length === 0) return prepared;
    const fresh = await look(prepared);
    const { importId, processedBefore } = ctx.params as { importId: string; processedBefore: number };
    const occasion = `import ${importId} ${processedBefore}`;
    return {
      ...{ ...prepared, arePoolsAsked: true },
      assignees: await assigneesOf(ctx, desk, settings, fresh, occasion),
    };
  },
  importReader: () => Promise.resolve(withoutConversion),
  requireNew({ isSeen, arePoolsAsked, assignees }, rows) {
    if (isSeen) throw leadOvertaken();
    // a lead that the look took for a duplicate: looked at again, it gets its turn
    if (arePoolsAsked && rows.some(({ id }) => !assignees.has(id))) throw importOvertaken(lead);
  },
  complete: (row, { settings, assignees }) =>
    rescored({ ...row, assigned_to: assignees.get(row.id) ?? row.assigned_to }, settings.scoring),
  decide: (before, change, { settings }) => decideLead(before, change, settings.scoring),
  verbs: verbsOf,
  also(tx, before, _change, { origin }) {
    if (before === null) countCreated(tx, origin);
  },
});

/** Callers of the API convert leads; a file may tell that one was converted elsewhere, at a time or some time: no contact is made of it. */
function withoutConversion(input: Readonly<Record<string, unknown>>) {
  const { convertedAt, ...fields } = input;
  if (fields.status !== "converted") return { input: fields };
  const { status, ...rest } = fields;
  const at = timeInput.safeParse(convertedAt).data ?? new Date().toISOString();
  return { input: rest, own: { status: status as "converted", converted_at: at } };
}

/**
 * Asks the pools for assignees of leads to be that have none.
 * @param occasion see assignByPools
 */
export async function assigneesOf(
  ctx: RecordContext,
  desk: Desk,
  { pools, scoring }: Pick<LeadSettings, "pools" | "scoring">,
  fresh: readonly LeadRow[],
  occasion?: string,
): Promise<ReadonlyMap<string, string | null>> {
  if (pools.length === 0 || fresh.length === 0) return new Map();
  // pools may ask for the score
  const rows = fresh.map((row) => rescored(row, scoring));
  const active = await desk.users.among(ctx, membersOf(pools));
  await assignByPools(ctx as Ctx<"leads.create">, pools, rows, active, occasion);
  return new Map(rows.map((row) => [row.id, row.assigned_to]));
}

const countCreated = (tx: UnitOfWork, origin: string) =>
  tx.afterCommit(() => {
    leadsCreated.inc({ origin });
  });
