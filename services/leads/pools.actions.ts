import { isDeepStrictEqual } from "node:util";
import { v7 as uuidv7 } from "uuid";
import type { AssignmentPool, Condition, PoolMember } from "../../entities/lead-settings.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { canSee, type Principal } from "../../mixins/access/principal.ts";
import { requireSight } from "../../mixins/access/reach.ts";
import { invalidField } from "../../mixins/contract/errors.ts";
import { requireRoomFor } from "../../mixins/organizations/limits.ts";
import { requireVersion } from "../../mixins/records/writing/input.ts";
import { readPage } from "../../mixins/records/finding/page.ts";
import { requireBytes } from "../../mixins/records/kind/record-limits.ts";
import { record, type Ctx, type Result } from "../contracts.ts";
import { requireFitting } from "./conditions.ts";
import type { Caller, Desk } from "./desk.ts";
import { poolListing, type PoolView } from "./pools.contract.ts";
import { poolNameTaken, poolNotFound } from "./leads.errors.ts";
import { announceSettings } from "./settings.ts";

interface PoolRow {
  id: string;
  name: string;
  strategy: AssignmentPool["strategy"];
  members: PoolMember[];
  criteria: Condition[];
  priority: number;
  is_active: boolean;
  created_at: string;
  updated_at: string;
  version: number;
}
const columns = "id, name, strategy, members, criteria, priority, is_active, created_at, updated_at, version";

const poolView = (row: PoolRow): PoolView => ({
  id: row.id,
  name: row.name,
  strategy: row.strategy,
  members: row.members,
  criteria: row.criteria,
  priority: row.priority,
  isActive: row.is_active,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  version: row.version,
});

/** Lists pools in the order they are tried. */
export async function listPools(ctx: Ctx<"leads.listPools">): Promise<Result<"leads.listPools">> {
  return readPage(ctx.locals.tx, poolListing, ctx.params, poolView);
}

/** One pool. */
export async function getPool(ctx: Ctx<"leads.getPool">): Promise<PoolView> {
  return poolView(await findPool(ctx.locals.tx, ctx.params.id, { lock: false }));
}

/** Of members and criteria, as JSON: every process keeps an organization's pools at hand to capture leads. */
const poolBytes = 32 * 1024;
const sizeable = ({ members, criteria }: Pick<PoolRow, "members" | "criteria">) => ({ members, criteria });

/** Makes a pool of active users whose records the caller sees. */
export async function createPool(ctx: Ctx<"leads.createPool">, desk: Desk): Promise<PoolView> {
  const { tx, principal } = ctx.locals;
  const { name, strategy, members, criteria, priority, isActive } = ctx.params;
  await requireCriteria(ctx, desk, criteria);
  requireBytes("members and criteria", sizeable(ctx.params), poolBytes);
  requirePoolSight(principal, members);
  await requireMembers(ctx, desk, members);
  await requireRoomFor(tx, "assignmentPools");
  const now = tx.now.toISOString();
  const row: PoolRow = {
    id: uuidv7(),
    name,
    strategy,
    members,
    criteria,
    priority,
    is_active: isActive,
    created_at: now,
    updated_at: now,
    version: 1,
  };
  tx.onViolation("assignment_pools_organization_id_name_key", poolNameTaken);
  tx.defer({
    text: `INSERT INTO assignment_pools (organization_id, ${columns})
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, 1)`,
    values: [tx.organizationId, row.id, ...valuesOf(row), now],
  });
  announce(ctx, "pool.created", row);
  return poolView(row);
}

