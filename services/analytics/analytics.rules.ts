import { badQueryField } from "../../mixins/contract/errors.ts";
import { zoneRules } from "../../mixins/contract/time-zone.ts";

const dayMs = 86_400_000;
const defaultDays = 30;
const mostDays = 366;

/** First and last day, YYYY-MM-DD. */
export interface Period {
  from: string;
  to: string;
}

/**
 * The period that is asked for.
 * @param today in the organization's time zone
 * @throws 400 when it ends before it begins, has more than 366 days, or is not between 1970 and 2999
 */
export function periodOf(
  asked: { from?: string | undefined; to?: string | undefined },
  today: string,
): Period {
  const to = asked.to ?? today;
  const from = asked.from ?? plusDays(to, 1 - defaultDays);
  if (from < "1970") throw badQueryField("from", "too_early", "must be in 1970 or later");
  if (to >= "3000") throw badQueryField("to", "too_late", "must be before the year 3000");
  if (from > to) throw badQueryField("from", "after_to", `must not be after ${to}, the last day`);
  if (plusDays(from, mostDays) <= to)
    throw badQueryField(
      "from",
      "too_long",
      `must be at most ${mostDays - 1} days before ${to}, the last day`,
    );
  return { from, to };
}

/** Each day of the period: its row of `rows`, or what `empty` makes. */
export function everyDay<Row extends { day: string }>(
  { from, to }: Period,
  rows: readonly Row[],
  empty: (day: string) => Row,
): Row[] {
  const known = new Map(rows.map((row) => [row.day, row]));
  const days: Row[] = [];
  for (let day = from; day <= to; day = plusDays(day, 1)) days.push(known.get(day) ?? empty(day));
  return days;
}

/**
 * What an organization's days are counted by: its zone and the rules it is read by. Figures that were counted by others are
 * counted anew.
 */
export const dayRules = (timezone: string): string => `${timezone} ${zoneRules}`;

/**
 * The zone of what `dayRules` made. Until 0.1.0 it was PostgreSQL's name of the zone, without rules: that has offsets with
 * the opposite sign.
 */
export function zoneOf(rules: string): string {
  const [timezone = "", read] = rules.split(" ");
  return read === undefined ? timezone.replace(/^[+-]/, (sign) => (sign === "+" ? "-" : "+")) : timezone;
}

const plusDays = (day: string, days: number): string =>
  new Date(Date.parse(day) + days * dayMs).toISOString().slice(0, 10);
