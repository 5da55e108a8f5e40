import type { Service, ServiceSchema } from "moleculer";
import Cron from "moleculer-cron";
import { Gauge } from "prom-client";
import { Leader } from "../../mixins/concurrency/leader.ts";
import { cronRuns, registry } from "../../mixins/process/metrics.ts";
import { ThrottledLog } from "../../mixins/process/throttled-log.ts";
import type { Runtime } from "../../mixins/contract/service.ts";
import { cronJobs, serveDueTicks } from "./cron.rounds.ts";

const isLeading = new Gauge({
  name: "crm_cron_leader",
  help: "1 while this process leads the scheduled work",
  registers: [registry],
});

/** Adds the jobs that come up by the clock. Any number of nodes may host it: one of them leads. */
export default function cronService(runtime: Runtime): ServiceSchema {
  const jobs = cronJobs(runtime.contracts);
  let leader: Leader;
  let round: Promise<void> | undefined;
  let failures: ThrottledLog;
  return {
    name: "cron",
    mixins: [Cron],
    crons: [
      {
        name: "round",
        cronTime: "* * * * * *",
        onTick() {
          round ??= serve()
            .catch((error: Error) => failures.warn(`scheduled work: ${error.message}`))
            .finally(() => (round = undefined));
        },
      },
    ],
    created(this: Service) {
      const { broker, logger } = this;
      failures = new ThrottledLog((line) => logger.warn(line), 10 * 60_000);
      leader = new Leader(runtime.database, {
        name: "cron",
        nodeId: broker.nodeID,
        onError: (error) => logger.warn(error.message),
      });
    },
    started() {
      leader.start();
      return Promise.resolve();
    },
    async stopped() {
      await round;
      await leader.stop();
    },
  } as ServiceSchema;

  async function serve(): Promise<void> {
    const served = await leader.lead((tx, epoch) => serveDueTicks(tx, epoch, jobs));
    isLeading.set(leader.isLeader ? 1 : 0);
    for (const { task } of served ?? []) cronRuns.labels(task).inc();
  }
}