/** Changes a pool; whose turn is next stays as it is. */
export async function updatePool(ctx: Ctx<"leads.updatePool">, desk: Desk): Promise<PoolView> {
  const { tx, principal } = ctx.locals;
  const { id, expectedVersion, isActive, ...given } = ctx.params;
  if (given.members) await requireMembers(ctx, desk, given.members);
  if (given.criteria) await requireCriteria(ctx, desk, given.criteria);
  const before = await findPool(tx, id, { lock: true });
  requireVersion(before, expectedVersion);
  requirePoolSight(principal, [...before.members, ...(given.members ?? [])]);
  const row: PoolRow = { ...before, ...given, is_active: isActive ?? before.is_active };
  if (isDeepStrictEqual(row, before)) return poolView(before);
  if (given.members || given.criteria)
    requireBytes("members and criteria", sizeable(row), poolBytes, sizeable(before));
  row.version = before.version + 1;
  row.updated_at = tx.now.toISOString();
  tx.onViolation("assignment_pools_organization_id_name_key", poolNameTaken);
  tx.defer({
    text: `UPDATE assignment_pools
      SET (name, strategy, members, criteria, priority, is_active, updated_at, version) = ($2, $3, $4, $5, $6, $7, $8, $9)
      WHERE id = $1`,
    values: [id, ...valuesOf(row), row.updated_at, row.version],
  });
  announce(ctx, "pool.updated", row);
  return poolView(row);
}

/** Deletes a pool for good; its leads stay with their assignees. */
export async function removePool(ctx: Ctx<"leads.removePool">): Promise<null> {
  const { tx, principal } = ctx.locals;
  const before = await findPool(tx, ctx.params.id, { lock: true });
  requireVersion(before, ctx.params.expectedVersion);
  requirePoolSight(principal, before.members);
  tx.defer({ text: "DELETE FROM assignment_pools WHERE id = $1", values: [before.id] });
  announce(ctx, "pool.deleted", { ...before, version: before.version + 1 });
  return null;
}

const valuesOf = (row: PoolRow): unknown[] => [
  row.name,
  row.strategy,
  JSON.stringify(row.members),
  JSON.stringify(row.criteria),
  row.priority,
  row.is_active,
];

async function findPool(tx: UnitOfWork, id: string, { lock }: { lock: boolean }): Promise<PoolRow> {
  const [row] = await tx.query<PoolRow>({
    text: `SELECT ${columns} FROM assignment_pools WHERE id = $1 ${lock ? "FOR UPDATE" : ""}`,
    values: [id],
  });
  if (!row) throw poolNotFound();
  return row;
}

/**
 * A pool decides who gets leads that come in, and so sees them: it takes somebody who sees them before anybody has them, and
 * what its members have.
 */
function requirePoolSight(principal: Principal, members: readonly PoolMember[]): void {
  const seesNew = canSee(principal, { assignedTo: null });
  requireSight(principal, seesNew ? members.map(({ userId }) => userId) : "everybody");
}

/** @throws 422 naming the first member who is no active user */
async function requireMembers(ctx: Caller, desk: Desk, members: readonly PoolMember[]): Promise<void> {
  const active = await desk.users.among(
    ctx,
    members.map(({ userId }) => userId),
  );
  const unknown = members.findIndex(({ userId }) => !active.has(userId));
  if (unknown !== -1)
    throw invalidField(`members.${unknown}.userId`, "not_found", "is not an active user of the organization");
}

/** @throws 422 for what does not fit the custom fields */
async function requireCriteria(ctx: Caller, desk: Desk, criteria: readonly Condition[]): Promise<void> {
  const { defined } = await desk.settings.of(ctx.locals.principal.organizationId);
  requireFitting(
    defined,
    criteria.map((condition, index) => ({ condition, under: ["criteria", `${index}`] })),
  );
}

function announce(
  ctx: Caller & Pick<Ctx<"leads.get">, "broker">,
  type: "pool.created" | "pool.updated" | "pool.deleted",
  row: PoolRow,
): void {
  record(ctx.locals.tx, {
    type,
    entity: { kind: "pool", id: row.id, version: row.version },
    actorId: ctx.locals.principal.userId,
    audience: null,
    data: { pool: poolView(row) },
  });
  announceSettings(ctx);
}
