import { z } from "zod";
import { pipeline } from "../../entities/pipeline.ts";
import { defineContract } from "../../mixins/contract/contract.ts";
import { commentable } from "../../mixins/records/capabilities/comments.ts";
import { byIdVersioned } from "../../mixins/contract/schemas.ts";
import { crud, eventsOf, historical, restorable } from "../../mixins/records/capabilities.ts";

const records = crud(pipeline);
const flag = z.enum(["true", "false"]).transform((text) => text === "true");

export const pipelinesContract = defineContract("pipelines", {
  tables: { owns: ["pipelines"], reads: ["deals"] },
  actions: {
    ...records,
    list: { ...records.list, params: records.list.params.omit({ q: true }) },
    update: {
      ...records.update,
      summary:
        "Changes a pipeline. Stages are given whole: one that is left out is removed, 409 IN_USE where deals are in it, unless force",
      params: records.update.params.extend({ force: z.boolean().default(false) }),
      fails: [409, 410],
    },
    remove: {
      ...records.remove,
      summary: "Deletes a pipeline; 409 IN_USE where it has deals, unless force. It can be restored",
      params: byIdVersioned.extend({ force: z.union([z.boolean(), flag]).default(false) }),
      fails: [409, 410],
    },
    ...restorable(pipeline),
    ...historical(pipeline),
    ...commentable(pipeline),
  },
  events: { ...eventsOf(pipeline) },
});
