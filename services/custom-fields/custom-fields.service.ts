import type { ServiceSchema } from "moleculer";
import { kinds } from "../../mixins/records/kind/kinds.ts";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import type { HandlersOf, JobHandlersOf } from "../contracts.ts";
import * as fields from "./custom-fields.actions.ts";
import { index, unindex } from "./indexed-fields.ts";
import { customFieldsContract } from "./custom-fields.contract.ts";

/** What organizations add to their records. */
export default function customFieldsService(runtime: Runtime): ServiceSchema {
  const desk: fields.Desk = { keys: runtime.organizationKeys, kinds };
  const handlers: HandlersOf<typeof customFieldsContract> = {
    list: fields.list,
    get: fields.get,
    create: (ctx) => fields.create(ctx, desk),
    update: (ctx) => fields.update(ctx, desk),
    remove: (ctx) => fields.remove(ctx, desk),
    restore: (ctx) => fields.restore(ctx, desk),
  };
  const jobs: JobHandlersOf<typeof customFieldsContract> = {
    purge: (ctx) => fields.purge(ctx, desk),
    index: (ctx) => index(ctx, desk),
    unindex,
  };
  return createService(customFieldsContract, handlers, runtime, { jobs });
}
