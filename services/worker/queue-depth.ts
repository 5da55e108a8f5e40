import { Gauge } from "prom-client";
import type { Contract } from "../../mixins/contract/contract.ts";
import type { Database } from "../../mixins/database/database.ts";
import { registry } from "../../mixins/process/metrics.ts";
import { Poller } from "../../mixins/concurrency/poller.ts";
import { queueOfTask } from "./worker.rules.ts";

const measureEveryMs = 5_000;

const queueDepth = new Gauge({
  name: "queue_depth",
  help: "Jobs in a queue of a shard, by state: waiting (retries too), running, dead",
  labelNames: ["shard", "queue", "state"] as const,
  registers: [registry],
});

/** Counts the jobs of each shard now and then. */
export function depthPollers(
  database: Database,
  contracts: readonly Contract[],
  onError: (error: Error) => void,
): Poller[] {
  const queues = queueOfTask(contracts);
  return database.shards.map(
    (shard) =>
      new Poller({
        name: `queue depth of ${shard.name}`,
        everyMs: measureEveryMs,
        run: async () => {
          const counts = await database.transaction({ platform: shard }, (tx) =>
            tx.query<{ task: string; state: string; jobs: string }>({
              name: "count_jobs",
              text: "SELECT task, state, jobs FROM count_jobs()",
            }),
          );
          for (const queue of new Set(queues.values()))
            for (const state of ["waiting", "running", "dead"])
              queueDepth
                .labels(shard.name, queue, state)
                .set(
                  counts
                    .filter((count) => count.state === state && queues.get(count.task) === queue)
                    .reduce((sum, { jobs }) => sum + Number(jobs), 0),
                );
          return false;
        },
        onError,
      }),
  );
}
