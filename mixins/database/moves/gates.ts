import { sqlState } from "../../contract/errors.ts";
import type { Place } from "./place.ts";

/** Of one move: whose it is, which move, and where the organization goes from where. */
export interface Passage {
  organizationId: string;
  epoch: string;
  source: Place;
  target: Place;
}

/** The gate did not close in time, or not for long enough; nothing has happened. */
export class GateStayedOpen extends Error {}

/** Longest the platform's background work waits behind the gate that waits for it. */
const platformWaitMs = 1_000;

/** Under whose name the jobs of an organization are held while it is switched; no worker is called so. */
const holderOf = ({ organizationId }: Passage): string => `shards/${organizationId}`;

/** Puts the gates up for a copy: the organization goes on at the source, and is not let in at the target. */
export async function beginPassage({ organizationId, epoch, source, target }: Passage): Promise<void> {
  const put = `INSERT INTO moves.gates AS g (organization_id, epoch, state, database_index) VALUES ($1, $2, $3, $4)
    ON CONFLICT (organization_id) DO UPDATE
      SET epoch = excluded.epoch, state = excluded.state, database_index = excluded.database_index, closed_until = NULL
    WHERE g.epoch < excluded.epoch AND (excluded.state = 'arriving' OR g.state NOT IN ('moved', 'arriving'))
    RETURNING epoch`;
  const arriving = await target.rows(put, [organizationId, epoch, "arriving", source.index]);
  const leaving = await source.rows(put, [organizationId, epoch, "leaving", target.index]);
  if (arriving.length === 0 || leaving.length === 0)
    throw new Error(`The gates of ${organizationId} do not fit the shard map; see "shards -- show".`);
}

/**
 * Lets nobody write for `pauseMs`, and returns when every transaction is over that may have written. Reads go on.
 * @throws GateStayedOpen when those take too long
 */
export async function closeGate({ organizationId, epoch, source }: Passage, pauseMs: number): Promise<void> {
  const closed = await source.rows(
    `UPDATE moves.gates SET state = 'closed', closed_until = clock_timestamp() + $3 * interval '1 ms'
     WHERE organization_id = $1 AND epoch = $2 AND state IN ('leaving', 'closed') RETURNING epoch`,
    [organizationId, epoch, pauseMs],
  );
  if (closed.length === 0) throw new Error("Another move of this organization has taken over.");
  await waitForWriters(source, organizationId, pauseMs / 2);
}

export async function reopenGate(passage: Passage): Promise<void> {
  await passage.source.asPlatform(async (client) => {
    await client.query(
      "UPDATE moves.gates SET state = 'leaving', closed_until = NULL WHERE organization_id = $1 AND epoch = $2 AND state = 'closed'",
      [passage.organizationId, passage.epoch],
    );
    await client.query("SELECT moves.release_jobs($1, false)", [holderOf(passage)]);
  });
}

/**
 * The point of no return, in one transaction of the source: from here on the organization lives in the target, and
 * the jobs that were brought there are gone here.
 * @throws GateStayedOpen when the gate was not closed without a break until now
 */
export async function switchHome(passage: Passage): Promise<void> {
  const { organizationId, epoch, source } = passage;
  await source.asPlatform(async (client) => {
    // with both locks in hand nobody writes: whoever comes sees the gate closed, or moved
    await takeLocks(client, organizationId, platformWaitMs);
    const { rowCount } = await client.query(
      `UPDATE moves.gates SET state = 'moved', closed_until = NULL
       WHERE organization_id = $1 AND epoch = $2 AND state = 'closed' AND closed_until > clock_timestamp()`,
      [organizationId, epoch],
    );
    if (rowCount === 0) throw new GateStayedOpen("The pause was over before the switch; give it longer.");
    await client.query("SELECT moves.release_jobs($1, true)", [holderOf(passage)]);
  });
}

/** Brings the jobs that nobody runs to the target, where they wait to be admitted, and holds them at the source. */
export async function bringJobs(passage: Passage): Promise<number> {
  const { organizationId, epoch, source, target } = passage;
  const held = await source.rows<{ id: string; job: string }>("SELECT id, job FROM moves.hold_jobs($1, $2)", [
    organizationId,
    holderOf(passage),
  ]);
  if (held.length > 0)
    await target.rows(
      `INSERT INTO moves.jobs (organization_id, epoch, source_id, job)
       SELECT $1, $2, j.id::bigint, j.job::jsonb FROM unnest($3::text[], $4::text[]) AS j (id, job) ON CONFLICT DO NOTHING`,
      [organizationId, epoch, held.map(({ id }) => id), held.map(({ job }) => job)],
    );
  return held.length;
}

/** Forgets, at the source, the jobs that `bringJobs` brought and the target has admitted. */
export const forgetJobs = (passage: Passage): Promise<unknown> =>
  passage.source.rows("SELECT moves.release_jobs($1, true)", [holderOf(passage)]);

/** Starts the jobs that were brought since the organization arrived. */
export const admitJobs = ({ organizationId, epoch, target }: Passage): Promise<unknown> =>
  target.rows("SELECT moves.admit($1, $2)", [organizationId, epoch]);

/**
 * Takes a move back: the organization stays at the source, and its gate at the target says so.
 * @returns false when it is too late for that
 */
export async function takeBack(passage: Passage): Promise<boolean> {
  const { organizationId, epoch, source, target } = passage;
  const isLate = await source.asPlatform(async (client) => {
    const { rowCount } = await client.query(
      "SELECT FROM moves.gates WHERE organization_id = $1 AND state = 'moved' FOR UPDATE",
      [organizationId],
    );
    if (rowCount !== 0) return true;
    await client.query("SELECT moves.release_jobs($1, false)", [holderOf(passage)]);
    await client.query("DELETE FROM moves.gates WHERE organization_id = $1 AND epoch = $2", [
      organizationId,
      epoch,
    ]);
    return false;
  });
  if (isLate) return false;
  await target.rows(
    `UPDATE moves.gates SET state = 'moved', database_index = $3 WHERE organization_id = $1 AND epoch = $2 AND state = 'arriving'`,
    [organizationId, epoch, source.index],
  );
  return true;
}

async function waitForWriters(source: Place, organizationId: string, waitMs: number): Promise<void> {
  await source.asPlatform((client) => takeLocks(client, organizationId, waitMs));
}

/** See moves.enter and unit-of-work.ts for who holds these locks. */
async function takeLocks(
  client: { query(text: string, values?: unknown[]): Promise<unknown> },
  organizationId: string,
  waitMs: number,
): Promise<void> {
  try {
    await client.query(`SET LOCAL lock_timeout = ${Math.ceil(waitMs)}`);
    await client.query("SELECT pg_advisory_xact_lock(7236002, uuid_hash($1))", [organizationId]);
    await client.query(`SET LOCAL lock_timeout = ${platformWaitMs}`);
    await client.query("SELECT pg_advisory_xact_lock(7236003)");
  } catch (error) {
    if (sqlState(error) !== "55P03") throw error;
    throw new GateStayedOpen("Transactions of the organization, or of the platform, did not end in time.");
  }
}
