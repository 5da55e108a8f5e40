import { z } from "zod";
import { id } from "../mixins/contract/schemas.ts";
import * as f from "../mixins/records/kind/fields.ts";
import { defineKind, type AnyRow, type RowOf, type ViewOf } from "../mixins/records/kind/kind.ts";

/** Members of one queue. */
const mostMembers = 500;
const clock = z.string().regex(/^(?:[01]\d|2[0-3]):[0-5]\d$|^24:00$/, "must be a time of day such as 09:30");
const names = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;
const longNames = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"] as const;
/** By what it is called: a name, or a number as cron has it, 0 and 7 for Sunday. */
const day = z.union([z.enum([...names, ...longNames]), z.number().int().min(0).max(7)]);
export type Day = z.output<typeof day>;
/** 0 for Sunday. */
export const dayNumber = (given: Day): number =>
  typeof given === "number" ? given % 7 : names.indexOf(given.slice(0, 3) as (typeof names)[number]);

/** When people may be called, by their own clocks. */
const window = z
  .strictObject({
    from: clock,
    /** Up to 24:00; before `from`: of the next day. */
    to: clock,
    /** Days on which it begins. */
    days: z.array(day).min(1).max(7),
  })
  .refine(({ from, to }) => from !== to, { path: ["to"], error: "must be another time than from" })
  .meta({ id: "CallWindow", examples: [{ from: "09:30", to: "18:00", days: ["mon", "tue", "wed"] }] });
export type CallWindow = z.output<typeof window>;

const retry = z
  .strictObject({
    /** How often somebody is tried in all. */
    most: z.number().int().min(1).max(50),
    /** Before the second try, the third and so on; the last one goes on. */
    pausesSeconds: z
      .array(
        z
          .number()
          .int()
          .min(0)
          .max(30 * 86_400),
      )
      .min(1)
      .max(50),
  })
  .meta({ id: "CallRetry", examples: [{ most: 3, pausesSeconds: [900, 7_200] }] });
export type CallRetry = z.output<typeof retry>;
const usualRetry: CallRetry = { most: 3, pausesSeconds: [900, 7_200, 86_400] };

/** People who are to be called, and who calls them. */
export const callQueue = defineKind("call_queue", {
  plural: "call-queues",
  table: "call_queues",
  isSetting: true,
  title: ["name"],
  defaultSort: "createdAt",
  fields: {
    name: f.text(200, { isFilterable: false }),
    /** Users who call. */
    members: f.json(
      z
        .array(id)
        .max(mostMembers)
        .refine((members) => new Set(members).size === members.length, "a member stands twice"),
      z.array(id),
    ),
    /** Null: always. */
    window: f.json(window.nullable(), window.nullable(), { fallback: undefined }),
    retry: f.json(retry.partial(), retry, {
      fallback: usualRetry,
      normalise: (given) => ({ value: { ...usualRetry, ...(given as Partial<CallRetry>) } }),
    }),
    /** How long a call is its claimer's; then it is given back. */
    claimSeconds: f.count(1, 86_400, { fallback: 900, isFilterable: false }),
    /** Days after which a call that was not made is closed; null: never. */
    expiresAfterDays: f.integer(1, 3_650, { isFilterable: false }),
  },
  example: {
    name: "Callbacks",
    members: [],
    window: { from: "09:30", to: "18:00", days: ["mon", "tue", "wed", "thu", "fri"] },
    retry: { most: 3, pausesSeconds: [900, 7_200] },
  },
});
export type CallQueueRow = RowOf<typeof callQueue> & AnyRow;
export type CallQueueView = ViewOf<typeof callQueue>;
