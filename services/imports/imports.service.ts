import type { ServiceBroker, ServiceSchema } from "moleculer";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import type { HandlersOf, JobHandlersOf } from "../contracts.ts";
import { runImport } from "./import-run.ts";
import * as actions from "./imports.actions.ts";
import { importsContract } from "./imports.contract.ts";
import { importsPersonalDataHandlers } from "./personal-data.ts";
import { deleteDeadUploads } from "./imports.repository.ts";

/** Takes CSV files of leads and imports them in the background, on any node that runs jobs. */
export default function importsService(runtime: Runtime): ServiceSchema {
  const { database } = runtime;
  let broker: ServiceBroker;

  const handlers: HandlersOf<typeof importsContract> = {
    getUsage: actions.getUsage,
    create: (ctx) => actions.create(ctx, runtime),
    list: actions.list,
    get: actions.get,
    errors: (ctx) => actions.errors(ctx, database),
    rollback: actions.rollback,
  };
  const jobs: JobHandlersOf<typeof importsContract> = {
    run: (ctx) =>
      runImport(ctx, {
        database,
        call: (name, params, meta) => broker.call(name, params, { meta }),
        onEvents: (organizationId) => runtime.onEvents(organizationId),
        isStopping: () => broker.stopping,
        logger: broker.getLogger("imports"),
      }),
    forgetDeadUploads: () => database.eachShard((shard) => database.transaction(shard, deleteDeadUploads)),
  };
  return createService(importsContract, handlers, runtime, {
    jobs,
    personalData: importsPersonalDataHandlers,
    created(this: { broker: ServiceBroker }) {
      ({ broker } = this);
    },
  });
}
