import { z } from "zod";
import { company } from "../../entities/company.ts";
import { contact } from "../../entities/contact.ts";
import { deal } from "../../entities/deal.ts";
import { lead } from "../../entities/lead.ts";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import { commentable } from "../../mixins/records/capabilities/comments.ts";
import { exportable, importable } from "../../mixins/records/capabilities/files.ts";
import { bulk, bulkChangeable } from "../../mixins/records/capabilities/many.ts";
import {
  comparable,
  crud,
  eventsOf,
  historical,
  mergeable,
  recordData,
  restorable,
  upsertable,
  withoutSensitive,
} from "../../mixins/records/capabilities.ts";
import { id } from "../../mixins/contract/schemas.ts";
import { leadsPersonalData } from "./personal-data.contract.ts";
import { poolActions, poolActors, poolEvents } from "./pools.contract.ts";
import { reminderActions, reminderEvents, reminderJobs } from "./reminders.contract.ts";
import { scoringActions, scoringJobs } from "./scoring.contract.ts";

const convertResult = z
  .strictObject({
    contact: contact.view,
    company: company.view.optional(),
    deal: deal.view.optional(),
  })
  .meta({ id: "ConvertResult" });
export type ConvertResult = z.output<typeof convertResult>;

export const leadsContract = defineContract("leads", {
  tables: {
    owns: ["assignment_pools", "lead_reminders", "leads", "scoring_rules"],
    reads: ["companies"],
    writes: ["contacts", "import_record_changes", "merges"],
  },
  actors: poolActors,
  actions: {
    ...crud(lead),
    ...bulk(lead),
    ...bulkChangeable(lead),
    ...upsertable(lead),
    ...restorable(lead),
    ...historical(lead),
    ...commentable(lead),
    ...comparable(lead),
    ...mergeable(lead),
    ...importable(lead),
    ...exportable(lead),
    assign: action({
      summary: "Gives a lead to a user, or to whom a pool's strategy chooses",
      params: z
        .strictObject({ id, userId: id.optional(), poolId: id.optional() })
        .refine((p) => (p.userId === undefined) !== (p.poolId === undefined), "give userId or poolId"),
      returns: lead.view,
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
        amount: deal.fields.amount.input.optional(),
      }),
      returns: convertResult,
      permission: "leads:update",
      rest: "POST /leads/:id/convert",
      example: { params: { createDeal: true, amount: { amount: "1234.50", currency: "INR" } } },
    }),
    ...scoringActions,
    ...poolActions,
    ...reminderActions,
  },
  events: {
    ...poolEvents,
    ...reminderEvents,
    ...eventsOf(lead),
    "lead.assigned": recordData(lead),
    "lead.converted": recordData(lead).extend({
      contactId: id,
      companyId: id.nullable(),
      dealId: id.nullable(),
    }),
    "scoring.rules_changed": z.strictObject({ version: z.number().int() }),
  },
  jobs: { ...scoringJobs, ...reminderJobs },
  personalData: leadsPersonalData,
});
