import { CronExpressionParser } from "cron-parser";
import type { CronSpec } from "../../mixins/jobs/job-spec.ts";

/** Ticks made up for at once; older ones are forgotten. */
const mostCaughtUp = 100;

/** The last tick of a schedule that is not after `now`. */
export const tickBefore = (schedule: string, now: Date): Date =>
  // `prev` leaves its own instant out, and a tick at `now` is due
  CronExpressionParser.parse(schedule, { currentDate: new Date(now.getTime() + 1), tz: "UTC" })
    .prev()
    .toDate();

/**
 * The ticks to serve: after `last`, the one served before, up to `now`. Of several that were missed, `skip` serves
 * the newest, `catch_up` each.
 */
export function dueTicks({ schedule, missed }: CronSpec, last: Date, now: Date): Date[] {
  const newest = tickBefore(schedule, now);
  if (newest <= last) return [];
  if (missed === "skip") return [newest];
  const due: Date[] = [];
  const ticks = CronExpressionParser.parse(schedule, {
    currentDate: new Date(newest.getTime() + 1),
    tz: "UTC",
  });
  for (
    let tick = ticks.prev().toDate();
    tick > last && due.length < mostCaughtUp;
    tick = ticks.prev().toDate()
  )
    due.push(tick);
  return due.reverse();
}
