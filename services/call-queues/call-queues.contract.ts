import { z } from "zod";
import { callQueue } from "../../entities/call-queue.ts";
import { defineContract } from "../../mixins/contract/contract.ts";
import { byIdVersioned } from "../../mixins/contract/schemas.ts";
import { crud, eventsOf, historical, restorable } from "../../mixins/records/capabilities.ts";

const records = crud(callQueue);
const flag = z.enum(["true", "false"]).transform((text) => text === "true");

export const callQueuesContract = defineContract("call-queues", {
  tables: { owns: ["call_queues"], reads: ["calls"] },
  actions: {
    ...records,
    list: { ...records.list, params: records.list.params.omit({ q: true }) },
    remove: {
      ...records.remove,
      summary: "Deletes a call queue; 409 IN_USE where calls wait in it, unless force. It can be restored",
      params: byIdVersioned.extend({ force: z.union([z.boolean(), flag]).default(false) }),
      fails: [409, 410],
    },
    ...restorable(callQueue),
    ...historical(callQueue),
  },
  events: { ...eventsOf(callQueue) },
});
