import type { ServiceBroker, ServiceSchema } from "moleculer";
import { requirePermission } from "../../mixins/access/principal.ts";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import { kindOfMerge, undoMerge } from "../../mixins/records/handlers/merge.ts";
import type { HandlersOf, JobHandlersOf } from "../contracts.ts";
import { recordDesk } from "../record-desk.ts";
import { countRecords } from "./count-records.ts";
import * as operations from "./operations.ts";
import { recordsPersonalData } from "./personal-data.ts";
import { recordsContract } from "./records.contract.ts";

/** What is done with records of whatever kind. */
export default function recordsService(runtime: Runtime): ServiceSchema {
  const desk = recordDesk(runtime);
  const { database } = runtime;
  let broker: ServiceBroker;
  const handlers: HandlersOf<typeof recordsContract> = {
    async undoMerge(ctx) {
      const { principal, tx } = ctx.locals;
      // before the transaction: what it needs of the kind has to be loaded
      const kind = await kindOfMerge(desk.database.reader(tx.organizationId), ctx.params.id, desk);
      requirePermission(principal, `${kind.plural}:delete`);
      return { records: await undoMerge(ctx, ctx.params.id, kind, desk) };
    },
    getUsage: async ({ locals: { tx } }) => ({ records: await countRecords(tx) }),
    listOperations: operations.listOperations,
    getOperation: operations.getOperation,
  };
  const jobs: JobHandlersOf<typeof recordsContract> = {
    runOperation: (ctx) =>
      operations.runOperation(ctx, {
        ...{ database, kinds: desk.kinds },
        call: (action, params, meta) => broker.call(action, params, { meta }),
        onEvents: (organizationId) => runtime.onEvents(organizationId),
        isStopping: () => broker.stopping,
        logger: broker.getLogger("operations"),
      }),
    forgetOperations: () => operations.forgetOperations(database),
  };
  return createService(recordsContract, handlers, runtime, {
    jobs,
    personalData: recordsPersonalData,
    created(this: { broker: ServiceBroker }) {
      ({ broker } = this);
    },
  });
}
