import { lead, type LeadView } from "../../entities/lead.ts";
import { storeChange } from "../../mixins/records/handlers/crud.ts";
import { requireMayAssign } from "../../mixins/records/writing/ownership.ts";
import type { Ctx } from "../contracts.ts";
import { leadFields, type Desk } from "./desk.ts";
import { poolEmpty, unknownPool } from "./leads.errors.ts";
import { leadRules, type Prepared } from "./leads.records.ts";
import { leadStore } from "./leads.store.ts";
import { membersOf, takeTurns } from "./pools.assignment.ts";

const counterOf = (desk: Desk) => ({ kind: lead, store: leadStore, desk, rules: leadRules(desk) });

/** Gives a lead to a user, or takes the next turn of a pool for it. */
export async function assign(ctx: Ctx<"leads.assign">, desk: Desk): Promise<LeadView> {
  const { principal, tx } = ctx.locals;
  const { id, userId, poolId } = ctx.params;
  const counter = counterOf(desk);
  requireMayAssign(lead, principal, userId ?? null);
  const fields = await leadFields(ctx, desk);
  const prepared = (await counter.rules.prepare?.(ctx, [])) as Prepared;
  await desk.users.require(ctx, userId);
  const assignedTo = userId ?? (await nextOfPool(ctx, desk, id, poolId as string));
  const before = await leadStore.lock(tx, principal, id);
  const change = { input: { assignedTo }, apart: new Map() };
  return (await storeChange(counter, { tx, principal, fields }, before, change, prepared)) as LeadView;
}

/** @throws 404 without such a lead, 422 without such an active pool, 403 for one with others than the principal's, 409 POOL_EMPTY */
async function nextOfPool(
  ctx: Ctx<"leads.assign">,
  desk: Desk,
  leadId: string,
  poolId: string,
): Promise<string> {
  const { principal } = ctx.locals;
  const row = await leadStore.get(desk.database.reader(principal.organizationId), principal, leadId);
  const { pools } = await desk.settings.of(principal.organizationId);
  const pool = pools.find(({ id }) => id === poolId) ?? { id: poolId, members: [] };
  for (const { userId } of pool.members) requireMayAssign(lead, principal, userId);
  const active = await desk.users.among(ctx, membersOf([pool]));
  const users = await takeTurns(ctx, pool, [row], active);
  if (!users) throw unknownPool();
  const [user] = users;
  if (user === undefined) throw poolEmpty();
  return user;
}
