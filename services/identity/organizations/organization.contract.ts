import { z } from "zod";
import { action } from "../../../mixins/contract/contract.ts";
import { cronPayload, job } from "../../../mixins/jobs/job-spec.ts";
import { planNames } from "../../../mixins/organizations/plans.ts";
import {
  currency,
  expectedVersion,
  id,
  nameText,
  text,
  timestamp,
} from "../../../mixins/contract/schemas.ts";
import { secondFactorCode } from "../second-factor/second-factor.contract.ts";
import { timeZone } from "../../../mixins/contract/time-zone.ts";
import { isPhoneCountry } from "../../../mixins/values/phone.ts";

export const organization = z
  .strictObject({
    id,
    name: z.string(),
    domain: z.string().nullable(),
    /** Since when the domain is proved to be the organization's; until then it counts for nothing. */
    domainVerifiedAt: timestamp.nullable(),
    /** The TXT record that proves it; null without a domain. */
    domainVerification: z.strictObject({ name: z.string(), value: z.string() }).nullable(),
    /** IANA name. */
    timezone: z.string(),
    /** Of phones that are written without one; ISO 3166-1. */
    country: z.string(),
    /** In which sums over deals are told, and of amounts that come without one; ISO 4217. */
    currency: z.string(),
    plan: z.string(),
    /** Where its rows lie; chosen at registration, changed only by a move. */
    dataRegion: z.string(),
    trialEndsAt: timestamp.nullable(),
    /** Since when the platform has it suspended. */
    suspendedAt: timestamp.nullable(),
    /** When everything of it is erased; until then it is suspended, and can be restored. */
    deletionDueAt: timestamp.nullable(),
    createdAt: timestamp,
    updatedAt: timestamp,
    version: z.number().int(),
  })
  .meta({ id: "Organization" });
export type OrganizationView = z.output<typeof organization>;

/** Lowercased; at least two labels (RFC 1035). */
const domain = z
  .string()
  .trim()
  .toLowerCase()
  .max(253)
  .regex(
    /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])$/,
    "must be a domain such as example.com",
  );

const country = z
  .string()
  .toUpperCase()
  .refine(isPhoneCountry, "must be a country of ISO 3166-1, such as IN, US or DE");

const used = z
  .strictObject({
    used: z.number().int(),
    /** null: the plan has no limit. */
    limit: z.number().int().nullable(),
  })
  .meta({ id: "Used" });

/** Settings, use and end of an organization; part of identityContract. */
export const organizationActions = {
  getOrganization: action({
    summary: "The organization of the token",
    params: z.strictObject({}),
    returns: organization,
    reads: true,
    permission: "organization:read",
    rest: "GET /organization",
  }),
  updateOrganization: action({
    summary: "Changes the organization's name, domain, time zone, country or currency",
    params: z
      .strictObject({ name: nameText(200), domain: domain.nullable(), timezone: timeZone, country, currency })
      .partial()
      .extend({ expectedVersion }),
    returns: organization,
    permission: "organization:update",
    rest: "PATCH /organization",
  }),
  verifyDomain: action({
    summary: "Looks for the TXT record that proves the organization's domain to be its own",
    params: z.strictObject({}),
    returns: organization,
    permission: "organization:update",
    rest: "POST /organization/domain/verify",
  }),
  getUsage: action({
    summary: "What the organization uses of what its plan allows",
    params: z.strictObject({}),
    returns: z.strictObject({
      plan: z.string(),
      /** Active ones. */
      users: used,
      /** As `records.lead`. */
      leads: used,
      /** Those that are not deleted, by the name of their kind. */
      records: z.record(z.string(), used),
      storageBytes: used,
      /** Today, UTC; some seconds behind. */
      apiCallsPerDay: used,
      /** Of all users together. */
      requestsPerMinute: z.number().int(),
      /** Routes that are about to go, which the organization has called in the last 30 days; the most called first. */
      deprecatedCalls: z.array(
        z.strictObject({
          /** `GET /leads/search`. */
          route: z.string(),
          /** What to call in its place. */
          use: z.string(),
          /** When it goes. */
          sunset: z.string(),
          calls: z.number().int(),
          /** Day (UTC) of the last call. */
          lastCalledOn: z.string(),
        }),
      ),
    }),
    reads: true,
    permission: "organization:read",
    rest: "GET /organization/usage",
  }),
  deleteOrganization: action({
    summary: "Suspends the organization and erases everything of it in 30 days, unless it is restored",
    params: z.strictObject({
      password: z.string().max(200),
      totp: secondFactorCode.optional(),
      expectedVersion,
    }),
    returns: organization,
    permission: "organization:delete",
    rest: "DELETE /organization",
    status: 202,
    location: () => "/organization/deletion",
  }),
  getDeletion: action({
    summary: "When everything of the organization is erased, unless it is restored before",
    params: z.strictObject({}),
    returns: z.strictObject({
      /** Of the organization. */
      id,
      status: z.enum(["scheduled", "erasing"]),
      deletionDueAt: timestamp,
    }),
    reads: true,
    permission: "organization:read",
    rest: "GET /organization/deletion",
    whileSuspended: true,
    fails: [404],
  }),
  suspendOrganization: action({
    summary: "Suspends an organization: nobody may act for it, and its jobs wait",
    params: z.strictObject({ organizationId: id, reason: text(500) }),
    returns: organization,
    permission: "system",
  }),
  resumeOrganization: action({
    summary: "Ends the suspension of an organization",
    params: z.strictObject({ organizationId: id }),
    returns: organization,
    permission: "system",
  }),
  setPlan: action({
    summary: "Puts an organization on a plan",
    params: z.strictObject({ organizationId: id, plan: z.enum(planNames) }),
    returns: organization,
    permission: "system",
  }),
};

const change = z.strictObject({ version: z.number().int() });
export const organizationEvents = {
  "organization.updated": change,
  "organization.domain_verified": change,
  "organization.plan_changed": change,
  "organization.suspended": change,
  "organization.resumed": change,
  "organization.deletion_scheduled": change,
  "organization.restored": change,
};
export type OrganizationChange = keyof typeof organizationEvents;

export const organizationJobs = {
  announceChange: job({
    summary: "Tells an organization's feed of a change of it, which the control database knows",
    payload: z.strictObject({
      type: z.enum(Object.keys(organizationEvents) as [OrganizationChange, ...OrganizationChange[]]),
      version: z.number().int(),
      actorId: id.nullable(),
    }),
    whileSuspended: true,
  }),
  wakeJobs: job({
    summary: "Lets the jobs run that waited for the end of an organization's suspension",
    payload: z.strictObject({ organizationId: id }),
    scope: "platform",
  }),
  findErasures: job({
    summary: "Finds the organizations that are to be erased",
    payload: cronPayload,
    scope: "platform",
    cron: { schedule: "23 * * * *", missed: "skip" },
  }),
  eraseOrganization: job({
    summary: "Erases everything of an organization, a batch at a time, from where it stopped",
    payload: z.strictObject({ organizationId: id }),
    scope: "platform",
    timeoutMs: 3_600_000,
  }),
};
