import type { ServiceSchema } from "moleculer";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import type { HandlersOf, JobHandlersOf } from "../contracts.ts";
import { conversion, leadsPerDay } from "./analytics.actions.ts";
import { analyticsContract } from "./analytics.contract.ts";
import { refresh, refreshOrganization } from "./refresh.jobs.ts";

const handlers: HandlersOf<typeof analyticsContract> = { leadsPerDay, conversion };

/** Counts what organizations have done, by day, and answers from the counts. */
export default function analyticsService(runtime: Runtime): ServiceSchema {
  const { database } = runtime;
  const jobs: JobHandlersOf<typeof analyticsContract> = {
    refresh: (ctx) => refresh(ctx, database),
    refreshOrganization: (ctx) => refreshOrganization(ctx, database),
  };
  return createService(analyticsContract, handlers, runtime, { jobs });
}
