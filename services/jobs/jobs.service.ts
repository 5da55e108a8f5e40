import type { ServiceSchema } from "moleculer";
import { createService, type Runtime } from "../../mixins/service.ts";
import type { HandlersOf } from "../contracts.ts";
import * as jobs from "./jobs.actions.ts";
import { jobsContract } from "./jobs.contract.ts";

const handlers: HandlersOf<typeof jobsContract> = { list: jobs.list, retry: jobs.retry, drop: jobs.drop };

/** Shows an organization's background work, and lets its admins retry or drop what is dead. */
export default (runtime: Runtime): ServiceSchema => createService(jobsContract, handlers, runtime);
