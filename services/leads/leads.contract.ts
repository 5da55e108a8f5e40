import { z } from "zod";
import { company } from "../../entities/company.ts";
import { contact } from "../../entities/contact.ts";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import { bulkItems, bulkResults, timelinePage, withoutSensitive } from "../../mixins/records/capabilities.ts";
import { byIdOf, fieldsParam, listParams, pageParams } from "../../mixins/records/listing.ts";
import {
  byId,
  byIdVersioned,
  expectedVersion,
  id,
  money,
  pageOf,
  price,
  text,
} from "../../mixins/contract/schemas.ts";
import { lead, leadInput, leadListing, newLead } from "./lead.schemas.ts";
import { leadImportActions } from "./lead-import.contract.ts";
import { leadsPersonalData } from "./personal-data.contract.ts";
import { poolActions, poolActors, poolEvents } from "./pools.contract.ts";
import { reminderActions, reminderEvents, reminderJobs } from "./reminders.contract.ts";
import { scoringActions, scoringJobs } from "./scoring.contract.ts";

const leadEvent = z.strictObject({ lead, changes: z.array(z.string()).optional() });
const convertResult = z
  .strictObject({
    contact: contact.view,
    company: company.view.optional(),
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
  })
  .meta({ id: "ConvertResult" });
export type ConvertResult = z.output<typeof convertResult>;

export const leadsContract = defineContract("leads", {
  tables: {
    owns: [
      "assignment_pools",
      "deals",
      "import_changes",
      "lead_reminders",
      "leads",
      "pipelines",
      "scoring_rules",
    ],
    reads: ["companies"],
    writes: ["contacts", "import_errors", "imports"],
  },
  actors: poolActors,
  actions: {
    create: action({
      summary: "Captures a lead: normalised, scored and, where a pool matches, assigned",
      params: newLead,
      returns: lead,
      kept: withoutSensitive,
      permission: "leads:create",
      rest: "POST /leads",
      status: 201,
    }),
    getUsage: action({
      summary: "How many leads the organization has",
      params: z.strictObject({}),
      returns: z.strictObject({ leads: z.number().int() }),
      reads: true,
      permission: "authenticated",
    }),
    list: action({
      summary: "Lists leads, newest first",
      params: listParams(leadListing),
      returns: pageOf(lead.partial().extend({ id }).meta({ id: "LeadPart" })),
      reads: true,
      permission: "leads:read",
      rest: "GET /leads",
    }),
    get: action({
      summary: "One lead",
      params: byIdOf(leadListing),
      returns: lead,
      reads: true,
      permission: "leads:read",
      rest: "GET /leads/:id",
    }),
    getByExternalId: action({
      summary: "The lead with this external id",
      params: z.strictObject({ externalId: text(200), fields: fieldsParam(leadListing) }),
      returns: lead,
      reads: true,
      permission: "leads:read",
      rest: "GET /leads/by-external-id/:externalId",
    }),
    update: action({
      summary: "Changes fields of a lead and rescores it; null empties a field",
      params: leadInput.extend({ id, expectedVersion }),
      returns: lead,
      kept: withoutSensitive,
      permission: "leads:update",
      rest: "PATCH /leads/:id",
      example: { params: { status: "contacted", tags: ["fair-2026"] } },
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
      kept: withoutSensitive,
      permission: "leads:delete",
      rest: "POST /leads/:id/restore",
    }),
    bulkCreate: action({
      summary: "Captures up to 1,000 leads; a bad one does not fail the rest",
      params: bulkItems,
      returns: bulkResults,
      permission: "leads:create",
      rest: "POST /leads/bulk",
      example: {
        params: { items: [{ email: "asha.rao@example.com" }, { email: "nobody" }] },
        result: {
          results: [
            { index: 0, status: 201, id: "01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f" },
            {
              index: 1,
              status: 422,
              error: {
                code: "VALIDATION_FAILED",
                detail: "The item is not valid; see errors.",
                errors: [
                  {
                    path: "email",
                    code: "invalid_format",
                    message: "Must be an email address such as asha@example.com.",
                  },
                ],
              },
            },
          ],
        },
      },
    }),
    upsert: action({
      summary: "Creates the lead with this external id, or changes it",
      params: leadInput.omit({ externalId: true }).extend({ externalId: text(200), expectedVersion }),
      returns: lead,
      upserts: true,
      location: ({ id }) => `/leads/${id}`,
      kept: withoutSensitive,
      permission: "leads:update",
      rest: "PUT /leads/by-external-id/:externalId",
      example: { params: { email: "asha.rao@example.com", firstName: "Asha" } },
    }),
    assign: action({
      summary: "Gives a lead to a user, or to whom a pool's strategy chooses",
      params: z
        .strictObject({ id, userId: id.optional(), poolId: id.optional() })
        .refine((p) => (p.userId === undefined) !== (p.poolId === undefined), "give userId or poolId"),
      returns: lead,
      kept: withoutSensitive,
      permission: "leads:update",
      rest: "POST /leads/:id/assign",
      example: { params: { userId: "01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f" } },
    }),
    convert: action({
      summary: "Makes a contact, a company and, if asked, a deal of a lead, in one transaction",
      params: z.strictObject({
        id,
        createDeal: z.boolean().default(false),
        pipelineId: id.optional(),
        amount: price.optional(),
      }),
      returns: convertResult,
      permission: "leads:update",
      rest: "POST /leads/:id/convert",
      example: { params: { createDeal: true, amount: { amount: "1234.50", currency: "INR" } } },
    }),
    timeline: action({
      summary: "What happened to a lead, newest first",
      params: z.strictObject({ id, ...pageParams }),
      returns: timelinePage,
      reads: true,
      permission: "leads:read",
      rest: "GET /leads/:id/timeline",
    }),
    duplicates: action({
      summary: "Other leads with the same email or phone, oldest first",
      params: z.strictObject({ id, ...pageParams }),
      returns: pageOf(z.strictObject({ lead, matchedBy: z.array(z.enum(["email", "phone"])) })),
      reads: true,
      permission: "leads:read",
      rest: "GET /leads/:id/duplicates",
    }),
    export: action({
      summary: "All leads that match, as CSV or XLSX",
      params: listParams(leadListing)
        .omit({ limit: true, cursor: true, count: true })
        .extend({ format: z.enum(["csv", "xlsx"]).default("csv") }),
      returns: z.unknown(),
      reads: true,
      permission: "reports:export",
      rest: "GET /leads/export",
      transfer: "download",
      file: ({ format }) =>
        format === "xlsx"
          ? { name: "leads.xlsx", type: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" }
          : { name: "leads.csv", type: "text/csv; charset=utf-8" },
    }),
    ...scoringActions,
    ...poolActions,
    ...leadImportActions,
    ...reminderActions,
  },
  events: {
    ...poolEvents,
    ...reminderEvents,
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
    "scoring.rules_changed": z.strictObject({ version: z.number().int() }),
    "deal.created": z.strictObject({ dealId: id, name: z.string(), pipelineId: id, stageId: id }),
    "deal.updated": z.strictObject({ dealId: id, changes: z.array(z.string()) }),
  },
  jobs: { ...scoringJobs, ...reminderJobs },
  personalData: leadsPersonalData,
});
