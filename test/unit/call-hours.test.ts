import { describe, expect, test } from "@jest/globals";
import type { CallWindow } from "../../entities/call-queue.ts";
import { isEverOpen, isOpen, pauseAfter, zoneOfCall, zonesIn } from "../../services/calls/hours.rules.ts";

const weekdays: CallWindow = { from: "09:30", to: "18:00", days: ["mon", "tue", "wed", "thu", "fri"] };
const night: CallWindow = { from: "22:00", to: "02:00", days: ["friday"] };

describe("somebody may be called", () => {
  test.each([
    // Monday, 30 November 2026; Kolkata is 5:30 ahead
    ["a second before it begins", weekdays, "Asia/Kolkata", "2026-11-30T03:59:59Z", false],
    ["when it begins", weekdays, "Asia/Kolkata", "2026-11-30T04:00:00Z", true],
    ["a second before it ends", weekdays, "Asia/Kolkata", "2026-11-30T12:29:59Z", true],
    ["when it ends", weekdays, "Asia/Kolkata", "2026-11-30T12:30:00Z", false],
    ["on a day that is none of its days", weekdays, "Asia/Kolkata", "2026-11-29T05:00:00Z", false],
    ["on another's Monday", weekdays, "Pacific/Auckland", "2026-11-29T21:00:00Z", true],
    ["before midnight of its day", night, "UTC", "2026-12-04T23:00:00Z", true],
    ["after midnight of its day", night, "UTC", "2026-12-05T01:59:00Z", true],
    ["after midnight of another day", night, "UTC", "2026-12-04T01:00:00Z", false],
    ["until midnight", { from: "20:00", to: "24:00", days: [0] }, "UTC", "2026-11-29T23:59:59Z", true],
    ["by its 7 as by its 0", { from: "20:00", to: "24:00", days: [7] }, "UTC", "2026-11-29T23:00:00Z", true],
    ["in summer time", weekdays, "Europe/Berlin", "2026-07-06T07:30:00Z", true],
    ["in winter time", weekdays, "Europe/Berlin", "2026-11-30T07:30:00Z", false],
    ["where it is open in New York alone", weekdays, "US", "2026-11-30T15:00:00Z", false],
    ["where it is open from there to Hawaii", weekdays, "US", "2026-11-30T20:00:00Z", true],
  ] as const)("%s", (_when, window, zone, at, expected) => {
    expect(isOpen(window as CallWindow, zone, new Date(at))).toBe(expected);
  });

  test("always, where there is no window", () => {
    expect(isOpen(null, "RU", new Date())).toBe(true);
  });

  test.each([
    ["US", weekdays, true],
    ["RU", weekdays, false],
    ["RU", { ...weekdays, from: "00:00", to: "23:00" }, true],
    ["Europe/Moscow", weekdays, true],
  ] as const)("of %s at some time, or never", (zone, window, expected) => {
    expect(isEverOpen(window as CallWindow, zone, new Date("2026-11-30T00:00:00Z"))).toBe(expected);
  });
});

describe("whose clocks count", () => {
  test.each([
    ["+919876543210", undefined, "Asia/Kolkata", "phone"],
    ["+4930123456", undefined, "Europe/Berlin", "phone"],
    ["+12125550123", undefined, "US", "phone"],
    ["+14165550123", undefined, "CA", "phone"],
    ["+80012345678", undefined, "Asia/Dubai", "organization"],
    ["+919876543210", "Europe/Paris", "Europe/Paris", "given"],
  ] as const)("for %s, with %s given", (phone, given, zone, from) => {
    const found = zoneOfCall(phone, given, "Asia/Dubai");
    expect(found.from).toBe(from);
    expect(from === "phone" && zone.includes("/") ? zonesIn(found.zone).length : found.zone).toEqual(
      from === "phone" && zone.includes("/") ? 1 : zone,
    );
  });
});

test("the pause before a try is the one in its place, and the last one goes on", () => {
  expect([1, 2, 3, 9].map((attempts) => pauseAfter([60, 600], attempts))).toEqual([60, 600, 600, 600]);
});
