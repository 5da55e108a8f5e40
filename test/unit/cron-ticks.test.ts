import { expect, test } from "@jest/globals";
import { dueTicks, tickBefore } from "../../services/cron/ticks.rules.ts";

const at = (time: string) => new Date(`2026-03-01T${time}Z`);
const due = (missed: "skip" | "catch_up", last: string, now: string) =>
  dueTicks({ schedule: "*/5 * * * *", missed }, at(last), at(now)).map((tick) =>
    tick.toISOString().slice(11, 23),
  );

test.each([
  ["12:04:59.999", []],
  ["12:05:00.000", ["12:05:00.000"]],
  ["12:05:00.001", ["12:05:00.000"]],
  ["12:09:59.999", ["12:05:00.000"]],
])("at %s the ticks after 12:00 that are due are %j", (now, expected) => {
  expect(due("skip", "12:00:00.000", now)).toEqual(expected);
  expect(due("catch_up", "12:00:00.000", now)).toEqual(expected);
});

test("of missed ticks skip serves the newest, catch_up each in order", () => {
  expect(due("skip", "12:00:00.000", "12:17:00.000")).toEqual(["12:15:00.000"]);
  expect(due("catch_up", "12:00:00.000", "12:17:00.000")).toEqual([
    "12:05:00.000",
    "12:10:00.000",
    "12:15:00.000",
  ]);
});

test("at most a hundred ticks are caught up, the newest ones", () => {
  const ticks = dueTicks(
    { schedule: "* * * * *", missed: "catch_up" },
    new Date("2026-02-01T00:00:00Z"),
    at("00:00:00"),
  );
  expect(ticks).toHaveLength(100);
  expect(ticks.at(-1)).toEqual(at("00:00:00"));
});

test("nothing is due when the served tick is ahead of the clock", () => {
  expect(due("catch_up", "12:30:00.000", "12:05:00.000")).toEqual([]);
});

test("a schedule is read in UTC", () => {
  expect(tickBefore("30 3 * * *", at("03:30:00"))).toEqual(at("03:30:00"));
  expect(tickBefore("30 3 * * *", at("03:29:59"))).toEqual(new Date("2026-02-28T03:30:00Z"));
});
