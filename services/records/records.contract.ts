import { z } from "zod";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import { withoutSensitive } from "../../mixins/records/capabilities.ts";
import { byId } from "../../mixins/contract/schemas.ts";

/** What is done with records of whatever kind. */
export const recordsContract = defineContract("records", {
  actions: {
    undoMerge: action({
      summary: "Makes several records again of what was merged; what was changed since stays",
      params: byId,
      returns: z.strictObject({
        /** The winner, and those that were merged into it. */
        records: z.array(z.unknown()),
      }),
      kept: ({ records }) => ({ records: records.map(withoutSensitive) }),
      // and the right to delete records of their kind, as merging them takes
      permission: "authenticated",
      rest: "POST /merges/:id/undo",
      fails: [404, 409],
    }),
  },
  events: {},
});
