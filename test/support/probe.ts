import { z } from "zod";
import { defineContract } from "../../mixins/contract/contract.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { job } from "../../mixins/jobs/job-spec.ts";
import { listener } from "../../mixins/listeners/listener-spec.ts";
import type { Meta } from "../../mixins/contract/meta.ts";
import { createService } from "../../mixins/contract/service.ts";
import type { ExtraService } from "../../services/node.ts";

const payload = z.strictObject({ n: z.number().int().default(0) });

/** A service that exists to be watched: jobs and listeners whose bodies a test supplies. */
export const probeContract = defineContract("probe", {
  actions: {},
  events: {},
  jobs: {
    work: job({ summary: "Does what the test says", payload }),
    slow: job({ summary: "The same in another queue", payload, queue: "analytics" }),
    brittle: job({ summary: "Dies at its first failure", payload, maxAttempts: 1 }),
    chore: job({ summary: "Of the whole platform", payload, scope: "platform" }),
  },
  listeners: {
    first: listener({ summary: "Hears leads", on: ["lead.created", "lead.updated"] }),
    second: listener({ summary: "Hears leads too", on: ["lead.created", "lead.updated"] }),
    everything: listener({ summary: "Hears all", on: ["*"] }),
  },
});

/** What a body of the probe gets. */
export interface ProbeContext {
  params: z.output<typeof payload>;
  meta: Meta;
  locals: { tx: UnitOfWork };
}
export interface HeardByProbe {
  seq: number;
  type: string;
  entity: { id: string; version: number };
  data: unknown;
}
type JobBody = (ctx: ProbeContext) => Promise<void> | void;
type ListenerBody = (ctx: ProbeContext, event: HeardByProbe) => Promise<void> | void;

/** The probe as a service to host; what has no body does nothing. */
export function probe(
  bodies: {
    jobs?: Partial<Record<keyof typeof probeContract.jobs, JobBody>>;
    listeners?: Partial<Record<keyof typeof probeContract.listeners, ListenerBody>>;
  } = {},
): ExtraService {
  const nothing = () => Promise.resolve();
  const { jobs = {}, listeners = {} } = bodies;
  const awaited =
    <A extends unknown[]>(body: ((...args: A) => Promise<void> | void) | undefined) =>
    async (...args: A) => {
      await (body ?? nothing)(...args);
    };
  return {
    contract: probeContract,
    factory: (runtime) =>
      createService(probeContract, {}, runtime, {
        jobs: {
          work: awaited(jobs.work),
          slow: awaited(jobs.slow),
          brittle: awaited(jobs.brittle),
          chore: awaited(jobs.chore),
        },
        listeners: {
          first: awaited(listeners.first),
          second: awaited(listeners.second),
          everything: awaited(listeners.everything),
        },
      }),
  };
}
