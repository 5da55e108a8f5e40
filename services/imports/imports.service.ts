import type { ServiceBroker, ServiceSchema } from "moleculer";
import { lead } from "../../entities/lead.ts";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import { definitionsChanged } from "../../mixins/records/custom/definitions.ts";
import type { HandlersOf, JobCtx, JobHandlersOf } from "../contracts.ts";
import { importFile } from "./import-file.ts";
import { runImport } from "./import-run.ts";
import * as actions from "./imports.actions.ts";
import { importsContract } from "./imports.contract.ts";
import { importsPersonalDataHandlers } from "./personal-data.ts";
import { deleteDeadUploads } from "./imports.repository.ts";

/** Reads CSV files of records that were taken, and imports them in the background, on any node that runs jobs. */
export default function importsService(runtime: Runtime): ServiceSchema {
  const { database } = runtime;
  let broker: ServiceBroker;

  const handlers: HandlersOf<typeof importsContract> = {
    getUsage: actions.getUsage,
    create: (ctx) => importFile(ctx, runtime, lead),
    list: actions.list,
    get: actions.get,
    errors: (ctx) => actions.errors(ctx, database),
    rollback: actions.rollback,
  };
  const run = (ctx: JobCtx<"imports.run" | "imports.runOfKind">) =>
    runImport(ctx, {
      database,
      call: (name, params, meta) => broker.call(name, params, { meta }),
      onEvents: (organizationId) => runtime.onEvents(organizationId),
      onDefinitions(organizationId) {
        runtime.definitions.forget(organizationId);
        void broker.broadcast(definitionsChanged, { organizationId });
      },
      isStopping: () => broker.stopping,
      logger: broker.getLogger("imports"),
    });
  const jobs: JobHandlersOf<typeof importsContract> = {
    run,
    runOfKind: run,
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
