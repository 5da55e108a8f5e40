import { afterEach, beforeEach, expect, jest, test } from "@jest/globals";
import { FeedHints } from "../../mixins/events/feed-hints.ts";

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

test("the first hint goes out at once", () => {
  const sent: string[] = [];
  new FeedHints((organizationId) => sent.push(organizationId)).hint("shard-0", "a");
  expect(sent).toEqual(["a"]);
});

test("a burst becomes two hints, the second after the last of the burst", () => {
  const sent: string[] = [];
  const hints = new FeedHints((organizationId) => sent.push(organizationId), 5);
  for (const organizationId of ["a", "b", "c"]) hints.hint("shard-0", organizationId);
  jest.advanceTimersByTime(4);
  expect(sent).toEqual(["a"]);
  jest.advanceTimersByTime(1);
  expect(sent).toEqual(["a", "c"]);
  jest.advanceTimersByTime(100);
  expect(sent).toEqual(["a", "c"]);
});

test("three thousand hints in a second become about two hundred", () => {
  const sent: string[] = [];
  const hints = new FeedHints((organizationId) => sent.push(organizationId), 5);
  for (let sentMs = 0; sentMs < 1000; sentMs++) {
    for (let one = 0; one < 3; one++) hints.hint("shard-0", "a");
    jest.advanceTimersByTime(1);
  }
  jest.advanceTimersByTime(5);
  expect(sent.length).toBeGreaterThan(150);
  expect(sent.length).toBeLessThan(210);
});

test("shards do not wait for each other", () => {
  const sent: string[] = [];
  const hints = new FeedHints((organizationId) => sent.push(organizationId));
  hints.hint("shard-0", "a");
  hints.hint("shard-1", "b");
  expect(sent).toEqual(["a", "b"]);
});
