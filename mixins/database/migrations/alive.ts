import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";

/**
 * Makes sure that nobody works in this database before a breaking migration runs. Whoever does is of an older release: a node opens
 * its connections after its start has migrated.
 * @param waitMs longer than any lease, so that nodes which were killed a moment ago do not count
 * @throws Error naming the nodes, after that time
 */
export async function requireNoNodes(client: pg.ClientBase, breaking: string, waitMs: number): Promise<void> {
  const until = performance.now() + waitMs;
  for (;;) {
    const nodes = await aliveNodes(client);
    if (nodes.length === 0) return;
    if (performance.now() > until)
      throw new Error(
        `entities/migrations/${breaking} is breaking, and nodes of an older release run: ${nodes.join(", ")}. `
          + "Stop them first, or run npm run migrate -- --force if they may fail.",
      );
    await sleep(500);
  }
}

/** Who holds a lease here, and how many connections nodes have, those of gateways too, which hold none. */
async function aliveNodes(client: pg.ClientBase): Promise<string[]> {
  const leases = await client.query<{ node_id: string }>(
    `SELECT node_id FROM node_leases WHERE lease_until > clock_timestamp()
     UNION SELECT node_id FROM worker_leases WHERE expires_at > clock_timestamp() ORDER BY 1`,
  );
  const sessions = await client.query<{ count: number }>(
    `SELECT count(*)::int FROM pg_stat_activity
     WHERE datname = current_database() AND (application_name = 'sangam' OR application_name LIKE 'sangam-worker-%')`,
  );
  const count = sessions.rows[0]?.count ?? 0;
  return [...leases.rows.map(({ node_id }) => node_id), ...(count > 0 ? [`${count} connections`] : [])];
}
