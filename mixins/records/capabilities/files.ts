import { z } from "zod";
import { action } from "../../contract/contract.ts";
import { id } from "../../contract/schemas.ts";
import { importForm, limitedImporter } from "../importing/import-form.ts";
import { importKeysOf } from "../importing/keys.ts";
import type { Fields, Kind } from "../kind/kind.ts";
import { listParams } from "../finding/listing.ts";
import { viewParams } from "../finding/view-params.ts";

/** One row of an imported file. */
const importRow = z.strictObject({
  /** Place in the file; the first row after the heading is 1. */
  rowNumber: z.number().int().positive(),
  /**
   * What the row says, by the names of the kind's input, of what its kind imports besides, and of associated records (`company`) by
   * their keys. Empty cells are left out.
   */
  input: z.unknown(),
  /** The row as it stands in the file, column → cell, for the file of rejected rows. */
  record: z.record(z.string(), z.string()),
  /** Why the parser rejected the row; `input` is not looked at then. */
  error: z.string().optional(),
  /** What of the row does not come in, and why: said beside what becomes of it. */
  notes: z.array(z.string()).optional(),
});

/** Records out of files. */
export const importable = <N extends string, F extends Fields>(kind: Kind<N, F>) => {
  const keys = importKeysOf(kind) as [string, ...string[]];
  return {
    import: action({
      summary: `Takes a CSV file of ${kind.plural} and imports it in the background`,
      params: importForm(kind),
      returns: z.strictObject({ id, status: z.string() }),
      permission: "imports:create",
      rest: `POST /${kind.plural}/import`,
      status: 202,
      location: (begun) => `/imports/${begun.id}`,
      transfer: "multipart",
    }),
    /** For the service that reads the file. */
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
        /** A duplicate has one of these of a record, or of an earlier row, and no stronger one that differs. */
        matchBy: z.array(z.enum(keys)).optional(),
        /** Counts and rejected rows are written, records are not; rows of different batches are not compared. */
        isDryRun: z.boolean(),
        /** Whether who brought the file may say such things as when an identity was seen. */
        isGuardedGiven: z.boolean().default(false),
        /** Of who does not see all records: they refer to none by ids, and what they make is theirs. */
        limited: limitedImporter.optional(),
        rows: z.array(importRow).min(1).max(1000),
      }),
      /** What became of these rows; the import's counts have been raised by them. */
      returns: z.strictObject({
        created: z.number().int(),
        updated: z.number().int(),
        skipped: z.number().int(),
        failed: z.number().int(),
        /** Records of other kinds that were made, by kind. */
        associated: z.record(z.string(), z.number().int()).optional(),
      }),
      permission: "imports:create",
    }),
    /** As `importBatch`. */
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
};

/** Records into files. */
export const exportable = <N extends string, F extends Fields>(kind: Kind<N, F>) => ({
  export: action({
    summary: `All ${kind.plural} that match, as CSV or XLSX`,
    params: listParams(kind.listing)
      .omit({ limit: true, cursor: true, count: true })
      .extend(viewParams(kind.listing))
      .extend({ format: z.enum(["csv", "xlsx"]).default("csv") }),
    returns: z.unknown(),
    reads: true,
    permission: "reports:export",
    rest: `GET /${kind.plural}/export`,
    transfer: "download",
    file: ({ format }) =>
      format === "xlsx"
        ? {
            name: `${kind.plural}.xlsx`,
            type: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
          }
        : { name: `${kind.plural}.csv`, type: "text/csv; charset=utf-8" },
  }),
});
