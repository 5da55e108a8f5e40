import { z } from "zod";
import { action } from "../../mixins/contract/contract.ts";
import { id } from "../../mixins/contract/schemas.ts";

/** One row of an imported file. */
const importRow = z.strictObject({
  /** Place in the file; the first row after the heading is 1. */
  rowNumber: z.number().int().positive(),
  /** What the row says, by the names of `leadInput`, and `convertedAt`; the status may be converted. Empty cells are left out. */
  input: z.unknown(),
  /** The row as it stands in the file, column → cell, for the file of rejected rows. */
  record: z.record(z.string(), z.string()),
  /** Why the parser rejected the row; `input` is not looked at then. */
  error: z.string().optional(),
  /** What of the row does not come in, and why: said beside what becomes of it. */
  notes: z.array(z.string()).optional(),
});

/** Internal actions that the import service calls; part of leadsContract. */
export const leadImportActions = {
  importBatch: action({
    summary:
      "Writes the next rows of an import and moves its checkpoint, in one transaction; 409 IMPORT_FENCED when the import is not where the caller thinks",
    params: z.strictObject({
      importId: id,
      /** Must be the epoch of the running import. */
      epoch: z.number().int(),
      /** Must be its `processed`; afterwards that is this and the number of rows. */
      processedBefore: z.number().int().min(0),
      onDuplicate: z.enum(["skip", "update", "create"]),
      /** A duplicate has one of these of a lead, or of an earlier row, and no stronger one that differs. */
      matchBy: z.array(z.enum(["externalId", "email", "phone"])).default(["externalId", "email"]),
      /** Counts and rejected rows are written, leads are not; rows of different batches are not compared. */
      isDryRun: z.boolean(),
      rows: z.array(importRow).min(1).max(1000),
    }),
    /** What became of these rows; the import's counts have been raised by them. */
    returns: z.strictObject({
      created: z.number().int(),
      updated: z.number().int(),
      skipped: z.number().int(),
      failed: z.number().int(),
    }),
    permission: "imports:create",
  }),
  rollbackImport: action({
    summary:
      "Undoes some changes of an import whose status is rolling_back; call until nothing remains. 409 IMPORT_FENCED on another epoch",
    params: z.strictObject({
      importId: id,
      epoch: z.number().int(),
      limit: z.number().int().min(1).max(1000),
    }),
    returns: z.strictObject({
      undone: z.number().int(),
      /** Left as they are: somebody worked on them since. */
      kept: z.number().int(),
      remaining: z.number().int(),
    }),
    permission: "imports:delete",
  }),
};
