import type { LeadRow } from "../../entities/lead.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { leadsCreated } from "../../mixins/process/metrics.ts";
import type { RecordContext, RecordRules } from "../../mixins/records/desk.ts";
import type { Ctx } from "../contracts.ts";
import type { Desk } from "./desk.ts";
import { decideLead, rescored, verbsOf } from "./leads.rules.ts";
import { assignByPools, membersOf } from "./pools.assignment.ts";
import type { LeadRoom } from "./quota.ts";
import { SensitiveFields } from "./sensitive-fields.ts";
import type { LeadSettings } from "./settings.ts";

/** What a call knows of leads before its transaction. */
interface Prepared {
  settings: LeadSettings;
  room: LeadRoom;
  /** Rows to be that are scored, and have an assignee where a pool wants them, by id. */
  routed: ReadonlyMap<string, LeadRow>;
  /** What new leads are counted under. */
  origin: string;
}

/** What leads decide by themselves: their score, who gets a new one, how many there may be. */
export const leadRules = (desk: Desk): RecordRules<LeadRow, Prepared> => ({
  /** Nothing is asked of anybody where the settings are at hand and no pool wants a lead: capturing stays one round trip. */
  async prepare(ctx, fresh) {
    const { organizationId } = ctx.locals.principal;
    const settings = await desk.settings.of(organizationId);
    const room = await desk.quota.of(organizationId);
    room.take(fresh.length);
    const routed = fresh.map((row) => rescored(row, settings.scoring));
    if (fresh.length > 0) await route(ctx, desk, settings, routed);
    const origin = "items" in (ctx.params as object) ? "bulk" : "api";
    return { settings, room, routed: new Map(routed.map((row) => [row.id, row])), origin };
  },
  complete: (row, { routed }) => routed.get(row.id) ?? row,
  decide: (before, change, { settings }) => decideLead(before, change, settings.scoring),
  verbs: verbsOf,
  also(tx, before, _change, { room, origin }) {
    // one that is restored takes the room of a new one
    if (before?.deleted_at != null) room.take(1);
    else if (before === null) countCreated(tx, origin);
  },
  values: async (ctx) => sensitiveFields(ctx, desk),
});

/** Gives leads without an assignee to the pools that want them. */
export async function route(
  ctx: RecordContext,
  desk: Desk,
  { pools }: Pick<LeadSettings, "pools">,
  rows: readonly LeadRow[],
): Promise<void> {
  if (pools.length === 0) return;
  const active = await desk.users.among(ctx, membersOf(pools));
  await assignByPools(ctx as Ctx<"leads.create">, pools, rows, active);
}

/** The sensitive custom fields of leads as a call sees them. */
export const sensitiveFields = async (
  ctx: Pick<RecordContext, "locals">,
  desk: Pick<Desk, "settings" | "keys" | "database">,
): Promise<SensitiveFields> =>
  SensitiveFields.of(ctx, desk, await desk.settings.of(ctx.locals.principal.organizationId));

const countCreated = (tx: UnitOfWork, origin: string) =>
  tx.afterCommit(() => {
    leadsCreated.inc({ origin });
  });
