import { expect, test } from "@jest/globals";
import { nextOccurrence, readRecurrence } from "../../mixins/values/recurrence.ts";

const next = (rule: string, start: string, zone = "UTC", after = start) => {
  const found = nextOccurrence(rule, { zone, start: Date.parse(start), after: Date.parse(after) });
  return found === null ? null : new Date(found).toISOString();
};

test.each([
  ["FREQ=SECONDLY", "FREQ must be DAILY, WEEKLY, MONTHLY or YEARLY"],
  ["FREQ=HOURLY;INTERVAL=1", "FREQ must be"],
  ["FREQ=DAILY;INTERVAL=0", "INTERVAL must be 1 to 99"],
  ["FREQ=DAILY;BYHOUR=1,2,3", "may have FREQ, INTERVAL, COUNT"],
  ["FREQ=DAILY;BYSECOND=0", "may have FREQ"],
  ["FREQ=DAILY;FREQ=DAILY", "has FREQ twice"],
  ["FREQ=DAILY;COUNT=3;UNTIL=20270101", "not both"],
  ["FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never comes up"],
  ["INTERVAL=2", "must have FREQ"],
  ["every monday", "may have FREQ"],
])("the rule %s is refused with what is allowed", (rule, message) => {
  expect(readRecurrence(rule)).toMatchObject({
    code: "invalid_recurrence",
    message: expect.stringContaining(message) as unknown as string,
  });
});

test("a rule is kept in one form", () => {
  expect(readRecurrence("RRULE:freq=weekly;byday=mo,we;")).toEqual({ value: "FREQ=WEEKLY;BYDAY=MO,WE" });
});

test.each([
  ["FREQ=DAILY", "2026-12-01T04:30:00.000Z", "UTC", "2026-12-02T04:30:00.000Z"],
  ["FREQ=MONTHLY;BYMONTHDAY=31", "2026-01-31T00:00:00.000Z", "UTC", "2026-03-31T00:00:00.000Z"],
  ["FREQ=MONTHLY;BYDAY=-1FR", "2026-11-27T10:00:00.000Z", "UTC", "2026-12-25T10:00:00.000Z"],
  // clocks go forward on 29 March 2026 at 2:00 in Berlin: nine o'clock stays nine o'clock
  ["FREQ=DAILY", "2026-03-28T08:00:00.000Z", "Europe/Berlin", "2026-03-29T07:00:00.000Z"],
  // half past two is left out that day
  ["FREQ=DAILY", "2026-03-28T01:30:00.000Z", "Europe/Berlin", "2026-03-29T01:30:00.000Z"],
  // Monday there is Sunday here
  ["FREQ=WEEKLY;BYDAY=MO", "2026-11-29T20:00:00.000Z", "Asia/Kolkata", "2026-12-06T20:00:00.000Z"],
  ["FREQ=DAILY;UNTIL=20261202", "2026-12-02T04:30:00.000Z", "UTC", null],
  ["FREQ=DAILY;COUNT=1", "2026-12-02T04:30:00.000Z", "UTC", null],
  ["FREQ=DAILY", "9999-12-31T04:30:00.000Z", "UTC", null],
  ["FREQ=YEARLY", "1900-01-01T00:00:00.000Z", "UTC", "1901-01-01T00:00:00.000Z"],
])("%s comes up after %s in %s at %s", (rule, start, zone, expected) => {
  expect(next(rule, start, zone)).toBe(expected);
});

test("after a time that was left out, clocks show the rule's time again, and COUNT counts from the first", () => {
  const start = "2026-03-28T01:30:00.000Z";
  expect(next("FREQ=DAILY", start, "Europe/Berlin", "2026-03-29T01:30:00.000Z")).toBe(
    "2026-03-30T00:30:00.000Z",
  );
  expect(next("FREQ=DAILY;COUNT=3", start, "UTC", "2026-03-29T01:30:00.000Z")).toBe(
    "2026-03-30T01:30:00.000Z",
  );
  expect(next("FREQ=DAILY;COUNT=3", start, "UTC", "2026-03-30T01:30:00.000Z")).toBeNull();
});
