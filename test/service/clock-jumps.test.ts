import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { CronSpec } from "../../mixins/jobs/job-spec.ts";
import { ClockWatch } from "../../mixins/concurrency/clock-watch.ts";
import { Leader } from "../../mixins/concurrency/leader.ts";
import { renewLease } from "../../mixins/actors/actors.repository.ts";
import { WorkerLeases } from "../../mixins/jobs/worker-leases.ts";
import type { Database } from "../../mixins/database/database.ts";
import { serveDueTicks } from "../../services/cron/cron.rounds.ts";
import { sweep, tendPartitions } from "../../services/events/upkeep.ts";
import { countFailure, requireRoom, signInCounters } from "../../services/identity/sign-in/throttle.ts";
import { inspect, openDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";

let url: string;
let database: Database;
let close: () => Promise<void>;
beforeAll(async () => {
  ({ url, database, close } = await openDatabase());
});
afterAll(() => close());
const platform = <T>(work: Parameters<typeof database.transaction<T>>[1]) =>
  database.transaction({ platform: database.control }, work);

const hour = 3_600_000;
const year = 365 * 24 * hour;
const tenOClock = Date.parse("2026-03-02T10:00:00Z");

describe("scheduled work, when the database's clock was ahead for 20 s and came back", () => {
  /** The ticks that were served, in the order they were, with the clock showing these times one after the other. */
  async function serve(spec: CronSpec, task: string, clock: number[]): Promise<string[]> {
    const served: string[] = [];
    for (const now of clock)
      served.push(
        ...(await platform((tx) => serveDueTicks(tx, "1", [{ task, ...spec }], new Date(now)))).map(
          ({ scheduledFor }) => scheduledFor,
        ),
      );
    return served;
  }
  const everySecond = (from: number, seconds: number) =>
    Array.from({ length: seconds }, (_, second) => from + second * 1_000);
  const minute = (offset: number) => new Date(tenOClock + offset * 60_000).toISOString();

  test.each([
    ["an hour", hour],
    ["a year", year],
  ])("a job each minute goes on, by %s", async (name, ahead) => {
    const clock = [
      ...everySecond(tenOClock - 90_000, 90),
      ...everySecond(tenOClock + ahead, 20),
      ...everySecond(tenOClock + 20_000, 220),
    ];
    const served = await serve({ schedule: "* * * * *", missed: "skip" }, `skip.${name}`, clock);
    expect(served).toEqual([
      minute(-1),
      new Date(tenOClock + ahead).toISOString(),
      // that of ten o'clock came while the clock was away
      ...[0, 1, 2, 3].map(minute),
    ]);
  });

  test("a tick that ran while the clock was ahead does not run again", async () => {
    const clock = [
      ...everySecond(tenOClock - 90_000, 90),
      ...everySecond(tenOClock + 2 * 60_000, 20),
      ...everySecond(tenOClock + 20_000, 220),
    ];
    const skipping = await serve({ schedule: "* * * * *", missed: "skip" }, "skip.again", clock);
    expect(skipping).toEqual([-1, 2, 0, 1, 3].map(minute));
    const catchingUp = await serve({ schedule: "* * * * *", missed: "catch_up" }, "catch.again", clock);
    expect(catchingUp).toEqual([-1, 0, 1, 2, 3].map(minute));
  });

  test("a clock that is set back for good goes on with the first tick that has not run", async () => {
    const clock = [...everySecond(tenOClock - 90_000, 90), ...everySecond(tenOClock - 90_000, 160)];
    expect(await serve({ schedule: "* * * * *", missed: "skip" }, "skip.back", clock)).toEqual(
      [-1, 0, 1].map(minute),
    );
  });
});

describe("what was written while the database's clock was an hour ahead", () => {
  test("a lease of a leader that died then is not waited for", async () => {
    await inspect(
      url,
      `INSERT INTO control.leaders (name, node_id, epoch, expires_at)
       VALUES ('ahead', 'gone', 7, now() + interval '1 hour 10 s'), ('led', 'alive', 7, now() + interval '9 s')`,
    );
    const options = { nodeId: "next", onError: () => undefined };
    const [ahead, led] = ["ahead", "led"].map((name) => new Leader(database, { ...options, name }));
    ahead?.start();
    led?.start();
    await eventually(() => ahead?.isLeader);
    expect(led?.isLeader).toBe(false);
    await Promise.all([ahead?.stop(), led?.stop()]);
  });

  test("leases of workers and of nodes end as those of today", async () => {
    await inspect(
      url,
      `INSERT INTO worker_leases (worker_id, node_id, expires_at) VALUES ('w', 'gone', now() + interval '1 hour');
       INSERT INTO node_leases (node_id, lease_until) VALUES ('gone', now() + interval '1 hour')`,
    );
    const leases = new WorkerLeases(database, database.control, "alive", () => undefined);
    leases.start();
    await renewLease(database, database.control, "alive", 10_000);
    const left = () =>
      inspect<{ seconds: number }>(
        url,
        `SELECT extract(epoch FROM max(until) - now())::int AS seconds FROM (
           SELECT expires_at FROM worker_leases UNION ALL SELECT lease_until FROM node_leases) AS all_of (until)`,
      );
    await eventually(async () => ((await left())[0]?.seconds ?? 0) <= 10);
    await leases.stop();
  });

  test("jobs come up now, with what they had still to wait", async () => {
    await inspect(
      url,
      `INSERT INTO graphile_worker._private_tasks (identifier) VALUES ('a'), ('b'), ('c');
       INSERT INTO graphile_worker._private_jobs (task_id, run_at, created_at, updated_at)
       SELECT t.id, now() + j.run_at, now() + j.written, now() + j.written
       FROM (VALUES ('a', interval '1 hour', interval '1 hour'), ('b', interval '1 hour 5 minutes', interval '1 hour'),
         ('c', interval '2 hours', interval '-1 minute')) AS j (task, run_at, written)
       JOIN graphile_worker._private_tasks t ON t.identifier = j.task`,
    );
    await sweep(database);
    const rows = await inspect<{ task: string; minutes: number }>(
      url,
      `SELECT t.identifier AS task, round(extract(epoch FROM j.run_at - now()) / 60)::int AS minutes
       FROM graphile_worker._private_jobs j JOIN graphile_worker._private_tasks t ON t.id = j.task_id
       WHERE t.identifier IN ('a', 'b', 'c') ORDER BY 1`,
    );
    expect(rows).toEqual([
      { task: "a", minutes: 0 },
      { task: "b", minutes: 5 },
      { task: "c", minutes: 120 },
    ]);
  });

  test("failures of signing in are void", async () => {
    const counters = await platform((tx) => signInCounters(tx, "ahead@test.example", "192.0.2.1"));
    for (let turn = 0; turn < 30; turn++) await countFailure(database, counters, null).catch(() => undefined);
    await expect(platform((tx) => requireRoom(tx, counters))).rejects.toMatchObject({ code: 429 });
    await inspect(url, "UPDATE control.sign_in_failures SET ends_at = ends_at + interval '1 year'");
    await platform((tx) => requireRoom(tx, counters));
    await countFailure(database, counters, null);
    const [row] = await inspect(url, "SELECT max(failures)::int AS failures FROM control.sign_in_failures");
    expect(row).toEqual({ failures: 1 });
  });
});

describe("what cannot be undone is not done by a clock that is doubted", () => {
  const minute = 60_000;
  /** A watch whose clocks the test sets. */
  function watchOf() {
    const clock = { wall: tenOClock, steady: 0 };
    const watch = new ClockWatch(
      () => clock.wall,
      () => clock.steady,
    );
    const pass = (ms: number, jump = 0) => {
      clock.steady += ms;
      clock.wall += ms + jump;
      watch.look();
    };
    const verdict = (database = clock.wall) => {
      try {
        watch.requireTrusted(database);
        return "trusted";
      } catch (error) {
        return (error as Error).message;
      }
    };
    return { clock, pass, verdict };
  }

  test("for an hour after it has jumped, forward or back", () => {
    for (const jump of [year, -hour, 11 * minute]) {
      const { pass, verdict } = watchOf();
      pass(hour);
      expect(verdict()).toBe("trusted");
      pass(10_000, jump);
      expect(verdict()).toMatch(/^The clock has jumped/);
      pass(hour - 10_001);
      expect(verdict()).toMatch(/^The clock has jumped/);
      pass(10_001);
      expect(verdict()).toBe("trusted");
    }
  });

  test("small corrections are no jump", () => {
    const { pass, verdict } = watchOf();
    for (let turn = 0; turn < 100; turn++) pass(10_000, turn % 2 === 0 ? 9 * minute : -9 * minute);
    expect(verdict()).toBe("trusted");
  });

  test("while it and the database's are apart", () => {
    const { clock, verdict } = watchOf();
    expect(verdict(clock.wall - 9 * minute)).toBe("trusted");
    expect(verdict(clock.wall - year)).toMatch(/^This node's clock is 525600 min ahead of the database's/);
    expect(verdict(clock.wall + hour)).toMatch(/^This node's clock is 60 min behind the database's/);
  });

  test("events stay while the database's clock is a year ahead of the node's", async () => {
    const before = await inspect(url, "SELECT inhrelid::regclass::text AS name FROM pg_inherits ORDER BY 1");
    const realNow = Date.now;
    Date.now = () => realNow() - year;
    try {
      await expect(tendPartitions(database, 1)).rejects.toThrow("behind the database's");
    } finally {
      Date.now = realNow;
    }
    expect(await inspect(url, "SELECT inhrelid::regclass::text AS name FROM pg_inherits ORDER BY 1")).toEqual(
      before,
    );
  });
});
