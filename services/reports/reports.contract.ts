import { z } from "zod";
import { asked, measureOps, report, spans } from "../../entities/report.ts";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import { byId, id, timestamp } from "../../mixins/contract/schemas.ts";
import { cronPayload, job } from "../../mixins/jobs/job-spec.ts";
import { personalData } from "../../mixins/privacy/personal-data.ts";
import { crud, eventsOf, historical, restorable } from "../../mixins/records/capabilities.ts";
import { storedCondition } from "../../mixins/records/conditions/schema.ts";
import { kindName } from "../../mixins/records/kind/kinds.ts";
import { valueTypes } from "./fields.ts";

const column = z
  .strictObject({
    /** `company.industry`, `closedAt.quarter`, `count`, `sum.amount`. */
    key: z.string(),
    field: z.string().optional(),
    per: z.enum(spans).optional(),
    /** Of a measure; what has none is a group. */
    op: z.enum(measureOps).optional(),
    type: z.enum(valueTypes),
  })
  .meta({ id: "ReportColumn" });
const cell = z.union([
  z.string(),
  z.number(),
  z.boolean(),
  z.strictObject({ amount: z.string(), currency: z.string() }),
  z.null(),
]);
const answer = {
  columns: z.array(column),
  /** A value for each column; null where there is none. */
  rows: z.array(z.array(cell)),
};
export type Column = z.output<typeof column>;
export type Cell = z.output<typeof cell>;

const run = z
  .strictObject({
    id,
    reportId: id,
    status: z.enum(["pending", "completed", "failed"]),
    columns: answer.columns.nullable(),
    rows: answer.rows.nullable(),
    error: z.string().nullable(),
    createdAt: timestamp,
    finishedAt: timestamp.nullable(),
  })
  .meta({ id: "ReportRun" });
export type RunView = z.output<typeof run>;
const format = z.enum(["csv", "xlsx"]).default("csv");

/** Questions about records, answered as tables. */
export const reportsContract = defineContract("reports", {
  tables: { owns: ["reports", "report_runs"], reads: ["teams"] },
  actions: {
    ...crud(report),
    ...restorable(report),
    ...historical(report),
    preview: action({
      summary: "Answers a report that nobody has kept, about the records that one sees, within 5 s",
      params: z.strictObject({
        kind: kindName,
        measures: asked.measures.default([{ op: "count" }]),
        groupBy: asked.groupBy.default([]),
        where: storedCondition.nullable().default(null),
        period: asked.period.default(null),
      }),
      returns: z.strictObject(answer),
      reads: true,
      permission: "reports:view",
      rest: "POST /reports/preview",
      example: { params: { kind: "deal", groupBy: [{ field: "status" }] } },
    }),
    run: action({
      summary: "Answers a report, as work that goes on: about the records that one sees",
      params: byId,
      returns: z.strictObject({ id, status: run.shape.status }),
      permission: "reports:view",
      rest: "POST /reports/:id/run",
      status: 202,
      location: ({ id: runId }) => `/reports/runs/${runId}`,
    }),
    getRun: action({
      summary: "What a report that one has run has answered, for 30 days",
      params: byId,
      returns: run,
      reads: true,
      permission: "reports:view",
      rest: "GET /reports/runs/:id",
    }),
    download: action({
      summary: "The same as a file; 409 RUN_NOT_COMPLETED before it is there",
      params: byId.extend({ format }),
      returns: z.unknown(),
      reads: true,
      permission: "reports:export",
      rest: "GET /reports/runs/:id/download",
      fails: [404, 409],
      transfer: "download",
      file: ({ format: asFile }) =>
        asFile === "csv"
          ? { name: "report.csv", type: "text/csv; charset=utf-8" }
          : {
              name: "report.xlsx",
              type: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            },
    }),
    answerRun: action({
      summary: "Answers what somebody runs, as that somebody",
      params: z.strictObject({ runId: id }),
      returns: z.null(),
      permission: "reports:view",
    }),
  },
  events: {
    ...eventsOf(report),
    /** A run has ended: whoever began it finds its answer at /reports/runs/{runId}. */
    "report.answered": z.strictObject({ runId: id, status: run.shape.status }),
  },
  jobs: {
    runReport: job({
      summary: "Answers a report for whoever runs it",
      payload: z.strictObject({ runId: id }),
      queue: "analytics",
    }),
    mailRun: job({
      summary: "Sends what a report has answered to whoever it was made for",
      payload: z.strictObject({ runId: id }),
      queue: "email-send",
    }),
    findDue: job({
      summary: "Finds the organizations with reports whose time has come",
      payload: cronPayload,
      scope: "platform",
      cron: { schedule: "* * * * *", missed: "skip" },
    }),
    beginDue: job({
      summary: "Runs an organization's reports whose time has come, for each who gets them",
      payload: z.strictObject({}),
    }),
    forgetRuns: job({
      summary: "Forgets what reports answered 30 days ago",
      payload: cronPayload,
      scope: "platform",
      cron: { schedule: "41 3 * * *", missed: "skip" },
    }),
  },
  personalData: {
    report_runs: personalData({
      summary:
        "What reports have answered, and look for: those that show a person's email, phone or full name are deleted",
      tables: ["report_runs"],
    }),
  },
});
