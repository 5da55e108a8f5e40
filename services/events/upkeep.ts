import { Gauge } from "prom-client";
import type { Database } from "../../mixins/database/database.ts";
import { registry } from "../../mixins/metrics.ts";
import { Poller } from "../../mixins/poller.ts";
import { countUnplaced, deleteOldKeys } from "./events.repository.ts";

const measureEveryMs = 5_000;
const mostCounted = 10_000;
const deleteEveryMs = 5 * 60_000;
const keysAtOnce = 1_000;

const feedLag = new Gauge({
  name: "crm_feed_lag_events",
  help: `Events of a shard that have no place in a feed yet; ${mostCounted} means at least that many`,
  labelNames: ["shard"] as const,
  registers: [registry],
});

/** The slow rounds beside the sequencer: measures its lag, and forgets idempotency keys after their 24 hours. */
export function upkeepPollers(database: Database, onError: (error: Error) => void): Poller[] {
  return database.shards.flatMap((shard) => [
    new Poller({
      name: `lag of ${shard.name}`,
      everyMs: measureEveryMs,
      run: async () => {
        const unplaced = await database.transaction({ platform: shard }, (tx) =>
          countUnplaced(tx, mostCounted),
        );
        feedLag.labels(shard.name).set(unplaced);
        return false;
      },
      onError,
    }),
    new Poller({
      name: `old idempotency keys of ${shard.name}`,
      everyMs: deleteEveryMs,
      run: async () => {
        const deleted = await database.transaction({ platform: shard }, (tx) =>
          deleteOldKeys(tx, keysAtOnce),
        );
        return deleted === keysAtOnce;
      },
      onError,
    }),
  ]);
}
