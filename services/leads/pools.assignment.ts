import type { AssignmentPool, PoolMember } from "../../entities/leads.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { LeadRow } from "./lead-row.ts";
import { nextMembers, planPools, type CapturePool } from "./pools.rules.ts";

/** Everybody who may get a lead from these pools: whoever captures asks which of them are active, before its transaction. */
export const membersOf = (pools: readonly CapturePool[]): string[] =>
  pools.flatMap(({ members }) => members.map(({ userId }) => userId));

/** Gives each lead without an assignee to the pool that wants it, if one does. Such pools stay locked until the end. */
export async function assignByPools(
  tx: UnitOfWork,
  pools: readonly CapturePool[],
  rows: readonly LeadRow[],
  active: ReadonlySet<string>,
): Promise<void> {
  for (const [poolId, planned] of planPools(pools, rows, active)) {
    const users = await takeTurns(tx, poolId, planned.length, active);
    for (const [index, row] of planned.entries()) row.assigned_to = users?.[index] ?? null;
  }
}

/**
 * Takes the next `count` turns of a pool; empty when it has no active member, undefined when there is no such active pool.
 * The first statement locks the pool; the second, in the same round trip, already sees what the one before it decided.
 */
export async function takeTurns(
  tx: UnitOfWork,
  poolId: string,
  count: number,
  active: ReadonlySet<string>,
): Promise<string[] | undefined> {
  const [[pool], loads] = await Promise.all([
    tx.query<{ strategy: AssignmentPool["strategy"]; members: PoolMember[]; position: number }>({
      name: "take_pool_turns",
      text: `UPDATE assignment_pools SET position = position + $2 WHERE id = $1 AND is_active
        RETURNING strategy, members, position - $2 AS position`,
      values: [poolId, count],
    }),
    tx.query<{ user_id: string; open: number }>({
      name: "count_open_leads",
      text: `SELECT l.assigned_to AS user_id, count(*)::int AS open FROM leads l
        WHERE l.deleted_at IS NULL AND l.status IN ('new', 'contacted', 'qualified')
          AND l.assigned_to = ANY (ARRAY(
            SELECT (m ->> 'userId')::uuid FROM assignment_pools p, jsonb_array_elements(p.members) m
            WHERE p.id = $1 AND p.strategy = 'least_loaded'))
        GROUP BY 1`,
      values: [poolId],
    }),
  ]);
  if (!pool) return undefined;
  return nextMembers(
    pool.strategy,
    pool.members.filter(({ userId }) => active.has(userId)),
    pool.position,
    count,
    new Map(loads.map(({ user_id, open }) => [user_id, open])),
  );
}
