import { z } from "zod";
import { lead } from "../../entities/lead.ts";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import { cronPayload, job } from "../../mixins/jobs/job-spec.ts";
import { personalData } from "../../mixins/privacy/personal-data.ts";
import { duplicateRules, encodings, importForm } from "../../mixins/records/importing/import-form.ts";
import { kindName, kindNames } from "../../mixins/records/kind/kinds.ts";
import { byIdOf, listParams, type Listing } from "../../mixins/records/finding/listing.ts";
import { byId, id, pageOf, timestamp } from "../../mixins/contract/schemas.ts";

const statuses = ["pending", "running", "completed", "failed", "rolling_back", "rolled_back"] as const;

const importOptions = z
  .strictObject({
    /** By what a row is found to be of a record that there is; the first counts most. */
    matchBy: z.array(z.string()),
    /** Of phones without a country code; ISO 3166-1. */
    country: z.string(),
    /** Of amounts without one; ISO 4217. */
    currency: z.string().nullable(),
    /** What separates cells; as given, or as found. */
    delimiter: z.string().nullable(),
    encoding: z.enum(encodings).nullable(),
    /** What the file's words were taken for: column → { theirs: ours }. */
    values: z.record(z.string(), z.record(z.string(), z.unknown())),
    /** Of a dry run: words of the file that have no meaning here, and what they may mean, to be sent as `values`. */
    suggestedValues: z.record(
      z.string(),
      z.record(z.string(), z.union([z.string(), z.boolean()]).nullable()),
    ),
  })
  .meta({ id: "ImportOptions" });
export const recordImport = z
  .strictObject({
    id,
    /** Of what the file's rows are. */
    kind: kindName,
    fileName: z.string(),
    status: z.enum(statuses),
    isDryRun: z.boolean(),
    onDuplicate: z.enum(duplicateRules),
    /** Every column of the file, in its order: as given, or as guessed by its name. */
    mapping: z.record(z.string(), z.string().nullable()),
    options: importOptions,
    /** Rows dealt with: the sum of the four counts that follow. */
    processed: z.number().int(),
    created: z.number().int(),
    updated: z.number().int(),
    skipped: z.number().int(),
    failed: z.number().int(),
    /** Records of other kinds that were made beside those of the file, by kind. */
    associated: z.record(z.string(), z.number().int()),
    /** Rows of the file; null until it has been read to its end. */
    total: z.number().int().nullable(),
    /** Why status is failed. */
    failure: z.string().nullable(),
    startedAt: timestamp.nullable(),
    finishedAt: timestamp.nullable(),
    createdAt: timestamp,
    version: z.number().int(),
  })
  .meta({ id: "Import" });
export type ImportView = z.output<typeof recordImport>;

export const importListing: Listing = {
  table: "imports",
  fields: {
    id: "uuid",
    kind: "text",
    fileName: "text",
    status: "text",
    isDryRun: "boolean",
    onDuplicate: "text",
    mapping: "json",
    options: "json",
    processed: "integer",
    created: "integer",
    updated: "integer",
    skipped: "integer",
    failed: "integer",
    associated: "json",
    total: "integer",
    failure: "text",
    startedAt: "timestamp",
    finishedAt: "timestamp",
    createdAt: "timestamp",
    version: "integer",
  },
  filterable: ["kind", "status", "fileName", "isDryRun", "onDuplicate", "createdAt", "finishedAt"],
  values: { kind: kindNames, status: statuses, onDuplicate: duplicateRules },
  sortable: ["createdAt"],
  defaultSort: "-createdAt",
};

const importJob = {
  payload: z.strictObject({ importId: id }),
  queue: "imports",
  maxAttempts: 25,
  timeoutMs: 24 * 3_600_000,
} as const;

export const importsContract = defineContract("imports", {
  tables: {
    owns: ["import_chunks", "import_errors", "import_record_changes", "imports"],
    reads: ["saved_views"],
    writes: ["custom_fields"],
  },
  actions: {
    getUsage: action({
      summary: "Bytes of the organization's files that are kept",
      params: z.strictObject({}),
      returns: z.strictObject({ storageBytes: z.number().int() }),
      reads: true,
      permission: "authenticated",
    }),
    /** Gateways of the release before ask this for `POST /leads/import`, which is an action of leads now. */
    create: action({
      summary: "Takes a CSV file of leads and imports it in the background",
      params: importForm(lead),
      returns: z.strictObject({ id, status: z.string() }),
      permission: "imports:create",
    }),
    list: action({
      summary: "Lists imports, newest first",
      params: listParams(importListing).omit({ q: true }),
      returns: pageOf(recordImport.partial().extend({ id }).meta({ id: "ImportPart" })),
      reads: true,
      permission: "imports:read",
      rest: "GET /imports",
    }),
    get: action({
      summary: "How far an import is",
      params: byIdOf(importListing),
      returns: recordImport,
      reads: true,
      permission: "imports:read",
      rest: "GET /imports/:id",
    }),
    errors: action({
      summary:
        "The rejected and skipped rows, and those that came in without something, as CSV: row (the first after the heading is 1), reason and the columns of the file; mended, it can be imported as it is",
      params: byId,
      returns: z.unknown(),
      reads: true,
      permission: "imports:read",
      rest: "GET /imports/:id/errors",
      transfer: "download",
      file: () => ({ name: "rejected-rows.csv", type: "text/csv; charset=utf-8" }),
    }),
    rollback: action({
      summary:
        "Undoes an import: records it made are deleted, records it changed get their fields back, unless somebody worked on them since; custom fields that it defined go where nothing uses them",
      params: byId,
      returns: z.strictObject({ id, status: z.string() }),
      permission: "imports:delete",
      rest: "POST /imports/:id/rollback",
      status: 202,
      location: ({ id }) => `/imports/${id}`,
    }),
  },
  events: {
    "import.progressed": z.strictObject({ import: recordImport }),
    "import.completed": z.strictObject({ import: recordImport }),
    "import.failed": z.strictObject({ import: recordImport }),
    "import.rolled_back": z.strictObject({
      import: recordImport,
      /** Records left as they are, because somebody worked on them after the import. */
      kept: z.number().int(),
    }),
  },
  jobs: {
    run: job({
      ...importJob,
      summary: "Imports a file of leads, or turns an import back, from where it is to its end",
    }),
    /** Nodes of the release before would take any file for one of leads: they do not know this job. */
    runOfKind: job({ ...importJob, summary: "As run, of a file of another kind of record" }),
    forgetDeadUploads: job({
      summary: "Forgets uploads that never came to their end",
      payload: cronPayload,
      scope: "platform",
      cron: { schedule: "*/10 * * * *", missed: "skip" },
    }),
  },
  personalData: {
    imports: personalData({
      summary:
        "Imports and their files. A file is dropped when its import ends; an erasure waits for the imports begun before it",
      tables: ["imports", "import_chunks"],
      retention: { default: 2555, least: 30, most: 36_500 },
    }),
    "rejected-rows": personalData({
      summary:
        "Rows of files that were refused; those that show the person's email, phone or full name are deleted",
      tables: ["import_errors"],
    }),
  },
});
