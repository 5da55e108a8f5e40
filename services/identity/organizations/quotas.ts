import type { QueryResultRow } from "pg";
import type { Contract } from "../../../mixins/contract/contract.ts";
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
  { env, contracts }: Runtime,
  ctx: Ctx<"identity.getUsage">,
): Promise<Result<"identity.getUsage">> {
  const { tx, principal } = ctx.locals;
  // asked before this transaction holds a connection
  const [{ records }, files] = await Promise.all([
    ctx.call("records.getUsage", {}),
    ctx.call("imports.getUsage", {}),
  ]);
  const [[organization], users, [calls], deprecated] = await Promise.all([
    tx.query<{ plan: string }>({ text: "SELECT plan FROM control.organizations" }),
    countUsers(tx, principal.organizationId),
    tx.query<{ calls: number }>({
      text: `SELECT calls::float8 AS calls FROM control.api_usage WHERE day = (now() AT TIME ZONE 'UTC')::date`,
    }),
    tx.query<DeprecatedCalls>({
      text: `SELECT action, sum(calls)::float8 AS calls, max(day)::text AS "lastCalledOn" FROM control.deprecated_calls
        WHERE day > (now() AT TIME ZONE 'UTC')::date - 30 GROUP BY action ORDER BY 2 DESC, 1`,
    }),
  ]);
  if (!organization) throw organizationNotFound();
  const limits = limitsOf(organization.plan);
  return {
    plan: organization.plan,
    users: { used: users, limit: limits.users },
    leads: { used: records.lead ?? 0, limit: limits.records },
    records: Object.fromEntries(
      Object.entries(records).map(([kind, used]) => [kind, { used, limit: limits.records }]),
    ),
    storageBytes: { used: files.storageBytes, limit: limits.storageBytes },
    apiCallsPerDay: { used: calls?.calls ?? 0, limit: limits.apiCallsPerDay },
    requestsPerMinute: Math.floor(env.RATE_LIMIT_PER_MINUTE_ORGANIZATION * limits.rateFactor),
    deprecatedCalls: deprecated.flatMap((called) => deprecatedRoute(contracts, called)),
  };
}

interface DeprecatedCalls extends QueryResultRow {
  action: string;
  calls: number;
  lastCalledOn: string;
}
/** A route that is still there and deprecated, with its calls. */
function deprecatedRoute(contracts: readonly Contract[], { action, ...called }: DeprecatedCalls) {
  const [service, name = ""] = action.split(".");
  const spec = contracts.find((contract) => contract.name === service)?.actions[name];
  if (!spec?.deprecated || spec.rest === undefined) return [];
  return [{ route: spec.rest, use: spec.deprecated.use, sunset: spec.deprecated.sunset, ...called }];
}
