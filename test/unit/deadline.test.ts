import { describe, expect, test } from "@jest/globals";
import { PeerClocks } from "../../mixins/contract/deadline.ts";
import { neverRan } from "../../mixins/contract/moved-service.ts";
import { continueTrace } from "../../mixins/process/trace.ts";

describe("the age of a packet", () => {
  const heartbeats = (clocks: PeerClocks, from: number, to: number, ahead: number) => {
    for (let now = from; now <= to; now += 1_000) clocks.ageOf("peer", now + ahead - 1, now);
  };

  test.each([0, 300_000, -300_000])("does not depend on a peer's clock that is %i ms ahead", (ahead) => {
    const clocks = new PeerClocks();
    heartbeats(clocks, 0, 10_000, ahead);
    expect(clocks.ageOf("peer", 10_500 + ahead, 10_501)).toBe(0);
    expect(clocks.ageOf("peer", 10_500 + ahead, 12_501)).toBe(2_000);
  });

  test.each([10_000, 40_000, 600_000])("is seen after a stop of %i ms, whatever was sent when", (stop) => {
    const clocks = new PeerClocks();
    heartbeats(clocks, 0, 20_000, 0);
    const resumed = 20_000 + stop;
    // everything that waited arrives in one burst, oldest first
    for (let sent = 21_000; sent < resumed; sent += 1_000)
      expect(clocks.ageOf("peer", sent, resumed)).toBe(resumed - sent - 1);
    expect(clocks.ageOf("peer", resumed - 1, resumed)).toBe(0);
  });

  test("follows a clock that stood still, after half a minute", () => {
    const clocks = new PeerClocks();
    heartbeats(clocks, 0, 20_000, 0);
    heartbeats(clocks, 21_000, 52_000, -60_000);
    expect(clocks.ageOf("peer", 53_000 - 60_000, 53_001)).toBe(0);
  });

  test("is nobody else's: a peer that starts anew has another clock", () => {
    const clocks = new PeerClocks();
    heartbeats(clocks, 0, 5_000, 1_000_000);
    expect(clocks.ageOf("its successor", 5, 6_000)).toBe(0);
  });
});

describe("a call is made again", () => {
  const missing = (action: string, name = "ServiceNotFoundError") =>
    Object.assign(new Error(), { name, data: { action } });
  test.each([
    ["no node offers it", missing("leads.create"), true],
    ["its node is stopping", missing("leads.create", "ServiceNotAvailableError"), true],
    ["what it calls is missing: it has run", missing("identity.me"), false],
    ["its node was lost: it may have run", missing("leads.create", "RequestRejectedError"), false],
    ["it failed", new Error("no"), false],
    ["nothing is known", undefined, false],
  ])("when %s: %#", (_when, error, isSo) => {
    expect(neverRan(error, "leads.create")).toBe(isSo);
  });
});

describe("traceparent", () => {
  const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
  test.each([
    `00-${traceId}-00f067aa0ba902b7-01`,
    `cc-${traceId}-00f067aa0ba902b7-01-what-the-future-brings`,
  ])("%s is continued with a new span", (given) => {
    expect(continueTrace(given)).toMatch(new RegExp(`^00-${traceId}-(?!00f067aa0ba902b7)[0-9a-f]{16}-01$`));
  });

  test.each([
    undefined,
    "",
    ["a", "b"],
    `00-${traceId}-00f067aa0ba902b7`,
    `00-${traceId}-00f067aa0ba902b7-01-more`,
    `ff-${traceId}-00f067aa0ba902b7-01`,
    `00-${traceId.toUpperCase()}-00f067aa0ba902b7-01`,
    `00-${"0".repeat(32)}-00f067aa0ba902b7-01`,
    `00-${traceId}-${"0".repeat(16)}-01`,
  ])("%p begins a new trace", (given) => {
    const made = continueTrace(given);
    expect(made).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
    expect(made).not.toContain(traceId);
  });
});
