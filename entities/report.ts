import { z } from "zod";
import { id } from "../mixins/contract/schemas.ts";
import { storedCondition as condition } from "../mixins/records/conditions/schema.ts";
import * as f from "../mixins/records/kind/fields.ts";
import { defineKind, type AnyRow, type RowOf } from "../mixins/records/kind/kind.ts";

export const measureOps = ["count", "sum", "avg", "min", "max"] as const;
export const spans = ["day", "week", "month", "quarter", "year"] as const;
export const relativePeriods = [
  ...["today", "yesterday", "last7Days", "last30Days", "last90Days", "thisWeek", "lastWeek"],
  ...["thisMonth", "lastMonth", "thisQuarter", "lastQuarter", "thisYear", "lastYear"],
] as const;

/** A field, a custom one as `customFields.<key>`, or one of what a record refers to: `company.industry`. */
const path = z.string().min(1).max(200);
const measureShown = z
  .strictObject({ op: z.enum(measureOps), field: path.optional() })
  .meta({ id: "Measure" });
const measure = measureShown
  .refine(({ op, field }) => op === "count" || field !== undefined, {
    path: ["field"],
    error: "must be given for sum, avg, min and max",
  })
  .meta({ id: "MeasureInput" });
const group = z
  .strictObject({
    field: path,
    /** Of times and dates: by day, week (from Monday), month, quarter or year, in the organization's time zone. */
    per: z.enum(spans).optional(),
  })
  .meta({ id: "ReportGroup" });
const day = z.iso.date();
const periodShown = z
  .strictObject({
    /** A time or a date of the records. */
    field: path,
    /** First and last day. */
    from: day.optional(),
    to: day.optional(),
    /** In place of `from` and `to`, from the day on which the report is made. */
    relative: z.enum(relativePeriods).optional(),
  })
  .meta({ id: "ReportPeriod" });
const period = periodShown
  .refine(({ from, to, relative }) => (relative === undefined) !== (from === undefined && to === undefined), {
    path: ["relative"],
    error: "give either relative, or from, to or both",
  })
  .refine(({ from, to }) => from === undefined || to === undefined || from <= to, {
    path: ["to"],
    error: "must not be before from",
  })
  .meta({ id: "ReportPeriodInput" });
const schedule = z
  .strictObject({
    every: z.enum(["day", "week", "month"]),
    /** Time of day in the organization's time zone. */
    at: z
      .string()
      .regex(/^([01]\d|2[0-3]):[0-5]\d$/, "must be a time of day such as 08:00")
      .default("08:00"),
    /** Of every week: 1 is Monday. */
    weekday: z.number().int().min(1).max(7).default(1),
    /** Of every month: its day. */
    day: z.number().int().min(1).max(28).default(1),
    /** Users; each gets what they may see. */
    to: z.array(id).min(1).max(50),
  })
  .meta({ id: "ReportScheduleInput" });
const scheduleShown = z
  .strictObject({ ...schedule.shape, at: z.string() })
  .required()
  .meta({ id: "ReportSchedule" });

export type Measure = z.output<typeof measureShown>;
export type Group = z.output<typeof group>;
export type Period = z.output<typeof periodShown>;
export type Schedule = z.output<typeof scheduleShown>;
/** What a report asks, besides its kind and its condition. */
export const asked = {
  measures: z.array(measure).min(1).max(10),
  groupBy: z.array(group).max(4),
  period: period.nullable(),
};

const empty = { fallback: undefined };

/** A question about records of a kind, and its answer as a table. */
export const report = defineKind("report", {
  plural: "reports",
  isSetting: true,
  title: ["name"],
  fields: {
    name: f.text(200, { isSortable: true }),
    /** Of which records. */
    kind: f.always(f.text(100)),
    /** Columns of figures. Default: how many records there are. */
    measures: f.json(asked.measures, z.array(measureShown), { fallback: [{ op: "count" }] }),
    /** Columns by which they are parted. Default: one row. */
    groupBy: f.json(asked.groupBy, z.array(group)),
    /** As `where` of the list; null: all. */
    where: f.json(condition.nullable(), condition.nullable(), empty),
    period: f.json(asked.period, periodShown.nullable(), empty),
    /** When it is sent by mail; null: never. */
    schedule: f.json(schedule.nullable(), scheduleShown.nullable(), empty),
    /** When it is sent next. */
    nextRunAt: f.byService(f.time({ isSortable: false })),
  },
  example: {
    name: "Won by industry and quarter",
    kind: "deal",
    measures: [{ op: "count" }, { op: "sum", field: "amount" }],
    groupBy: [{ field: "company.industry" }, { field: "closedAt", per: "quarter" }],
    where: { field: "status", op: "eq", value: "won" },
    period: { field: "closedAt", relative: "thisYear" },
  },
});
export type ReportRow = RowOf<typeof report> & AnyRow;
