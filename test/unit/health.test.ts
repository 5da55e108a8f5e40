import { afterEach, expect, jest, test } from "@jest/globals";
import { Health } from "../../mixins/process/health.ts";

/** A health of these parts, each up or down as `broken` says, asked each second of a clock of the test's own. */
function healthOf(parts: { name: string; isVital: boolean; over?: string; isInstant?: boolean }[]) {
  jest.useFakeTimers();
  const lines: string[] = [];
  const broken = new Set<string>();
  const silent = new Set<string>();
  const health = new Health((line, isVital) => lines.push(isVital ? `! ${line}` : line));
  for (const part of parts)
    health.add({
      ...part,
      ask: () => {
        if (broken.has(part.name)) throw new Error("broken");
        return silent.has(part.name) ? new Promise<void>(() => undefined) : undefined;
      },
    });
  const seconds = (count: number) => jest.advanceTimersByTimeAsync(count * 1_000);
  return { health, lines, broken, silent, seconds };
}
afterEach(() => void jest.useRealTimers());

test("a part is logged once when it goes and once when it is back", async () => {
  const { health, lines, broken, seconds } = healthOf([{ name: "database", isVital: true }]);
  await health.start();
  broken.add("database");
  await seconds(5);
  expect(health.report()).toEqual({
    isReady: false,
    checks: { database: { status: "down", detail: "broken" } },
  });
  broken.clear();
  await seconds(5);
  health.stop();
  expect(health.report().isReady).toBe(true);
  expect(lines).toEqual(["! database is down: broken", "database is up again after 5 s"]);
});

test("a part that is silent is down after two seconds, and its next answers count", async () => {
  const { health, lines, silent, seconds } = healthOf([{ name: "nats", isVital: true }]);
  await health.start();
  silent.add("nats");
  await seconds(2.9);
  expect(health.report().isReady).toBe(true);
  await seconds(0.1);
  expect(health.report().checks.nats).toEqual({ status: "down", detail: "no answer within 2000 ms" });
  silent.clear();
  await seconds(3);
  health.stop();
  expect(lines).toEqual(["! nats is down: no answer within 2000 ms", "nats is up again after 2 s"]);
});

test("what is not vital leaves the node ready", async () => {
  const { health, broken, seconds } = healthOf([{ name: "redis", isVital: false }]);
  await health.start();
  broken.add("redis");
  await seconds(1);
  health.stop();
  expect(health.report()).toMatchObject({ isReady: true, checks: { redis: { status: "down" } } });
});

test("a part that only another one is in the way of is not logged beside it", async () => {
  const { health, lines, broken, seconds } = healthOf([
    { name: "nats", isVital: true },
    { name: "services", isVital: true, over: "nats" },
  ]);
  await health.start();
  broken.add("nats").add("services");
  await seconds(3);
  expect(lines).toEqual(["! nats is down: broken"]);
  broken.delete("nats");
  await seconds(3);
  health.stop();
  expect(lines.slice(1)).toEqual(["nats is up again after 3 s", "! services is down: broken"]);
});

test("a part that was never up is logged after five seconds: until then it may be coming", async () => {
  const { health, lines, broken, seconds } = healthOf([{ name: "services", isVital: true }]);
  broken.add("services");
  await health.start();
  await seconds(4);
  expect(lines).toEqual([]);
  expect(health.report().isReady).toBe(false);
  await seconds(1);
  health.stop();
  expect(lines).toEqual(["! services is down: broken"]);
});

test("an instant part is asked when the report is made", () => {
  const { health, broken } = healthOf([{ name: "process", isVital: true, isInstant: true }]);
  expect(health.report().isReady).toBe(true);
  broken.add("process");
  expect(health.report().isReady).toBe(false);
});
