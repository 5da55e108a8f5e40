import type { Database } from "../../mixins/database/database.ts";
import { enqueue, type JobCtx } from "../contracts.ts";
import { offsetsOf } from "../../mixins/contract/time-zone.ts";
import { dayRules } from "./analytics.rules.ts";
import { recount, touchedDays } from "./lead-days.repository.ts";
import { findStale, headOf, lockRefresh, noteRefresh } from "./refreshes.repository.ts";

const organizationsAtOnce = 1_000;
/** More events than this are not read: everything is counted anew. */
const mostEvents = 20_000;

/** Adds a job for each organization whose figures are behind. */
export async function refresh(_ctx: JobCtx<"analytics.refresh">, database: Database): Promise<void> {
  await database.eachShard((shard) =>
    database.transaction(shard, async (tx) => {
      for (const organizationId of await findStale(tx, organizationsAtOnce))
        enqueue(tx, "analytics.refreshOrganization", {}, { key: "refresh", organizationId });
    }),
  );
}

/**
 * Counts anew, in one transaction, the days that the events since the last time are about; everything the first time, after
 * a change of the time zone or of its rules, and when these events are too many or no longer kept. Repeated, it finds nothing to do; of
 * two at once the second waits.
 *
 * An event has its place only after its commit, so the leads that are counted are never older than the feed up to `seq`.
 */
export async function refreshOrganization(
  ctx: JobCtx<"analytics.refreshOrganization">,
  database: Database,
): Promise<void> {
  const { tx } = ctx.locals;
  // the place is read first: an event behind it tells of a change of the time zone that is read too early
  const seq = await headOf(database.reader(tx.organizationId));
  const organization = await ctx.call("identity.getOrganization", {});
  const rules = dayRules(organization.timezone);
  const offsets = offsetsOf(organization.timezone);
  const last = await lockRefresh(tx);
  if (last.seq >= seq) return;
  const isSameDays = last.rules === rules;
  const days =
    isSameDays && seq - last.seq <= mostEvents
      ? await touchedDays(tx, { after: last.seq, seq, offsets })
      : null;
  await recount(tx, offsets, days);
  noteRefresh(tx, { seq, rules });
}
