import type { ServiceSchema } from "moleculer";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import type { HandlersOf } from "../contracts.ts";
import * as calls from "./calls.actions.ts";
import { callsContract } from "./calls.contract.ts";
import { findStale, putInOrder } from "./calls.jobs.ts";
import { queue } from "./calls.queue.ts";
import { callsPersonalData } from "./personal-data.ts";

/** Calls that wait in queues until somebody claims them. */
export default function callsService(runtime: Runtime): ServiceSchema {
  const handlers: HandlersOf<typeof callsContract> = {
    schedule: (ctx) => calls.schedule(ctx, runtime),
    list: calls.list,
    get: calls.get,
    claim: calls.claim,
    complete: (ctx) => calls.complete(ctx, runtime),
    release: (ctx) => calls.release(ctx, runtime),
    retry: (ctx) => calls.retry(ctx, runtime),
  };
  return createService(callsContract, handlers, runtime, {
    actors: { queue },
    jobs: { findStale: (ctx) => findStale(ctx, runtime.database), putInOrder },
    personalData: callsPersonalData,
  });
}
