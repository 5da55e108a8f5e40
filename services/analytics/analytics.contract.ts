import { z } from "zod";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import { cronPayload, job } from "../../mixins/jobs/job-spec.ts";
import { id, timestamp } from "../../mixins/contract/schemas.ts";

const day = z.iso.date();
const groupings = ["none", "source", "assignedTo"] as const;
export type Grouping = (typeof groupings)[number];

const params = z.strictObject({
  /** First day, in the organization's time zone; default: 29 days before `to`. */
  from: day.optional(),
  /** Last day; default: today. */
  to: day.optional(),
  groupBy: z.enum(groupings).default("none"),
});

/** What a row is about: there with the `groupBy` of that name. */
const group = { source: z.string().nullable().optional(), assignedTo: id.nullable().optional() };
const answerOf = <T extends z.ZodType>(row: T) =>
  z.strictObject({
    data: z.array(row),
    /** When these were counted: what has happened since may be missing. null: nothing is counted yet. */
    refreshedAt: timestamp.nullable(),
  });

export const analyticsContract = defineContract("analytics", {
  tables: { owns: ["analytics_refreshes", "lead_days"], reads: ["event_heads", "events", "leads"] },
  actions: {
    leadsPerDay: action({
      summary:
        "Leads captured and leads converted on each day of at most 366; ungrouped, days without either too. Deleted leads do not count",
      params,
      returns: answerOf(
        z.strictObject({
          day,
          ...group,
          captured: z.number().int(),
          /** Leads converted on this day, whenever they were captured. */
          conversions: z.number().int(),
        }),
      ),
      reads: true,
      permission: "reports:view",
      rest: "GET /analytics/leads-per-day",
    }),
    conversion: action({
      summary:
        "Of the leads captured in a period of at most 366 days, how many have been converted since. Deleted leads do not count",
      params,
      returns: answerOf(
        z.strictObject({
          ...group,
          captured: z.number().int(),
          converted: z.number().int(),
          /** converted / captured; null where none was captured. */
          rate: z.number().min(0).max(1).nullable(),
        }),
      ),
      reads: true,
      permission: "reports:view",
      rest: "GET /analytics/conversion",
    }),
  },
  events: {},
  jobs: {
    refresh: job({
      summary: "Finds the organizations whose figures are behind their feeds",
      payload: cronPayload,
      scope: "platform",
      cron: { schedule: "* * * * *", missed: "skip" },
    }),
    refreshOrganization: job({
      summary: "Brings an organization's figures up to its feed",
      payload: z.strictObject({}),
      queue: "analytics",
    }),
  },
});
