import { z } from "zod";
import { action, defineContract } from "../../mixins/contract.ts";
import { listParams, type Listing } from "../../mixins/listing.ts";
import {
  byId,
  byIdVersioned,
  email,
  expectedVersion,
  id,
  money,
  pageOf,
  text,
  timestamp,
} from "../../mixins/schemas.ts";

export const leadStatuses = ["new", "contacted", "qualified", "unqualified", "converted"] as const;

const scoreReason = z.strictObject({ factor: z.string(), points: z.number(), detail: z.string() });
const customFields = z
  .record(
    z.string().regex(/^[\w -]{1,64}$/, "keys are up to 64 letters, digits, spaces, _ and -"),
    z.union([text(5000), z.number(), z.boolean(), z.null()]),
  )
  .refine((fields) => Object.keys(fields).length <= 100, "at most 100 custom fields");
const consent = z.record(z.string().regex(/^\w{1,32}$/), z.union([z.boolean(), text(200), z.null()]));

/** A person who may buy, before they are a contact. */
export const lead = z.strictObject({
  id,
  externalId: z.string().nullable(),
  firstName: z.string().nullable(),
  lastName: z.string().nullable(),
  /** Lowercased. */
  email: z.string().nullable(),
  /** E.164. */
  phone: z.string().nullable(),
  companyName: z.string().nullable(),
  title: z.string().nullable(),
  source: z.string().nullable(),
  status: z.enum(leadStatuses),
  /** 0 to 100; scoreReasons explain every point. */
  score: z.number().int().min(0).max(100),
  scoreReasons: z.array(scoreReason),
  assignedTo: id.nullable(),
  tags: z.array(z.string()),
  customFields: z.record(z.string(), z.unknown()),
  consent: z.record(z.string(), z.unknown()),
  lastActivityAt: timestamp.nullable(),
  convertedAt: timestamp.nullable(),
  createdAt: timestamp,
  updatedAt: timestamp,
  version: z.number().int(),
});
export type LeadView = z.output<typeof lead>;

/** What a caller may say of a lead. Phones may be written as people do; they become E.164. */
const leadFields = {
  externalId: text(200).nullable(),
  firstName: text(200).nullable(),
  lastName: text(200).nullable(),
  email: email.nullable(),
  phone: text(40).nullable(),
  companyName: text(300).nullable(),
  title: text(200).nullable(),
  source: text(100).nullable(),
  assignedTo: id.nullable(),
  tags: z.array(text(50)).max(50),
  customFields,
  consent,
};
/** A lead is somebody: one of these must be there. */
const identifying = ["email", "phone", "firstName", "lastName", "companyName", "externalId"] as const;
const somebody = (input: Partial<Record<(typeof identifying)[number], unknown>>) =>
  identifying.some((field) => input[field] !== undefined && input[field] !== null);
const somebodyMessage = `give at least one of ${identifying.join(", ")}`;

export const leadInput = z
  .strictObject({ ...leadFields, status: z.enum(["new", "contacted", "qualified", "unqualified"]) })
  .partial();
export type LeadInput = z.output<typeof leadInput>;
export const newLead = leadInput.refine(somebody, somebodyMessage);

export const leadListing: Listing = {
  table: "leads",
  fields: {
    id: "uuid",
    externalId: "text",
    firstName: "text",
    lastName: "text",
    email: "text",
    phone: "text",
    companyName: "text",
    title: "text",
    source: "text",
    status: "text",
    score: "integer",
    scoreReasons: "json",
    assignedTo: "uuid",
    tags: "text[]",
    customFields: "json",
    consent: "json",
    lastActivityAt: "timestamp",
    convertedAt: "timestamp",
    createdAt: "timestamp",
    updatedAt: "timestamp",
    version: "integer",
  },
  filterable: [
    ...["externalId", "firstName", "lastName", "email", "phone", "companyName", "title", "source", "status"],
    ...["score", "assignedTo", "tags", "lastActivityAt", "convertedAt", "createdAt", "updatedAt"],
  ],
  sortable: ["createdAt", "updatedAt", "score", "lastActivityAt", "lastName", "companyName"],
  defaultSort: "-createdAt",
  searchColumn: "search",
  customFields: true,
};

