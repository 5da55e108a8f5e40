import type { ServiceSchema } from "moleculer";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import type { HandlersOf } from "../contracts.ts";
import * as jobs from "./jobs.actions.ts";
import { jobsContract } from "./jobs.contract.ts";

/** Shows an organization's background work, and lets its admins retry or drop what is dead. */
export default (runtime: Runtime): ServiceSchema => {
  const { database } = runtime;
  const handlers: HandlersOf<typeof jobsContract> = {
    list: jobs.list,
    get: jobs.get,
    retry: jobs.retry,
    drop: jobs.drop,
    listAll: (ctx) => jobs.listAll(ctx, database),
    retryAny: (ctx) => jobs.retryAny(ctx, database),
    dropAny: (ctx) => jobs.dropAny(ctx, database),
  };
  return createService(jobsContract, handlers, runtime);
};
