import type { AssignmentPool, Condition, PoolMember } from "../../entities/lead-settings.ts";
import type { CustomFields } from "../../mixins/records/finding/listing.ts";
import { holdAll } from "./conditions.ts";
import type { LeadRow } from "../../entities/lead.ts";
import { factsOf, type Facts } from "./scoring.facts.ts";

type Strategy = AssignmentPool["strategy"];

/** What capturing a lead needs to know of a pool. */
export interface CapturePool {
  id: string;
  members: readonly PoolMember[];
  criteria: readonly Condition[];
  /** Of custom fields, by which the criteria compare them; default none. */
  definitions?: CustomFields;
}

/** The first pool whose criteria all hold and that has an active member. `pools` stand in the order of priority. */
export function poolFor(
  pools: readonly CapturePool[],
  facts: Facts,
  active: ReadonlySet<string>,
): CapturePool | undefined {
  return pools.find(
    ({ criteria, members, definitions }) =>
      holdAll(criteria, facts, definitions) && members.some(({ userId }) => active.has(userId)),
  );
}

/** The leads without an assignee that each pool gets, pools in the order of their ids. */
export function planPools(
  pools: readonly CapturePool[],
  rows: readonly LeadRow[],
  active: ReadonlySet<string>,
): [poolId: string, rows: LeadRow[]][] {
  const plan = new Map<string, LeadRow[]>();
  if (pools.length === 0) return [];
  for (const row of rows) {
    const pool = row.assigned_to === null ? poolFor(pools, factsOf(row), active) : undefined;
    if (!pool) continue;
    const planned = plan.get(pool.id);
    if (planned) planned.push(row);
    else plan.set(pool.id, [row]);
  }
  return [...plan].sort(([a], [b]) => (a < b ? -1 : 1));
}

/**
 * Who gets the next `count` leads of a pool; nobody when it has no member.
 * @param position leads the pool has given out so far
 * @param openLeads open leads of each member now, for `least_loaded`
 */
export function nextMembers(
  strategy: Strategy,
  members: readonly PoolMember[],
  position: number,
  count: number,
  openLeads: ReadonlyMap<string, number>,
): string[] {
  if (members.length === 0) return [];
  switch (strategy) {
    case "round_robin":
      return Array.from({ length: count }, (_, turn) => userAt(members, (position + turn) % members.length));
    case "weighted":
      return weightedTurns(members, position, count);
    case "least_loaded":
      return leastLoaded(members, count, openLeads);
  }
}

/**
 * Smooth weighted round robin (as in nginx's upstreams): each turn every member gains its weight, the richest is
 * chosen and pays the total. The sequence repeats after as many turns as the weights add up to, so a position in it
 * is all that must be remembered; members of weights 5, 1, 1 are chosen a a b a c a a.
 */
function weightedTurns(members: readonly PoolMember[], position: number, count: number): string[] {
  const total = members.reduce((sum, { weight }) => sum + weight, 0);
  const skipped = position % total;
  const credits = members.map(() => 0);
  const chosen: string[] = [];
  for (let turn = 0; turn < skipped + count; turn++) {
    let richest = 0;
    for (const [index, { weight }] of members.entries()) {
      credits[index] = (credits[index] as number) + weight;
      if (credits[index] > (credits[richest] as number)) richest = index;
    }
    credits[richest] = (credits[richest] as number) - total;
    if (turn >= skipped) chosen.push(userAt(members, richest));
  }
  return chosen;
}

/** Each lead to who has the fewest by then; of equals, the first member. */
function leastLoaded(
  members: readonly PoolMember[],
  count: number,
  openLeads: ReadonlyMap<string, number>,
): string[] {
  const loads = members.map(({ userId }) => openLeads.get(userId) ?? 0);
  return Array.from({ length: count }, () => {
    const least = loads.indexOf(Math.min(...loads));
    loads[least] = (loads[least] as number) + 1;
    return userAt(members, least);
  });
}

const userAt = (members: readonly PoolMember[], index: number): string =>
  (members[index] as PoolMember).userId;
