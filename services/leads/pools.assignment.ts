import { actorOf, type Ctx } from "../contracts.ts";
import type { LeadRow } from "../../entities/lead.ts";
import { planPools, type CapturePool } from "./pools.rules.ts";

type Caller = Pick<Ctx<"leads.get">, "meta" | "locals" | "options">;

/** Everybody who may get a lead from these pools: whoever captures asks which of them are active. */
export const membersOf = (pools: readonly Pick<CapturePool, "members">[]): string[] =>
  pools.flatMap(({ members }) => members.map(({ userId }) => userId));

/**
 * Gives each lead without an assignee to the pool that wants it, if one does. Before the caller's first statement, as the
 * turns are taken from each pool's router.
 * @param occasion names what is captured, where a repetition shall not take other turns; default: the request's key
 */
export async function assignByPools(
  ctx: Caller,
  pools: readonly CapturePool[],
  rows: readonly LeadRow[],
  active: ReadonlySet<string>,
  occasion?: string,
): Promise<void> {
  const byId = new Map(pools.map((pool) => [pool.id, pool]));
  await Promise.all(
    planPools(pools, rows, active).map(async ([poolId, planned]) => {
      const pool = byId.get(poolId) as CapturePool;
      const users = await takeTurns(ctx, pool, planned, active, occasion);
      for (const [index, row] of planned.entries()) row.assigned_to = users?.[index] ?? null;
    }),
  );
}

/** The pool's next users, one a lead; empty when it has no active member, null when there is no such active pool. */
export function takeTurns(
  ctx: Caller,
  pool: Pick<CapturePool, "id" | "members">,
  leads: readonly { id: string }[],
  active: ReadonlySet<string>,
  occasion = ctx.locals.idempotencyKey,
): Promise<string[] | null> {
  const inactive = pool.members.map(({ userId }) => userId).filter((userId) => !active.has(userId));
  return actorOf(ctx, "leads.router", pool.id).take(
    { leadIds: leads.map(({ id }) => id), inactive },
    // a repetition may find that the pool wants more leads, or fewer: that is another message
    occasion === undefined ? {} : { messageId: `${occasion} ${leads.length}` },
  );
}
