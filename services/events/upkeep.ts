import { requireTrustedClock } from "../../mixins/concurrency/clock-watch.ts";
import { forgetOldAnswers } from "../../mixins/actors/actors.repository.ts";
import type { Database } from "../../mixins/database/database.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { forgetReceivedIds } from "../../mixins/outbound/signed-request.ts";
import { deleteOldKeys } from "./events.repository.ts";

const rowsAtOnce = 1_000;

/**
 * Forgets idempotency keys, answers of actors and ids of received messages after their 24 hours, the clock's
 * ticks after 3 days and dead jobs after 30.
 */
export async function cleanUp(database: Database): Promise<void> {
  await database.transaction({ platform: database.control }, requireTrustedClock);
  await database.eachShard(async (shard) => {
    while ((await database.transaction(shard, (tx) => deleteOldKeys(tx, rowsAtOnce))) === rowsAtOnce);
    while ((await database.transaction(shard, (tx) => forgetReceivedIds(tx, rowsAtOnce))) === rowsAtOnce);
    while (await database.transaction(shard, (tx) => forgetOldAnswers(tx, rowsAtOnce)));
    await database.transaction(shard, (tx) => tx.query({ text: "SELECT forget_old_dead_jobs()" }));
  });
  await database.transaction({ platform: database.control }, (tx) =>
    tx.execute({
      // the newest tick of a job says where it goes on
      text: `DELETE FROM control.cron_runs r WHERE r.scheduled_for < now() - interval '3 days' AND EXISTS (
        SELECT FROM control.cron_runs newer WHERE newer.job = r.job AND newer.scheduled_for > r.scheduled_for)`,
    }),
  );
}

/** Makes the partitions of events that will be needed, and drops the months behind retention. */
export async function tendPartitions(database: Database, retentionDays: number): Promise<void> {
  await database.eachShard(async (shard) => {
    await database.transaction(shard, (tx) => tx.query({ text: "SELECT ensure_events_partitions()" }));
    await database.transaction(shard, async (tx) => {
      await requireTrustedClock(tx);
      await tx.query({
        text: "SELECT drop_events_before((now() - $1 * interval '1 day')::date)",
        values: [retentionDays],
      });
    });
  });
}

/**
 * Finds what fell through: jobs of workers that never had a lease, jobs written while the clock was ahead, listeners whose job
 * is dead or gone.
 */
export async function sweep(database: Database): Promise<void> {
  await database.eachShard((shard) =>
    database.transaction(shard, async (tx) => {
      await tx.query({ text: "SELECT free_jobs_of_unknown_workers(), recall_future_jobs()" });
      for (const { organization_id: organizationId, listener } of await stranded(tx))
        tx.enqueue({ task: listener, payload: {}, organizationId });
    }),
  );
}

const stranded = (tx: UnitOfWork) =>
  tx.query<{ organization_id: string; listener: string }>({
    text: "SELECT organization_id, listener FROM stranded_listeners()",
  });
