import { z } from "zod";
import { actor } from "../../mixins/actors/actor-contract.ts";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import { byId, id, pageOf, text, timeInput, timestamp } from "../../mixins/contract/schemas.ts";
import { timeZone } from "../../mixins/contract/time-zone.ts";
import { cronPayload, job } from "../../mixins/jobs/job-spec.ts";
import { personalData } from "../../mixins/privacy/personal-data.ts";
import { byIdOf, listParams, type Listing } from "../../mixins/records/finding/listing.ts";
import { callableKinds } from "./callees.ts";

export const callStatuses = ["waiting", "claimed", "held", "completed", "closed"] as const;
const zoneSources = ["given", "phone", "organization"] as const;
export const closedReasons = ["no_tries_left", "expired", "no_phone"] as const;

const call = z
  .strictObject({
    id,
    queueId: id,
    /** Of the record that is called; null: a number alone. */
    kind: z.string().nullable(),
    recordId: id.nullable(),
    /** The number, E.164. Where none was given it is the record's as it was when looked at last: the claim looks again. */
    phone: z.string(),
    /** All of their clocks must show a time within the queue's window. */
    timeZones: z.array(z.string()),
    /** How these are known: they were given, are those of the phone's country, or the organization's where that has none. */
    timeZoneFrom: z.enum(zoneSources),
    /** Higher ones first. */
    priority: z.number().int(),
    notBefore: timestamp,
    /** When it is closed if it was not made; null: never. */
    notAfter: timestamp.nullable(),
    /** `held`: its record is deleted, which hides it too. */
    status: z.enum(callStatuses),
    /** How often it was tried. */
    attempts: z.number().int(),
    claimedBy: id.nullable(),
    claimedAt: timestamp.nullable(),
    /** When it is given back unless it is completed before. */
    claimEndsAt: timestamp.nullable(),
    outcome: z.string().nullable(),
    notes: z.string().nullable(),
    /** Why it was closed without having been completed. */
    closedReason: z.enum(closedReasons).nullable(),
    /** When it was completed or closed. */
    closedAt: timestamp.nullable(),
    createdBy: id.nullable(),
    createdAt: timestamp,
    updatedAt: timestamp,
    version: z.number().int(),
  })
  .meta({ id: "Call" });
export type CallView = z.output<typeof call>;

export const callListing: Listing = {
  table: "calls",
  fields: {
    ...{ id: "uuid", queueId: "uuid", kind: "text", recordId: "uuid", phone: "text", timeZones: "json" },
    ...{ timeZoneFrom: "text", priority: "integer", notBefore: "timestamp", notAfter: "timestamp" },
    ...{ status: "text", attempts: "integer", claimedBy: "uuid", claimedAt: "timestamp" },
    ...{
      claimEndsAt: "timestamp",
      outcome: "text",
      notes: "text",
      closedReason: "text",
      closedAt: "timestamp",
    },
    ...{ createdBy: "uuid", createdAt: "timestamp", updatedAt: "timestamp", version: "integer" },
  },
  columns: { timeZones: ["zone"], timeZoneFrom: ["zone_from"] },
  filterable: [
    ...["queueId", "kind", "recordId", "phone", "priority", "notBefore", "status", "claimedBy"],
    ...["outcome", "closedReason", "createdBy", "createdAt", "updatedAt"],
  ],
  values: { status: callStatuses, closedReason: closedReasons },
  sortable: ["createdAt", "updatedAt", "notBefore", "priority"],
  defaultSort: "-createdAt",
};

const changed = { returns: call, permission: "calls:update", fails: [409] } as const;
const event = z.strictObject({ call });
/** Who sends, and what they may: whoever may change the queue manages its calls. */
const sender = z.strictObject({ userId: id, isManager: z.boolean() });
const ofCall = sender.extend({ callId: id });

