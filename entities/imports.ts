import { defineEntity, p, type InferEntity } from "@mikro-orm/postgresql";
import { tenantColumns } from "./columns.ts";

/** An uploaded CSV on its way into records. The counts are a checkpoint: written with the rows they count. */
export const LeadImport = defineEntity({
  name: "LeadImport",
  tableName: "imports",
  properties: {
    ...tenantColumns,
    createdBy: p.uuid().nullable(),
    /** Of its rows. */
    kind: p.string().default("lead"),
    fileName: p.string(),
    /** Column and target, in the order of the file: a JSON object would lose it. */
    mapping: p.json<[string, string | null][]>(),
    onDuplicate: p.string().$type<"skip" | "update" | "create">(),
    isDryRun: p.boolean().default(false),
    /** How the file is written and read, see ImportOptions. */
    options: p.json<Record<string, unknown>>(),
    /** pending | running | completed | failed | rolling_back | rolled_back */
    status: p.string().default("pending"),
    failure: p.string().nullable(),
    /** Rows of the file dealt with; a resumed run skips this many. */
    processed: p.integer().default(0),
    created: p.integer().default(0),
    updated: p.integer().default(0),
    skipped: p.integer().default(0),
    failed: p.integer().default(0),
    /** Records of other kinds that it made, by kind. */
    associated: p.json<Record<string, number>>(),
    /** Custom fields that it has defined. */
    definedFields: p.array<string>().columnType("uuid[]"),
    /** Rows of the file; null until it has been read to its end. */
    total: p.integer().nullable(),
    /** Fences a run: each takeover raises it, every batch checks it. */
    epoch: p.integer().default(0),
    startedAt: p.datetime(3).nullable(),
    finishedAt: p.datetime(3).nullable(),
  },
});
export type LeadImport = InferEntity<typeof LeadImport>;
