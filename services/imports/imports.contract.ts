import { z } from "zod";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import { repeatedName } from "../../mixins/contract/repeated-names.ts";
import { cronPayload, job } from "../../mixins/jobs/job-spec.ts";
import { personalData } from "../../mixins/privacy/personal-data.ts";
import { defaultCountry, isPhoneCountry } from "../../mixins/values/phone.ts";
import { byIdOf, listParams, type Listing } from "../../mixins/records/listing.ts";
import { byId, id, pageOf, text, timestamp } from "../../mixins/contract/schemas.ts";
import { encodings } from "./file/encoding.ts";
import { defaultMatchBy, matchKeys } from "./match.rules.ts";

const statuses = ["pending", "running", "completed", "failed", "rolling_back", "rolled_back"] as const;
const duplicateRules = ["skip", "update", "create"] as const;

const importOptions = z
  .strictObject({
    /** By what a row is found to be of a lead that there is; the first counts most. */
    matchBy: z.array(z.enum(matchKeys)),
    /** Of phones without a country code; ISO 3166-1. */
    country: z.string(),
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
export const leadImport = z
  .strictObject({
    id,
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
export type ImportView = z.output<typeof leadImport>;

export const importListing: Listing = {
  table: "imports",
  fields: {
    id: "uuid",
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
    total: "integer",
    failure: "text",
    startedAt: "timestamp",
    finishedAt: "timestamp",
    createdAt: "timestamp",
    version: "integer",
  },
  filterable: ["status", "fileName", "isDryRun", "onDuplicate", "createdAt", "finishedAt"],
  values: { status: statuses, onDuplicate: duplicateRules },
  sortable: ["createdAt"],
  defaultSort: "-createdAt",
};

/** Form fields arrive as text; JSON values are written as JSON, and an empty field counts as none. */
const json = <T extends z.ZodType>(schema: T) =>
  z
    .string()
    .max(100_000)
    .transform((value, issues) => {
      try {
        const parsed = JSON.parse(value || "{}") as unknown;
        const repeated = repeatedName(value);
        if (!repeated) return parsed;
        issues.addIssue({
          code: "custom",
          message: `has ${repeated.join(".")} twice`,
          params: { code: "duplicate_field" },
        });
        return z.NEVER;
      } catch {
        issues.addIssue({ code: "custom", message: "must be JSON" });
        return z.NEVER;
      }
    })
    .pipe(schema);
const mapping = z.record(text(200), text(200).nullable());
const values = z.record(
  text(200),
  z.record(z.string().max(5000), z.union([z.string().max(5000), z.number(), z.boolean(), z.null()])),
);
const matchBy = z.array(z.enum(matchKeys)).min(1);
const delimiterNames: Record<string, string> = {
  comma: ",",
  semicolon: ";",
  tab: "\t",
  "\\t": "\t",
  pipe: "|",
};

export const importsContract = defineContract("imports", {
  tables: { owns: ["import_chunks", "import_errors", "imports"], writes: ["custom_fields"] },
  actions: {
    getUsage: action({
      summary: "Bytes of the organization's files that are kept",
      params: z.strictObject({}),
      returns: z.strictObject({ storageBytes: z.number().int() }),
      reads: true,
      permission: "authenticated",
    }),
    create: action({
      summary: "Takes a CSV file of leads and imports it in the background",
      params: z.strictObject({
        fileName: text(255).default("upload.csv"),
        /** CSV column → lead field, `customFields.<key>`, or null to leave it out. Unmapped columns are guessed by name. */
        mapping: z.union([mapping, json(mapping)]).default({}),
        dryRun: z
          .union([z.boolean(), z.enum(["true", "false"]).transform((flag) => flag === "true")])
          .default(false),
        onDuplicate: z.enum(duplicateRules).default("skip"),
        /**
         * By what a row is found to be of a lead that there is, or of an earlier row. A key never joins two whom a stronger one (in
         * the order externalId, email, phone) tells apart. As a form field separated by commas.
         */
        matchBy: z
          .union([
            matchBy,
            z
              .string()
              .max(100)
              .transform((list) => list.split(",").map((key) => key.trim()))
              .pipe(matchBy),
          ])
          .default([...defaultMatchBy]),
        /** Of phones without a country code; ISO 3166-1. */
        country: z
          .string()
          .toUpperCase()
          .refine(isPhoneCountry, "must be a country of ISO 3166-1, such as IN, US or DE")
          .default(defaultCountry),
        /** What words of the file mean: column → { theirs: ours }; null: nothing. Their case does not matter. */
        values: z.union([values, json(values)]).default({}),
        /** One character, or comma, semicolon, tab, pipe. Found out where it is not given. */
        delimiter: z
          .string()
          .max(10)
          .transform((given) => delimiterNames[given.toLowerCase()] ?? given)
          .pipe(
            z
              .string()
              .regex(/^[^\w"\r\n]$/, "must be one character that is no letter, digit, quote or line end"),
          )
          .optional(),
        /** Found out where it is not given. */
        encoding: z.string().toLowerCase().pipe(z.enum(encodings)).optional(),
      }),
      returns: z.strictObject({ id, status: z.string() }),
      permission: "imports:create",
      rest: "POST /leads/import",
      status: 202,
      location: ({ id }) => `/imports/${id}`,
      transfer: "multipart",
    }),
    list: action({
      summary: "Lists imports, newest first",
      params: listParams(importListing).omit({ q: true }),
      returns: pageOf(leadImport.partial().extend({ id }).meta({ id: "ImportPart" })),
      reads: true,
      permission: "imports:read",
      rest: "GET /imports",
    }),
    get: action({
      summary: "How far an import is",
      params: byIdOf(importListing),
      returns: leadImport,
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
        "Undoes an import: leads it made are deleted, leads it changed get their fields back, unless somebody worked on them since",
      params: byId,
      returns: z.strictObject({ id, status: z.string() }),
      permission: "imports:delete",
      rest: "POST /imports/:id/rollback",
      status: 202,
      location: ({ id }) => `/imports/${id}`,
    }),
  },
  events: {
    "import.progressed": z.strictObject({ import: leadImport }),
    "import.completed": z.strictObject({ import: leadImport }),
    "import.failed": z.strictObject({ import: leadImport }),
    "import.rolled_back": z.strictObject({
      import: leadImport,
      /** Leads left as they are, because somebody worked on them after the import. */
      kept: z.number().int(),
    }),
  },
  jobs: {
    run: job({
      summary: "Imports a file, or turns an import back, from where it is to its end",
      payload: z.strictObject({ importId: id }),
      queue: "imports",
      maxAttempts: 25,
      timeoutMs: 24 * 3_600_000,
    }),
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