/** Calls that wait in queues until a member claims them. */
export const callsContract = defineContract("calls", {
  tables: { owns: ["calls"], reads: ["call_queues"] },
  actions: {
    schedule: action({
      summary: "Puts a call into a queue: of a record that has a phone, or of a number",
      params: z
        .strictObject({
          queueId: id,
          /** Of the record. Default lead. */
          kind: z.lazy(() => z.enum([...callableKinds().keys()] as [string, ...string[]])).optional(),
          recordId: id.optional(),
          /** In place of the record's own, or alone. */
          phone: text(40).optional(),
          /** Of who is called. Default: that of the phone's country, else the organization's. */
          timeZone: timeZone.optional(),
          /** Default now. */
          notBefore: timeInput.optional(),
          /** When it is closed if it was not made. Default as the queue has it. */
          notAfter: timeInput.optional(),
          /** Higher ones first. */
          priority: z.number().int().min(0).max(100).default(0),
        })
        .refine(({ recordId, phone }) => recordId !== undefined || phone !== undefined, {
          path: ["recordId"],
          error: "give recordId, phone, or both",
          params: { code: "required" },
        })
        .refine(({ kind, recordId }) => kind === undefined || recordId !== undefined, {
          path: ["recordId"],
          error: "must be given with kind",
          params: { code: "required" },
        }),
      returns: call,
      permission: "calls:create",
      rest: "POST /calls",
      status: 201,
      example: {
        params: { queueId: "01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f", phone: "+919876543210", priority: 5 },
      },
    }),
    list: action({
      summary: "Lists the calls of one's queues, one's own, and those of records that one sees",
      params: listParams(callListing).omit({ q: true }),
      returns: pageOf(call.partial().extend({ id }).meta({ id: "CallPart" })),
      reads: true,
      permission: "calls:read",
      rest: "GET /calls",
    }),
    get: action({
      summary: "One call",
      params: byIdOf(callListing),
      returns: call,
      reads: true,
      permission: "calls:read",
      rest: "GET /calls/:id",
    }),
    claim: action({
      summary:
        "Takes the call that is next, for members of the queue; 204 where none may be made now, 409 CALL_OPEN with one in hand",
      params: byId,
      returns: call.nullable(),
      permission: "calls:update",
      rest: "POST /call-queues/:id/claim",
      fails: [409],
    }),
    complete: action({
      summary: "Ends a call that one has claimed",
      params: z.strictObject({ id, outcome: text(200), notes: text(5_000).nullable().default(null) }),
      ...changed,
      rest: "POST /calls/:id/complete",
      example: { params: { outcome: "reached", notes: "Wants a quotation" } },
    }),
    release: action({
      summary: "Gives a claimed call back, as if it had not been claimed",
      params: byId,
      ...changed,
      rest: "POST /calls/:id/release",
    }),
    retry: action({
      summary: "Gives a claimed call back to be tried again later; closed where it was tried often enough",
      params: z.strictObject({
        id,
        /** Default: after the pause of the queue. */
        notBefore: timeInput.optional(),
        notes: text(5_000).nullable().optional(),
      }),
      ...changed,
      rest: "POST /calls/:id/retry",
    }),
  },
  events: {
    "call.scheduled": event,
    "call.claimed": event,
    "call.completed": event,
    "call.released": event,
    "call.retried": event,
    "call.closed": event,
  },
  actors: {
    /** Who gets which call of a queue; the actor's id is the queue's. The calls are rows: it keeps nothing itself. */
    queue: actor({
      state: z.strictObject({}),
      messages: {
        /** The call that is next is the sender's. Answers its id, or null; what is said of it is read then. */
        claim: { params: sender, returns: id.nullable() },
        complete: {
          params: ofCall.extend({ outcome: z.string(), notes: z.string().nullable() }),
          returns: z.null(),
        },
        release: { params: ofCall, returns: z.null() },
        retry: {
          params: ofCall.extend({
            notBefore: timestamp.nullable(),
            notes: z.string().nullable().optional(),
          }),
          returns: z.null(),
        },
        /** A reminder: a claim's time is over. */
        endClaim: { params: z.strictObject({ callId: id }), returns: z.null() },
      },
    }),
  },
  jobs: {
    findStale: job({
      summary: "Finds the organizations with calls to be put in order",
      payload: cronPayload,
      scope: "platform",
      cron: { schedule: "23 * * * *", missed: "skip" },
    }),
    putInOrder: job({
      summary:
        "Gives back calls whose claim is over, closes those whose time is over, and brings back those whose record is back",
      payload: z.strictObject({}),
    }),
  },
  personalData: {
    calls: personalData({
      summary: "Calls of a person and of their numbers; deleted",
      tables: ["calls"],
      fields: ["phone", "notes"],
    }),
  },
});
