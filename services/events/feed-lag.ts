import { Gauge } from "prom-client";
import type { Database } from "../../mixins/database/database.ts";
import { registry } from "../../mixins/process/metrics.ts";
import { Poller } from "../../mixins/concurrency/poller.ts";
import { countUnplaced } from "./events.repository.ts";

const measureEveryMs = 5_000;
const mostCounted = 10_000;

const feedLag = new Gauge({
  name: "crm_feed_lag_events",
  help: `Events of a shard that have no place in a feed yet; ${mostCounted} means at least that many`,
  labelNames: ["shard"] as const,
  registers: [registry],
});

/** Measures how far the sequencer is behind, now and then. */
export function lagPollers(database: Database, onError: (error: Error) => void): Poller[] {
  return database.shards.map(
    (shard) =>
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
  );
}
