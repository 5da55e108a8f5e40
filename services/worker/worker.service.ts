import type { Service, ServiceSchema } from "moleculer";
import { systemRole } from "../../mixins/access/principal.ts";
import type { StoredJob } from "../../mixins/jobs/job-spec.ts";
import { platformTasks } from "../../mixins/jobs/platform-tasks.ts";
import { WorkerPools } from "../../mixins/jobs/worker-pools.ts";
import type { Meta } from "../../mixins/contract/meta.ts";
import { organizationChanged } from "../../mixins/organizations/organizations.ts";
import type { Poller } from "../../mixins/concurrency/poller.ts";
import type { Runtime } from "../../mixins/contract/service.ts";
import { hostedTasks, tasksWhileSuspended } from "./worker.rules.ts";
import { depthPollers } from "./queue-depth.ts";

/** Runs the jobs and listeners of the services in this process. Any number of nodes may. */
export default function workerService(runtime: Runtime): ServiceSchema {
  let pools: WorkerPools | undefined;
  let pollers: Poller[] = [];
  const platform = new Set(platformTasks(runtime.contracts));
  const tireless = tasksWhileSuspended(runtime.contracts);
  return {
    name: "worker",
    created(this: Service) {
      // jobs in hand end while the services they call still answer
      this.broker.middlewares.add({ stopping: async () => pools?.stop() });
    },
    events: {
      [organizationChanged]: () => runtime.organizations.hear(),
    },
    started(this: Service) {
      const { broker, logger } = this;
      const onError = (error: Error) => logger.warn(error.message);
      const hosted = broker.services.map(({ name }) => name);
      const running = new WorkerPools(runtime.database, hostedTasks(runtime.contracts, hosted), {
        nodeId: broker.nodeID,
        onError,
        isPaused: async (task, { organizationId }) =>
          organizationId !== null
          && !tireless.has(task)
          && (await runtime.organizations.of(organizationId)).isSuspended,
        run: async (task, job) => {
          // the database refuses to add such a job; here a node of another release may have
          if (job.organizationId !== null && platform.has(task))
            throw new Error(`${task} is the platform's job: it was added by an organization`);
          await broker.call(task, job.payload, { meta: metaOf(job) });
        },
      });
      pools = running;
      pollers = depthPollers(runtime.database, runtime.contracts, onError);
      for (const poller of pollers) poller.start();
      // a job may call any service of its process; they start side by side
      broker
        .waitForServices(hosted.filter((name) => name !== "worker"))
        .then(() => running.start())
        .catch(onError);
      return Promise.resolve();
    },
    async stopped() {
      await Promise.all(pollers.map((poller) => poller.stop()));
    },
  };
}

/** A job runs for the organization that added it, as the system, on behalf of whoever caused it. */
const metaOf = ({ organizationId, origin }: StoredJob): Meta => ({
  ...origin,
  role: systemRole,
  ...(organizationId === null ? {} : { organizationId }),
});
