import { CronExpressionParser } from "cron-parser";
import type { Period, Schedule } from "../../entities/report.ts";

const dayMs = 86_400_000;
const textOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
const startOf = {
  week: (day: Date) => day.getTime() - ((day.getUTCDay() + 6) % 7) * dayMs,
  month: (day: Date) => Date.UTC(day.getUTCFullYear(), day.getUTCMonth()),
  quarter: (day: Date) => Date.UTC(day.getUTCFullYear(), Math.floor(day.getUTCMonth() / 3) * 3),
  year: (day: Date) => Date.UTC(day.getUTCFullYear(), 0),
};

/** First and last day, YYYY-MM-DD, each if there is one. @param today in the organization's time zone */
export function daysOf(
  { from, to, relative }: Omit<Period, "field">,
  today: string,
): { from?: string | undefined; to?: string | undefined } {
  if (relative === undefined) return { from, to };
  const now = new Date(`${today}T00:00:00Z`);
  const ago = (days: number) => textOf(now.getTime() - days * dayMs);
  if (relative === "today") return { from: today, to: today };
  if (relative === "yesterday") return { from: ago(1), to: ago(1) };
  const [, days] = /^last(\d+)Days$/.exec(relative) ?? [];
  if (days !== undefined) return { from: ago(Number(days) - 1), to: today };
  const [, which, name = ""] = /^(this|last)(\w+)$/.exec(relative) ?? [];
  const start = startOf[name.toLowerCase() as keyof typeof startOf];
  const begun = start(now);
  if (which === "this") {
    // its last day is the one before the next begins: so many days on are in that one
    const within = { Week: 7, Month: 32, Quarter: 93, Year: 367 }[name] ?? 0;
    return { from: textOf(begun), to: textOf(start(new Date(begun + within * dayMs)) - dayMs) };
  }
  const last = begun - dayMs;
  return { from: textOf(start(new Date(last))), to: textOf(last) };
}

/** When a report is sent next. @param timeZone of the organization */
export function nextRunOf({ every, at, weekday, day }: Schedule, after: Date, timeZone: string): string {
  const [hour, minute] = at.split(":").map(Number);
  const days = { day: "* * *", week: `* * ${weekday % 7}`, month: `${day} * *` }[every];
  return CronExpressionParser.parse(`${minute} ${hour} ${days}`, { currentDate: after, tz: timeZone })
    .next()
    .toDate()
    .toISOString();
}
