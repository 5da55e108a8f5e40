import { lead, type LeadRow, type LeadView } from "../../entities/lead.ts";
import { leadsCreated } from "../../mixins/process/metrics.ts";
import { composeRecord } from "../../mixins/records/changes.ts";
import { about } from "../../mixins/records/desk.ts";
import { accepted, changeOf, storeChange } from "../../mixins/records/handlers/crud.ts";
import { givenFields, newOwn, requireVersion } from "../../mixins/records/input.ts";
import { requireMayAssign } from "../../mixins/records/ownership.ts";
import { showOne } from "../../mixins/records/values.ts";
import type { Ctx } from "../contracts.ts";
import type { Desk } from "./desk.ts";
import { leadNotFound, leadOvertaken, poolEmpty, unknownPool } from "./leads.errors.ts";
import { leadRules, route, sensitiveFields } from "./leads.records.ts";
import { rescored } from "./leads.rules.ts";
import { hasExternalId, leadStore } from "./leads.store.ts";
import { membersOf, takeTurns } from "./pools.assignment.ts";

const counterOf = (desk: Desk) => ({ kind: lead, store: leadStore, desk, rules: leadRules(desk) });

/**
 * Creates the lead with this external id, or changes it; of two at once the second changes what the first made. Not as other kinds
 * do: a pool's turn is taken before the transaction, so only where a look says that the lead will be new.
 */
export async function upsert(ctx: Ctx<"leads.upsert">, desk: Desk): Promise<LeadView> {
  const { principal, tx } = ctx.locals;
  const { externalId, expectedVersion } = ctx.params;
  const counter = counterOf(desk);
  const given = { ...givenFields(ctx.params), externalId };
  const fields = await sensitiveFields(ctx, desk);
  const { input, apart } = fields.split(await accepted(counter, ctx, given, { isNew: true }));
  const settings = await desk.settings.of(tx.organizationId);
  const room = await desk.quota.of(tx.organizationId);
  const fresh = rescored(composeRecord<LeadRow>(lead, input, newOwn(tx)), settings.scoring);
  const isExpected = expectedVersion !== undefined;
  const seen =
    isExpected
    || settings.pools.length === 0
    || (await hasExternalId(desk.database.reader(tx.organizationId), externalId));
  if (!seen) await route(ctx, desk, settings, [fresh]);
  const answer = async (row: LeadRow): Promise<LeadView> => {
    await fields.store(tx, [{ id: row.id, apart }]);
    return (await showOne(counter, fields, tx, row)) as LeadView;
  };

  let before = await leadStore.findByExternalId(tx, externalId, true);
  if (!before && !isExpected) {
    if (seen && settings.pools.length > 0) throw leadOvertaken();
    room.take(1);
    if ((await leadStore.insertFree(tx, [fresh])).has(fresh.id)) {
      about(tx, { kind: lead, verb: "created", row: fresh, actorId: principal.userId });
      tx.afterCommit(() => {
        leadsCreated.inc({ origin: "upsert" });
      });
      ctx.locals.isNew = true;
      return answer(fresh);
    }
    before = await leadStore.findByExternalId(tx, externalId, true);
  }
  if (!before) throw leadNotFound();
  leadStore.visible(principal, before);
  requireVersion(before, expectedVersion);
  // whose it is stays, unless somebody is named
  const wanted = "assignedTo" in given ? input : { ...input, assignedTo: undefined };
  const change = changeOf(lead, before, { input: wanted, apart, now: tx.now.toISOString() });
  const prepared = { settings, room, routed: new Map<string, LeadRow>(), origin: "upsert" };
  return answer(change ? await storeChange(counter, ctx.locals, before, change, prepared) : before);
}

/** Gives a lead to a user, or takes the next turn of a pool for it. */
export async function assign(ctx: Ctx<"leads.assign">, desk: Desk): Promise<LeadView> {
  const { principal, tx } = ctx.locals;
  const { id, userId, poolId } = ctx.params;
  const counter = counterOf(desk);
  requireMayAssign(lead, principal, userId ?? null);
  const fields = await sensitiveFields(ctx, desk);
  const prepared = await counter.rules.prepare?.(ctx, []);
  await desk.users.require(ctx, userId);
  const assignedTo = userId ?? (await nextOfPool(ctx, desk, id, poolId as string));
  const before = await leadStore.lock(tx, principal, id);
  const input = { input: { assignedTo }, apart: new Map<string, unknown>(), now: tx.now.toISOString() };
  const change = changeOf(lead, before, input);
  const row = change && prepared ? await storeChange(counter, ctx.locals, before, change, prepared) : before;
  return (await showOne(counter, fields, tx, row)) as LeadView;
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
