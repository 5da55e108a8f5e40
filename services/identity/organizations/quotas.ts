import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import { limitsOf, quotaExceeded } from "../../../mixins/organizations/plans.ts";
import type { Runtime } from "../../../mixins/contract/service.ts";
import type { Ctx, Result } from "../../contracts.ts";
import { organizationNotFound } from "../identity.errors.ts";

/**
 * Refuses one more active user than the plan allows. Those who add users at once take turns until their
 * transactions end, so the limit is never passed.
 * @throws 403 QUOTA_EXCEEDED
 */
export async function requireUserRoom(tx: UnitOfWork, organizationId: string): Promise<void> {
  const { plan, limit } = await lockPlan(tx, organizationId);
  if (limit !== null && (await countUsers(tx, organizationId)) >= limit)
    throw quotaExceeded("users", { plan, limit });
}

async function lockPlan(
  tx: UnitOfWork,
  organizationId: string,
): Promise<{ plan: string; limit: number | null }> {
  const [organization] = await tx.query<{ plan: string }>({
    name: "lock_plan",
    text: "SELECT plan FROM control.organizations WHERE id = $1 FOR NO KEY UPDATE",
    values: [organizationId],
  });
  if (!organization) throw organizationNotFound();
  return { plan: organization.plan, limit: limitsOf(organization.plan).users };
}

async function countUsers(tx: UnitOfWork, organizationId: string): Promise<number> {
  const [counted] = await tx.query<{ users: number }>({
    name: "count_users",
    text: "SELECT count(*)::int AS users FROM control.users WHERE organization_id = $1 AND is_active",
    values: [organizationId],
  });
  return counted?.users ?? 0;
}

/** What the caller's organization uses of what its plan allows. */
export async function getUsage(
  { env }: Runtime,
  ctx: Ctx<"identity.getUsage">,
): Promise<Result<"identity.getUsage">> {
  const { tx, actor } = ctx.locals;
  // asked before this transaction holds a connection
  const [leads, files] = await Promise.all([
    ctx.call("leads.getUsage", {}),
    ctx.call("imports.getUsage", {}),
  ]);
  const [[organization], users, [calls]] = await Promise.all([
    tx.query<{ plan: string }>({ text: "SELECT plan FROM control.organizations" }),
    countUsers(tx, actor.organizationId),
    tx.query<{ calls: number }>({
      text: `SELECT calls::float8 AS calls FROM control.api_usage WHERE day = (now() AT TIME ZONE 'UTC')::date`,
    }),
  ]);
  if (!organization) throw organizationNotFound();
  const limits = limitsOf(organization.plan);
  return {
    plan: organization.plan,
    users: { used: users, limit: limits.users },
    leads: { used: leads.leads, limit: limits.leads },
    storageBytes: { used: files.storageBytes, limit: limits.storageBytes },
    apiCallsPerDay: { used: calls?.calls ?? 0, limit: limits.apiCallsPerDay },
    requestsPerMinute: Math.floor(env.RATE_LIMIT_PER_MINUTE_ORGANIZATION * limits.rateFactor),
  };
}