/** What conditions may ask about: fields of the lead, and facts derived from them (scoring.facts.ts). */
export const factFields = [
  ...[
    "externalId",
    "firstName",
    "lastName",
    "email",
    "phone",
    "companyName",
    "title",
    "source",
    "status",
    "tags",
  ],
  ...["emailDomain", "emailKind", "seniority", "visits", "secondsOnSite", "doNotEmail", "doNotCall"],
] as const;
const conditionOn = (fields: readonly string[]) =>
  z.strictObject({
    /** One of `fields`, `customFields.<key>` or `consent.<key>`. */
    field: z
      .string()
      .max(100)
      .refine((field) => fields.includes(field) || /^(customFields|consent)\.[\w -]{1,64}$/.test(field), {
        error: "is not a field that conditions know",
        params: { code: "unknown_field" },
      }),
    op: z.enum(["eq", "ne", "gt", "gte", "lt", "lte", "in", "like", "isnull"]),
    /** For `in` a list, for `like` a text or a list of texts (`*` stands for anything), for `isnull` a boolean. */
    value: z.union([text(500), z.number(), z.boolean(), z.array(z.union([text(500), z.number()])).max(100)]),
  });
/** Pools may ask for the score too; a scoring rule may not. */
const criterion = conditionOn([...factFields, "score"]);
const pool = z.strictObject({
  id,
  name: z.string(),
  strategy: z.enum(["round_robin", "weighted", "least_loaded"]),
  members: z.array(z.strictObject({ userId: id, weight: z.number().int() })),
  criteria: z.array(criterion),
  priority: z.number().int(),
  isActive: z.boolean(),
  createdAt: timestamp,
  updatedAt: timestamp,
  version: z.number().int(),
});
export type PoolView = z.output<typeof pool>;
const poolFields = {
  name: text(100),
  strategy: z.enum(["round_robin", "weighted", "least_loaded"]),
  members: z
    .array(z.strictObject({ userId: id, weight: z.number().int().min(1).max(100).default(1) }))
    .max(200)
    .refine(
      (members) => new Set(members.map((m) => m.userId)).size === members.length,
      "a member stands twice",
    ),
  criteria: z.array(criterion).max(20),
  priority: z.number().int().min(0).max(10_000),
  isActive: z.boolean(),
};
export const poolListing: Listing = {
  table: "assignment_pools",
  fields: {
    id: "uuid",
    name: "text",
    strategy: "text",
    members: "json",
    criteria: "json",
    priority: "integer",
    isActive: "boolean",
    createdAt: "timestamp",
    updatedAt: "timestamp",
    version: "integer",
  },
  filterable: ["name", "strategy", "isActive"],
  sortable: ["priority", "name", "createdAt"],
  defaultSort: "priority",
};

const scoringRule = z.strictObject({
  /** Stable name of what is judged, shown in scoreReasons. */
  factor: text(100),
  points: z.number().int().min(-100).max(100),
  /** All must hold. */
  conditions: z.array(conditionOn(factFields)).min(1).max(10),
  detail: text(300),
});
const scoringRules = z.strictObject({
  rules: z.array(scoringRule),
  /** True while the organization has none of its own; version is 0 then. */
  isDefault: z.boolean(),
  version: z.number().int(),
});

const leadEvent = z.strictObject({ lead, changes: z.array(z.string()).optional() });
const poolEvent = z.strictObject({ pool });
const convertResult = z.strictObject({
  contact: z.strictObject({
    id,
    firstName: z.string().nullable(),
    lastName: z.string().nullable(),
    email: z.string().nullable(),
    phone: z.string().nullable(),
    title: z.string().nullable(),
    lifecycleStage: z.string(),
    companyId: id.nullable(),
    leadId: id.nullable(),
    assignedTo: id.nullable(),
    createdAt: timestamp,
    version: z.number().int(),
  }),
  company: z
    .strictObject({ id, name: z.string(), domain: z.string().nullable(), version: z.number().int() })
    .optional(),
  deal: z
    .strictObject({
      id,
      name: z.string(),
      amount: money.nullable(),
      pipelineId: id,
      stageId: id,
      ownerId: id.nullable(),
      contactId: id.nullable(),
      companyId: id.nullable(),
      status: z.enum(["open", "won", "lost"]),
      version: z.number().int(),
    })
    .optional(),
});
export type ConvertResult = z.output<typeof convertResult>;

