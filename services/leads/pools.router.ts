import type { AssignmentPool, PoolMember } from "../../entities/lead-settings.ts";
import type { ActorHandlers } from "../../mixins/actors/actor-contract.ts";
import type { leadsContract } from "./leads.contract.ts";
import { nextMembers } from "./pools.rules.ts";

type Router = (typeof leadsContract)["actors"]["router"];

/** How long a lead that was promised to somebody may take to be stored; after that it never was. */
const promiseMs = 60_000;

/** Hands out the turns of an assignment pool, one actor each: its id is the pool's. */
export const router: ActorHandlers<Router> = {
  /** Goes on where a pool stood that older versions counted in its row. */
  async initial({ id }, tx) {
    const [pool] = await tx.query<{ position: number }>({
      text: "SELECT position FROM assignment_pools WHERE id = $1",
      values: [id],
    });
    return { position: pool?.position ?? 0 };
  },
  messages: {
    /** The pool and the loads are read with the fence, so a change of the pool holds from the next turn on. */
    async take(turn, { leadIds, inactive }) {
      const { state, tx } = turn;
      const [[pool], loads] = await Promise.all([
        tx.query<{ strategy: AssignmentPool["strategy"]; members: PoolMember[] }>({
          name: "find_active_pool",
          text: "SELECT strategy, members FROM assignment_pools WHERE id = $1 AND is_active",
          values: [turn.id],
        }),
        tx.query<{ user_id: string; open: number; arrived: string[] }>({
          name: "count_open_leads",
          text: `SELECT l.assigned_to AS user_id, count(*)::int AS open,
              array_agg(l.id::text) FILTER (WHERE l.id = ANY ($2)) AS arrived
            FROM leads l
            WHERE l.deleted_at IS NULL AND l.status IN ('new', 'contacted', 'qualified')
              AND l.assigned_to = ANY (ARRAY(
                SELECT (m ->> 'userId')::uuid FROM assignment_pools p, jsonb_array_elements(p.members) m
                WHERE p.id = $1 AND p.strategy = 'least_loaded'))
            GROUP BY 1`,
          values: [turn.id, state.promised.map(({ leadId }) => leadId)],
        }),
      ]);
      if (!pool) return null;
      const oldest = turn.now.getTime() - promiseMs;
      const arrived = new Set(loads.flatMap(({ arrived }) => arrived ?? []));
      state.promised = state.promised.filter(({ leadId, at }) => at > oldest && !arrived.has(leadId));
      const open = new Map(loads.map((load) => [load.user_id, load.open]));
      for (const { userId } of state.promised) open.set(userId, (open.get(userId) ?? 0) + 1);

      const skipped = new Set(inactive);
      const members = pool.members.filter(({ userId }) => !skipped.has(userId));
      const users = nextMembers(pool.strategy, members, state.position, leadIds.length, open);
      state.position += users.length;
      if (pool.strategy === "least_loaded")
        for (const [index, userId] of users.entries())
          state.promised.push({ leadId: leadIds[index] as string, userId, at: turn.now.getTime() });
      return users;
    },
  },
};
