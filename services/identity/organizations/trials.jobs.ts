import { requireTrustedClock } from "../../../mixins/concurrency/clock-watch.ts";
import { enqueue, record, type JobCtx } from "../../contracts.ts";

const atOnce = 500;
/** What an organization is on once its trial has ended. */
const afterTrial = "expired";

/** Ends the trials that are over; each organization's feed tells of it. */
export async function expireTrials(ctx: JobCtx<"identity.expireTrials">): Promise<void> {
  const { tx } = ctx.locals;
  await requireTrustedClock(tx);
  const ended = await tx.query<{ id: string; version: number; trial_ends_at: string }>({
    text: `UPDATE control.organizations SET plan = $1, version = version + 1, updated_at = now()
      WHERE id IN (SELECT id FROM control.organizations WHERE plan = 'trial' AND trial_ends_at <= now()
        ORDER BY trial_ends_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED)
      RETURNING id, version, trial_ends_at`,
    values: [afterTrial, atOnce],
  });
  for (const { id, version, trial_ends_at: trialEndedAt } of ended)
    enqueue(tx, "identity.announceTrialEnd", { version, trialEndedAt }, { key: id, organizationId: id });
  if (ended.length === atOnce) enqueue(tx, "identity.expireTrials", ctx.params, { key: "rest" });
}

/** Organizations live in the control database, feeds in the shards: a job carries the news. Repeated, it finds its event. */
export async function announceTrialEnd(ctx: JobCtx<"identity.announceTrialEnd">): Promise<void> {
  const { tx } = ctx.locals;
  const { version, trialEndedAt } = ctx.params;
  const known = await tx.query({
    text: `SELECT FROM events WHERE entity_id = $1 AND type = 'organization.trial_ended' LIMIT 1`,
    values: [tx.organizationId],
  });
  if (known.length > 0) return;
  record(tx, {
    type: "organization.trial_ended",
    entity: { kind: "organization", id: tx.organizationId, version },
    actorId: null,
    audience: null,
    data: { plan: afterTrial, trialEndedAt },
  });
}