/** One row of an imported file. */
const importRow = z.strictObject({
  /** Place in the file; the first row after the heading is 1. */
  rowNumber: z.number().int().positive(),
  /** What the row says, by the names of `leadInput`; empty cells are left out. */
  input: z.unknown(),
  /** The row as it stands in the file, column → cell, for the file of rejected rows. */
  record: z.record(z.string(), z.string()),
  /** Why the parser rejected the row; `input` is not looked at then. */
  error: z.string().optional(),
});

export const leadsContract = defineContract("leads", {
  actions: {
    create: action({
      summary: "Captures a lead: normalised, scored and, where a pool matches, assigned",
      params: newLead,
      returns: lead,
      permission: "leads:create",
      rest: "POST /leads",
      status: 201,
    }),
    list: action({
      summary: "Lists leads, newest first",
      params: listParams(leadListing),
      returns: pageOf(lead.partial().extend({ id })),
      permission: "leads:read",
      rest: "GET /leads",
    }),
    get: action({
      summary: "One lead",
      params: byId,
      returns: lead,
      permission: "leads:read",
      rest: "GET /leads/:id",
    }),
    update: action({
      summary: "Changes fields of a lead and rescores it; null empties a field",
      params: leadInput.extend({ id, expectedVersion }),
      returns: lead,
      permission: "leads:update",
      rest: "PATCH /leads/:id",
    }),
    remove: action({
      summary: "Deletes a lead; it can be restored",
      params: byIdVersioned,
      returns: z.null(),
      permission: "leads:delete",
      rest: "DELETE /leads/:id",
      status: 204,
    }),
    restore: action({
      summary: "Brings a deleted lead back",
      params: byId,
      returns: lead,
      permission: "leads:delete",
      rest: "POST /leads/:id/restore",
    }),
    bulkCreate: action({
      summary: "Captures up to 1,000 leads; a bad one does not fail the rest",
      params: z.strictObject({ items: z.array(z.unknown()).min(1).max(1000) }),
      returns: z.strictObject({
        results: z.array(
          z.strictObject({
            index: z.number().int(),
            status: z.number().int(),
            id: id.optional(),
            error: z
              .strictObject({
                code: z.string(),
                detail: z.string(),
                errors: z
                  .array(z.strictObject({ path: z.string(), code: z.string(), message: z.string() }))
                  .optional(),
              })
              .optional(),
          }),
        ),
      }),
      permission: "leads:create",
      rest: "POST /leads/bulk",
    }),
    upsert: action({
      summary: "Creates the lead with this external id, or changes it",
      params: leadInput.omit({ externalId: true }).extend({ externalId: text(200), expectedVersion }),
      returns: lead,
      permission: "leads:update",
      rest: "PUT /leads/by-external-id/:externalId",
    }),
    assign: action({
      summary: "Gives a lead to a user, or to whom a pool's strategy chooses",
      params: z
        .strictObject({ id, userId: id.optional(), poolId: id.optional() })
        .refine((p) => (p.userId === undefined) !== (p.poolId === undefined), "give userId or poolId"),
      returns: lead,
      permission: "leads:update",
      rest: "POST /leads/:id/assign",
    }),
    convert: action({
      summary: "Makes a contact, a company and, if asked, a deal of a lead, in one transaction",
      params: z.strictObject({
        id,
        createDeal: z.boolean().default(false),
        pipelineId: id.optional(),
        amount: money.optional(),
      }),
      returns: convertResult,
      permission: "leads:update",
      rest: "POST /leads/:id/convert",
    }),
    timeline: action({
      summary: "What happened to a lead, newest first",
      params: z.strictObject({
        id,
        limit: z.coerce.number().int().min(1).max(200).default(50),
        cursor: z.string().max(100).optional(),
      }),
      returns: pageOf(
        z.strictObject({
          id,
          type: z.string(),
          actorId: id.nullable(),
          occurredAt: timestamp,
          entityVersion: z.number().int(),
          data: z.unknown(),
        }),
      ),
      permission: "leads:read",
      rest: "GET /leads/:id/timeline",
    }),
    duplicates: action({
      summary: "Other leads with the same email or phone",
      params: byId,
      returns: z.strictObject({
        data: z.array(z.strictObject({ lead, matchedBy: z.array(z.enum(["email", "phone"])) })),
      }),
      permission: "leads:read",
      rest: "GET /leads/:id/duplicates",
    }),
    export: action({
      summary: "All leads that match, as CSV or XLSX",
      params: listParams(leadListing)
        .omit({ limit: true, cursor: true, count: true })
        .extend({ format: z.enum(["csv", "xlsx"]).default("csv") }),
      returns: z.unknown(),
      permission: "reports:export",
      rest: "GET /leads/export",
      transfer: "download",
    }),
    score: action({
      summary: "Scores leads without storing them",
      params: z.strictObject({ leads: z.array(leadInput).min(1).max(1000) }),
      returns: z.strictObject({
        scores: z.array(
          z.strictObject({ score: z.number().int(), probability: z.number(), reasons: z.array(scoreReason) }),
        ),
      }),
      permission: "scoring:read",
      rest: "POST /leads/score",
    }),
    getScoringRules: action({
      summary: "The organization's scoring rules, or the defaults",
      params: z.strictObject({}),
      returns: scoringRules,
      permission: "scoring:read",
      rest: "GET /scoring/rules",
    }),
    setScoringRules: action({
      summary: "Replaces the scoring rules; every lead is rescored in the background",
      params: z.strictObject({
        rules: z.array(scoringRule).max(100),
        /** 0 while the defaults hold. */
        expectedVersion: z.number().int().min(0).optional(),
      }),
      returns: scoringRules,
      permission: "scoring:update",
      rest: "PUT /scoring/rules",
    }),
    listPools: action({
      summary: "Lists assignment pools in the order they are tried",
      params: listParams(poolListing),
      returns: pageOf(pool.partial().extend({ id })),
      permission: "pools:read",
      rest: "GET /assignment-pools",
    }),
    createPool: action({
      summary: "Makes an assignment pool",
      params: z.strictObject({
        ...poolFields,
        criteria: poolFields.criteria.default([]),
        priority: poolFields.priority.default(100),
        isActive: poolFields.isActive.default(true),
      }),
      returns: pool,
      permission: "pools:create",
      rest: "POST /assignment-pools",
      status: 201,
    }),
    getPool: action({
      summary: "One assignment pool",
      params: byId,
      returns: pool,
      permission: "pools:read",
      rest: "GET /assignment-pools/:id",
    }),
    updatePool: action({
      summary: "Changes an assignment pool",
      params: z.strictObject(poolFields).partial().extend({ id, expectedVersion }),
      returns: pool,
      permission: "pools:update",
      rest: "PATCH /assignment-pools/:id",
    }),
    removePool: action({
      summary: "Deletes an assignment pool; its leads stay with their assignees",
      params: byIdVersioned,
      returns: z.null(),
      permission: "pools:delete",
      rest: "DELETE /assignment-pools/:id",
      status: 204,
    }),
    importBatch: action({
      summary:
        "Writes the next rows of an import and moves its checkpoint, in one transaction; 409 IMPORT_FENCED when the import is not where the caller thinks",
      params: z.strictObject({
        importId: id,
        /** Must be the epoch of the running import. */
        epoch: z.number().int(),
        /** Must be its `processed`; afterwards that is this and the number of rows. */
        processedBefore: z.number().int().min(0),
        /** A duplicate has the external id, the email or the phone of a lead, or of an earlier row. */
        onDuplicate: z.enum(["skip", "update", "create"]),
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
  },
  events: {
    "lead.created": leadEvent,
    "lead.updated": leadEvent,
    "lead.assigned": leadEvent,
    "lead.deleted": leadEvent,
    "lead.restored": leadEvent,
    "lead.converted": z.strictObject({
      lead,
      contactId: id,
      companyId: id.nullable(),
      dealId: id.nullable(),
    }),
    "pool.created": poolEvent,
    "pool.updated": poolEvent,
    "pool.deleted": poolEvent,
    "scoring.rules_changed": z.strictObject({ version: z.number().int() }),
    "contact.created": z.strictObject({ contactId: id, leadId: id.nullable() }),
    "contact.updated": z.strictObject({ contactId: id, leadId: id.nullable() }),
    "company.created": z.strictObject({ companyId: id, name: z.string() }),
    "deal.created": z.strictObject({ dealId: id, name: z.string(), pipelineId: id, stageId: id }),
  },
});
