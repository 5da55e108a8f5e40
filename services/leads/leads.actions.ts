import { v7 as uuidv7 } from "uuid";
import { canSee } from "../../mixins/access/principal.ts";
import { invalid } from "../../mixins/contract/errors.ts";
import type { Values } from "../../mixins/records/listing.ts";
import { givenFields, requireVersion } from "../../mixins/records/input.ts";
import { firstOwner, requireMayAssign } from "../../mixins/records/ownership.ts";
import { mergeKeys } from "../../mixins/records/changes.ts";
import { readPage } from "../../mixins/records/page.ts";
import { requireReferences } from "../../mixins/records/references.ts";
import { leadsCreated } from "../../mixins/process/metrics.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { Principal } from "../../mixins/access/principal.ts";
import { visibleRows } from "../../mixins/access/visibility.ts";
import { record, type Ctx, type Result } from "../contracts.ts";
import { leadFields, type Desk } from "./desk.ts";
import type { LeadRow } from "./lead-row.ts";
import { leadListing, type LeadView } from "./lead.schemas.ts";
import { leadNotFound, leadOvertaken, poolEmpty, unknownPool } from "./leads.errors.ts";
import { leadEvent } from "./leads.events.ts";
import {
  claimExternalIds,
  findByExternalId,
  lockByExternalId,
  getLead,
  hasExternalId,
  insertFreeLeads,
  lockAnyLead,
  lockLead,
  updateLeads,
} from "./leads.repository.ts";
import { changeLead, composeLead, leads, normalise, withSensitive, type LeadChange } from "./leads.rules.ts";
import { leadView } from "./leads.view.ts";
import { leadReferences } from "./lead-references.ts";
import { assignByPools, membersOf, takeTurns } from "./pools.assignment.ts";

/** Which leads a list shows this principal. */
export const visibleTo =
  (principal: Principal) =>
  (values: Values): string[] => ["deleted_at IS NULL", ...visibleRows(principal, values)];

/** Lists leads by keyset; the count, if asked for, is taken beside the page. */
export async function list(ctx: Ctx<"leads.list">, desk: Desk): Promise<Result<"leads.list">> {
  const { principal, tx } = ctx.locals;
  const fields = await leadFields(ctx, desk);
  const listing = fields.listing(leadListing, ctx.params);
  const [{ data, page }] = await Promise.all([
    readPage(tx, listing, ctx.params, leadView, visibleTo(principal)),
    fields.requireKnown(tx, ctx.params),
  ]);
  return { data: await fields.show(tx, data), page };
}

/** One lead. */
export async function get(ctx: Ctx<"leads.get">, desk: Desk): Promise<LeadView> {
  const { principal, tx } = ctx.locals;
  const fields = await leadFields(ctx, desk);
  return fields.showOne(tx, leadView(await getLead(tx, principal, ctx.params.id)));
}

/** The lead with an external id. */
export async function getByExternalId(ctx: Ctx<"leads.getByExternalId">, desk: Desk): Promise<LeadView> {
  const { principal, tx } = ctx.locals;
  const fields = await leadFields(ctx, desk);
  const found = await findByExternalId(tx, ctx.params.externalId);
  if (!found || !canSee(principal, { assignedTo: found.assigned_to })) throw leadNotFound();
  return fields.showOne(tx, leadView(found));
}

/** Changes fields of a lead and rescores it. What changes nothing makes no version and no event. */
export async function update(ctx: Ctx<"leads.update">, desk: Desk): Promise<LeadView> {
  const { principal, tx } = ctx.locals;
  const { input: given, problems } = normalise(givenFields(ctx.params));
  if (problems.length > 0) throw invalid(problems);
  const settings = await desk.settings.of(tx.organizationId);
  const fields = await leadFields(ctx, desk);
  await fields.prepare(ctx, [given]);
  const { input, apart } = fields.accept(given, { isNew: false });
  if (input.assignedTo !== undefined) requireMayAssign(leads, principal, input.assignedTo);
  await desk.users.require(ctx, input.assignedTo);
  const before = await lockLead(tx, principal, ctx.params.id);
  requireVersion(before, ctx.params.expectedVersion);
  await requireReferences(tx, leadReferences(), principal, input, fields);
  const now = tx.now.toISOString();
  const change = withSensitive(
    before,
    changeLead(before, input, settings.scoring, now),
    fields.sealedIn(apart).length > 0,
    now,
  );
  if (change) storeChange(tx, principal, before, change);
  fields.store(tx, [{ id: before.id, apart }]);
  return fields.showOne(tx, leadView(change?.row ?? before), apart);
}

/** Deletes a lead so that it can be restored. */
export async function remove(ctx: Ctx<"leads.remove">, desk: Desk): Promise<null> {
  const { principal, tx } = ctx.locals;
  const fields = await leadFields(ctx, desk);
  const before = await lockLead(tx, principal, ctx.params.id);
  requireVersion(before, ctx.params.expectedVersion);
  const now = tx.now.toISOString();
  const row = { ...before, deleted_at: now, updated_at: now, version: before.version + 1 };
  updateLeads(tx, [row]);
  fields.release(tx, [row.id]);
  record(tx, leadEvent("lead.deleted", row, principal.userId));
  return null;
}

/** Brings a deleted lead back as it was, but for an external id that another lead has taken since. */
export async function restore(ctx: Ctx<"leads.restore">, desk: Desk): Promise<LeadView> {
  const { principal, tx } = ctx.locals;
  const fields = await leadFields(ctx, desk);
  const quota = await desk.quota.of(tx.organizationId);
  const before = await lockAnyLead(tx, principal, ctx.params.id);
  if (before.deleted_at === null) return fields.showOne(tx, leadView(before));
  quota.take(1);
  const row = { ...before, deleted_at: null, updated_at: tx.now.toISOString(), version: before.version + 1 };
  await fields.claim(tx, [row.id]);
  updateLeads(tx, [row]);
  record(tx, leadEvent("lead.restored", row, principal.userId));
  return fields.showOne(tx, leadView(row));
}

