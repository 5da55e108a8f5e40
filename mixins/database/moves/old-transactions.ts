import { setTimeout as sleep } from "node:timers/promises";
import type { Place } from "./place.ts";

/** PostgreSQL ends a statement after 30 s and an idle transaction after 60: a reader that takes longer is none of ours. */
const mostMs = 60_000;

/** Waits until transactions that began before now are over: they may still read what is to be deleted. */
export async function waitForOldTransactions(place: Place): Promise<void> {
  const [{ now } = { now: "" }] = await place.rows<{ now: string }>("SELECT clock_timestamp() AS now");
  for (const until = performance.now() + mostMs; performance.now() < until; await sleep(100)) {
    // rows of other users' sessions are hidden from all but superusers; nodes and mover are the same user
    const { rows } = await place.asOwner((client) =>
      client.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'sangam'
           AND xact_start < $1 LIMIT 1`,
        [now],
      ),
    );
    if (rows.length === 0) return;
  }
}
