import { z } from "zod";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import { cronPayload, job } from "../../mixins/jobs/job-spec.ts";
import { kinds, tellsOfPersons } from "../../mixins/records/kind/kinds.ts";
import { listParams, type Listing } from "../../mixins/records/finding/listing.ts";
import { personalData } from "../../mixins/privacy/personal-data.ts";
import { byId, email, expectedVersion, id, pageOf, text, timestamp } from "../../mixins/contract/schemas.ts";

/** What was done of one kind of data. */
const part = z
  .strictObject({
    /** `leads.leads`: the service and the kind, see docs/privacy.md. */
    part: z.string(),
    /** Records exported or erased. */
    count: z.number().int(),
    /** Records that were left because of a duty. */
    kept: z.number().int(),
  })
  .meta({ id: "ReceiptPart" });
export type ReceiptPart = z.output<typeof part>;

const requestKinds = ["export", "erasure", "retention"] as const;
const scopes = ["person", "organization"] as const;
const statuses = ["pending", "running", "completed"] as const;
const request = z
  .strictObject({
    id,
    kind: z.enum(requestKinds),
    scope: z.enum(scopes),
    status: z.enum(statuses),
    /** Null: by the clock. */
    requestedBy: id.nullable(),
    reason: z.string().nullable(),
    receipt: z.strictObject({ parts: z.array(part) }).nullable(),
    /** Of an export, until it expires. */
    archive: z.strictObject({ bytes: z.number().int(), sha256: z.string(), expiresAt: timestamp }).nullable(),
    createdAt: timestamp,
    startedAt: timestamp.nullable(),
    finishedAt: timestamp.nullable(),
    version: z.number().int(),
  })
  .meta({ id: "PrivacyRequest" });
export type RequestView = z.output<typeof request>;

export const requestListing: Listing = {
  table: "privacy_requests",
  fields: {
    id: "uuid",
    kind: "text",
    scope: "text",
    status: "text",
    requestedBy: "uuid",
    reason: "text",
    receipt: "json",
    archiveBytes: "integer",
    archiveSha256: "text",
    archiveExpiresAt: "timestamp",
    createdAt: "timestamp",
    startedAt: "timestamp",
    finishedAt: "timestamp",
    version: "integer",
  },
  filterable: ["kind", "scope", "status", "requestedBy", "createdAt"],
  values: { kind: requestKinds, scope: scopes, status: statuses },
  sortable: ["createdAt"],
  defaultSort: "-createdAt",
};

/** What may be a person: a user, or a record that says who somebody is. */
const personKind = z.lazy(() =>
  z.enum([...[...kinds.values()].filter(tellsOfPersons).map(({ name }) => name), "user"]),
);
const whom = {
  email: email.optional(),
  /** With + and the country code, or as leads take it. */
  phone: text(40).optional(),
  subject: z.strictObject({ kind: personKind, id }).optional(),
};
const given = (values: unknown[]) => values.filter((value) => value !== undefined).length;
const byRequest = z.strictObject({ requestId: id });
const days = z.number().int().positive();

/** What is held of persons: its export, its erasure, and how long it is kept. */
export const privacyContract = defineContract("privacy", {
  tables: {
    owns: ["privacy_chunks", "privacy_requests", "retention_settings"],
    reads: ["control.organizations"],
  },
  actions: {
    createExport: action({
      summary: "Exports what is held of a person, or the whole organization, as a ZIP made in the background",
      params: z
        .strictObject({ ...whom, scope: z.literal("organization").optional() })
        .refine(
          ({ email, phone, subject, scope }) => given([email, phone, subject, scope]) === 1,
          "give one of email, phone, subject and scope",
        ),
      returns: request,
      permission: "privacy:create",
      rest: "POST /privacy/exports",
      status: 202,
      location: ({ id }) => `/privacy/requests/${id}`,
      example: { params: { email: "asha.rao@example.com" } },
    }),
    createErasure: action({
      summary: "Erases a person everywhere, in the background; it cannot be undone",
      params: z
        .strictObject({ ...whom, reason: text(1000) })
        .refine(
          ({ email, phone, subject }) => given([email, phone, subject]) === 1,
          "give one of email, phone and subject",
        ),
      returns: request,
      permission: "privacy:create",
      rest: "POST /privacy/erasures",
      status: 202,
      location: ({ id }) => `/privacy/requests/${id}`,
      example: { params: { email: "asha.rao@example.com", reason: "Asked for it by mail" } },
    }),
    listRequests: action({
      summary: "Exports, erasures and what retention has erased, newest first",
      params: listParams(requestListing).omit({ fields: true }),
      returns: pageOf(request),
      reads: true,
      permission: "privacy:read",
      rest: "GET /privacy/requests",
    }),
    getRequest: action({
      summary: "How far an export or erasure is, and its receipt",
      params: byId,
      returns: request,
      reads: true,
      permission: "privacy:read",
      rest: "GET /privacy/requests/:id",
    }),
    downloadArchive: action({
      summary: "The archive of an export, for 7 days",
      params: byId,
      returns: z.unknown(),
      reads: true,
      permission: "privacy:read",
      rest: "GET /privacy/requests/:id/archive",
      fails: [409, 410],
      transfer: "download",
      file: () => ({ name: "export.zip", type: "application/zip" }),
    }),
    getRetention: action({
      summary: "How many days each kind of record is kept once nobody works with it",
      params: z.strictObject({}),
      returns: z.strictObject({
        data: z.array(
          z.strictObject({ part: z.string(), days, least: days, most: days, summary: z.string() }),
        ),
        version: z.number().int(),
      }),
      reads: true,
      permission: "privacy:read",
      rest: "GET /privacy/retention",
    }),
    setRetention: action({
      summary: "Sets how many days kinds of records are kept; null is the default again",
      params: z.strictObject({ days: z.record(z.string(), days.nullable()), expectedVersion }),
      returns: z.strictObject({ days: z.record(z.string(), days), version: z.number().int() }),
      permission: "privacy:create",
      rest: "PATCH /privacy/retention",
    }),
  },
  events: {
    "privacy.requested": z.strictObject({ kind: z.string(), scope: z.string() }),
    "privacy.completed": z.strictObject({ kind: z.string(), parts: z.array(part) }),
    /** Whoever holds copies of these records outside must erase them too. */
    "person.erased": z.strictObject({
      requestId: id,
      subjects: z.array(z.strictObject({ kind: z.string(), id })),
    }),
    "retention.changed": z.strictObject({ version: z.number().int() }),
  },
  jobs: {
    export: job({
      summary: "Makes the archive of an export; begun anew when it was cut off",
      payload: byRequest,
      queue: "analytics",
      timeoutMs: 6 * 3_600_000,
    }),
    erase: job({
      summary: "Erases a person, from where it was cut off",
      payload: byRequest,
      maxAttempts: 25,
      timeoutMs: 3_600_000,
    }),
    findRetention: job({
      summary: "Adds the job privacy.retain of each organization, and forgets archives after 7 days",
      payload: cronPayload,
      scope: "platform",
      cron: { schedule: "35 2 * * *", missed: "skip" },
    }),
    retain: job({
      summary: "Erases what an organization has kept long enough",
      payload: byRequest,
      queue: "analytics",
      timeoutMs: 3_600_000,
    }),
  },
  personalData: {
    requests: personalData({
      summary:
        "Archives of exports, sealed; an erasure drops all that were made before it, and exports under way begin anew",
      tables: ["privacy_requests", "privacy_chunks", "erased_persons"],
    }),
  },
});