/** Creates the lead with this external id, or changes it; of two at once the second changes what the first made. */
export async function upsert(ctx: Ctx<"leads.upsert">, desk: Desk): Promise<LeadView> {
  const { principal, tx } = ctx.locals;
  const { input: given, problems } = normalise({
    ...givenFields(ctx.params),
    externalId: ctx.params.externalId,
  });
  if (problems.length > 0) throw invalid(problems);
  const settings = await desk.settings.of(tx.organizationId);
  const fields = await leadFields(ctx, desk);
  await fields.prepare(ctx, [given]);
  // of a lead that is there nothing is required that is not given, and it gets no defaults
  const { input, apart } = fields.accept(given, { isNew: false });
  const assignedTo = firstOwner(leads, principal, input.assignedTo);
  await desk.users.require(ctx, assignedTo);
  const now = tx.now.toISOString();
  const fresh = composeLead(
    { ...input, assignedTo },
    { id: uuidv7(), organizationId: tx.organizationId, now },
    settings.scoring,
  );
  const quota = await desk.quota.of(tx.organizationId);
  const isExpected = ctx.params.expectedVersion !== undefined;
  // a turn is taken before the transaction, so only where a look says that the lead will be new
  const seen =
    isExpected
    || settings.pools.length === 0
    || (await hasExternalId(desk.database.reader(tx.organizationId), ctx.params.externalId));
  if (!seen) {
    const active = await desk.users.among(ctx, membersOf(settings.pools));
    await assignByPools(ctx, settings.pools, [fresh], active);
  }

  let before = await lockByExternalId(tx, ctx.params.externalId);
  await requireReferences(tx, leadReferences(), principal, input, fields);
  if (!before && !isExpected) {
    if (seen && settings.pools.length > 0) throw leadOvertaken();
    const whole = fields.accept(given, { isNew: true });
    fresh.custom_fields = mergeKeys({}, whole.input.customFields ?? {});
    quota.take(1);
    if ((await insertFreeLeads(tx, [fresh])).has(fresh.id)) {
      record(tx, leadEvent("lead.created", fresh, principal.userId));
      tx.afterCommit(() => leadsCreated.inc({ origin: "upsert" }));
      ctx.locals.isNew = true;
      fields.store(tx, [{ id: fresh.id, apart: whole.apart }]);
      return fields.showNew(leadView(fresh), whole.apart);
    }
    before = await lockByExternalId(tx, ctx.params.externalId);
  }
  if (!before || !canSee(principal, { assignedTo: before.assigned_to })) throw leadNotFound();
  requireVersion(before, ctx.params.expectedVersion);
  const change = withSensitive(
    before,
    changeLead(before, input, settings.scoring, now),
    fields.sealedIn(apart).length > 0,
    now,
  );
  if (change) storeChange(tx, principal, before, change);
  fields.store(tx, [{ id: before.id, apart }]);
  return fields.showOne(tx, leadView(change?.row ?? before), apart);
}

/** Gives a lead to a user, or takes the next turn of a pool for it. */
export async function assign(ctx: Ctx<"leads.assign">, desk: Desk): Promise<LeadView> {
  const { principal, tx } = ctx.locals;
  const { id, userId, poolId } = ctx.params;
  requireMayAssign(leads, principal, userId ?? null);
  const settings = await desk.settings.of(tx.organizationId);
  const fields = await leadFields(ctx, desk);
  await desk.users.require(ctx, userId);
  const assignedTo = userId ?? (await nextOfPool(ctx, desk, id, poolId as string));
  const before = await lockLead(tx, principal, id);
  const change = changeLead(before, { assignedTo }, settings.scoring, tx.now.toISOString());
  if (change) storeChange(tx, principal, before, change);
  return fields.showOne(tx, leadView(change?.row ?? before));
}

/** @throws 404 without such a lead, 422 without such an active pool, 403 for one with others than the principal's, 409 POOL_EMPTY */
async function nextOfPool(
  ctx: Ctx<"leads.assign">,
  desk: Desk,
  leadId: string,
  poolId: string,
): Promise<string> {
  const { principal } = ctx.locals;
  const lead = await getLead(desk.database.reader(principal.organizationId), principal, leadId);
  const { pools } = await desk.settings.of(principal.organizationId);
  const pool = pools.find(({ id }) => id === poolId) ?? { id: poolId, members: [] };
  for (const { userId } of pool.members) requireMayAssign(leads, principal, userId);
  const active = await desk.users.among(ctx, membersOf([pool]));
  const users = await takeTurns(ctx, pool, [lead], active);
  if (!users) throw unknownPool();
  const [user] = users;
  if (user === undefined) throw poolEmpty();
  return user;
}

/** Writes a change of a locked lead with its events: `lead.assigned` for the assignee, `lead.updated` for the rest. */
export function storeChange(
  tx: UnitOfWork,
  principal: Principal,
  before: LeadRow,
  { row, changes }: LeadChange,
): void {
  if (row.external_id !== before.external_id) claimExternalIds(tx, [row]);
  updateLeads(tx, [row]);
  const more = { changes, formerAssignee: before.assigned_to };
  if (row.assigned_to !== before.assigned_to)
    record(tx, leadEvent("lead.assigned", row, principal.userId, more));
  if (changes.some((field) => field !== "assignedTo"))
    record(tx, leadEvent("lead.updated", row, principal.userId, more));
}
