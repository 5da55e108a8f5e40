import { lead, type LeadRow, type LeadView } from "../../entities/lead.ts";
import { composeRecord } from "../../mixins/records/changes.ts";
import { about } from "../../mixins/records/desk.ts";
import { ownAccepted, storeChange } from "../../mixins/records/handlers/crud.ts";
import { givenFields, newOwn, requireVersion } from "../../mixins/records/input.ts";
import { requireMayAssign } from "../../mixins/records/ownership.ts";
import { requireReferences } from "../../mixins/records/references.ts";
import type { Ctx } from "../contracts.ts";
import { leadFields, type Desk } from "./desk.ts";
import { leadNotFound, leadOvertaken, poolEmpty, unknownPool } from "./leads.errors.ts";
import { assigneesOf, leadRules, type Prepared } from "./leads.records.ts";
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
  const fields = await leadFields(ctx, desk);
  await fields.prepare(ctx, [given]);
  // of a lead that is there nothing is required that is not given, and it gets no defaults
  const known = fields.accept(given, { isNew: false });
  const input = await ownAccepted(counter, ctx, known.input, { isNew: true });
  const settings = await desk.settings.of(tx.organizationId);
  const room = await desk.quota.of(tx.organizationId);
  const own = newOwn(tx);
  const isExpected = expectedVersion !== undefined;
  const seen =
    isExpected
    || settings.pools.length === 0
    || (await hasExternalId(desk.database.reader(tx.organizationId), externalId));
  const toBe = seen ? [] : [composeRecord<LeadRow>(lead, input, own)];
  const assignees = await assigneesOf(ctx, desk, settings, toBe);
  const prepared: Prepared = { settings, room, assignees, origin: "upsert" };

  let before = await leadStore.findByExternalId(tx, externalId, true);
  await requireReferences(tx, counter, principal, input, fields);
  if (!before) await leadStore.requireNotMerged(tx, principal, externalId);
  if (!before && !isExpected) {
    if (seen && settings.pools.length > 0) throw leadOvertaken();
    room.take(1);
    const { input: whole, apart } = fields.accept(given, { isNew: true });
    const composed = composeRecord<LeadRow>(lead, { ...input, customFields: whole.customFields }, own);
    const fresh = counter.rules.complete?.(composed, prepared) ?? composed;
    if ((await leadStore.insertFree(tx, [fresh])).has(fresh.id)) {
      fields.store(tx, [{ id: fresh.id, apart }]);
      about(tx, { kind: lead, verb: "created", row: fresh, actorId: principal.userId, fields });
      await counter.rules.also?.(tx, null, { row: fresh, changes: {} }, prepared);
      ctx.locals.isNew = true;
      return fields.showNew(lead.show(fresh), apart);
    }
    before = await leadStore.findByExternalId(tx, externalId, true);
  }
  if (!before) throw leadNotFound();
  leadStore.visible(principal, before);
  requireVersion(before, expectedVersion);
  // whose it is stays, unless somebody is named
  const wanted = "assignedTo" in given ? input : { ...input, assignedTo: undefined };
  const change = { input: wanted, apart: known.apart };
  return (await storeChange(counter, { tx, principal, fields }, before, change, prepared)) as LeadView;
}

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
