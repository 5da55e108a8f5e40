import type { ServiceSchema } from "moleculer";
import { callQueue, type CallQueueRow } from "../../entities/call-queue.ts";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import { recordHandlers } from "../../mixins/records/handlers.ts";
import { requireVersion } from "../../mixins/records/writing/input.ts";
import { storeOf } from "../../mixins/records/writing/store.ts";
import type { HandlersOf } from "../contracts.ts";
import { recordDesk } from "../record-desk.ts";
import { callQueuesContract } from "./call-queues.contract.ts";
import { callQueueRules, requireUnused } from "./call-queues.records.ts";

/** Queues of people who are to be called; services/calls has the calls. */
export default function callQueuesService(runtime: Runtime): ServiceSchema {
  const desk = recordDesk(runtime);
  const store = storeOf<CallQueueRow>(callQueue);
  const records = recordHandlers(callQueue, desk, callQueueRules(desk));
  const handlers: HandlersOf<typeof callQueuesContract> = {
    ...records,
    async remove(ctx) {
      const { principal, tx } = ctx.locals;
      const { id, expectedVersion, force } = ctx.params;
      const row = await store.lock(tx, principal, id);
      requireVersion(row, expectedVersion);
      if (!force) await requireUnused(tx, id);
      return records.remove(ctx);
    },
  };
  return createService(callQueuesContract, handlers, runtime);
}
