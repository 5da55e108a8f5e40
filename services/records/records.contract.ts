import { z } from "zod";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import { byId, id, pageOf } from "../../mixins/contract/schemas.ts";
import { cronPayload, job } from "../../mixins/jobs/job-spec.ts";
import { personalData } from "../../mixins/privacy/personal-data.ts";
import { commentEvents } from "../../mixins/records/capabilities/comments.ts";
import { byIdOf, listParams } from "../../mixins/records/finding/listing.ts";
import { operation, operationListing } from "../../mixins/records/writing/operations.ts";
import { withoutSensitive } from "../../mixins/records/capabilities.ts";

/** What is done with records of whatever kind. */
export const recordsContract = defineContract("records", {
  tables: { owns: ["comments", "merges", "operations"] },
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
    getUsage: action({
      summary: "How many records of each kind the organization has",
      params: z.strictObject({}),
      returns: z.strictObject({
        /** By the name of the kind. */
        records: z.record(z.string(), z.number().int()),
      }),
      reads: true,
      permission: "authenticated",
    }),
    listOperations: action({
      summary:
        "Work on many records at once, newest first: one's own, or everybody's for who sees all records",
      params: listParams(operationListing),
      returns: pageOf(operation.partial().extend({ id }).meta({ id: "OperationPart" })),
      reads: true,
      permission: "authenticated",
      rest: "GET /operations",
    }),
    getOperation: action({
      summary: "How far work on many records has come",
      params: byIdOf(operationListing),
      returns: operation,
      reads: true,
      permission: "authenticated",
      rest: "GET /operations/:id",
    }),
  },
  events: { "operation.updated": z.strictObject({ operation }), ...commentEvents },
  jobs: {
    runOperation: job({
      summary: "Changes or deletes the records of an operation, step by step",
      payload: z.strictObject({ operationId: id }),
      queue: "imports",
      timeoutMs: 24 * 3_600_000,
    }),
    forgetOperations: job({
      summary: "Forgets operations that ended 30 days ago",
      payload: cronPayload,
      scope: "platform",
      cron: { schedule: "23 3 * * *", missed: "skip" },
    }),
  },
  personalData: {
    comments: personalData({
      summary:
        "Comments on a person's records, which go; those that a user wrote stay, under the id of who is gone",
      tables: ["comments"],
      fields: ["body"],
    }),
  },
});
