/** @jest-environment ./test/support/environment.mjs */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { defineContract } from "../../mixins/contract/contract.ts";
import { cronPayload, job } from "../../mixins/jobs/job-spec.ts";
import { Leader } from "../../mixins/concurrency/leader.ts";
import { createService } from "../../mixins/contract/service.ts";
import { cronJobs, serveDueTicks } from "../../services/cron/cron.rounds.ts";
import { createDatabase, dropDatabase, inspect } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { type ExtraService, type Node, startNode, testEnv } from "../support/node.ts";

const ticks: string[] = [];
const clock: ExtraService = {
  contract: defineContract("clock", {
    actions: {},
    events: {},
    jobs: {
      tick: job({
        summary: "Each second",
        payload: cronPayload,
        scope: "platform",
        cron: { schedule: "* * * * * *", missed: "catch_up" },
      }),
    },
  }),
  factory: (runtime) =>
    createService(clock.contract, {}, runtime, {
      jobs: {
        tick: (ctx: { params: { scheduledFor: string } }) => {
          ticks.push(ctx.params.scheduledFor);
          return Promise.resolve();
        },
      },
    }),
};
let databases: string[];
let nodes: Node[];
const start = (name: string) =>
  startNode(testEnv(databases, { SERVICES: "cron,service:worker", NODE_ID: name }), [clock]);

beforeAll(async () => {
  databases = [await createDatabase(), await createDatabase()];
  nodes = [await start("cron-a"), await start("cron-b")];
});
afterAll(async () => {
  for (const node of nodes) await node.stop();
  for (const url of databases) await dropDatabase(url);
});

const leader = async () => {
  const [row] = await inspect<{ node_id: string; epoch: string }>(
    databases[0] as string,
    "SELECT node_id, epoch FROM control.leaders WHERE name = 'cron' AND expires_at > now()",
  );
  return row;
};
const seconds = () => ticks.map((tick) => Date.parse(tick) / 1000).sort((a, b) => a - b);

test("of two nodes one leads, and each tick runs once", async () => {
  await eventually(() => ticks.length >= 4, 20_000);
  expect(await leader()).toMatchObject({ epoch: "1" });
  const from = seconds()[0] as number;
  expect(seconds()).toEqual(ticks.map((_, index) => from + index));
});

test("when the leader stops the other leads at once, under a new epoch, and misses no tick", async () => {
  const { node_id: former } = (await leader()) as { node_id: string };
  const index = nodes.findIndex((node) => node.broker.nodeID === former);
  const before = ticks.length;
  await nodes[index]?.stop();
  await eventually(async () => (await leader())?.epoch === "2", 20_000);
  nodes[index] = await start(former);
  expect((await leader())?.node_id).not.toBe(former);
  await eventually(() => ticks.length >= before + 4, 20_000);
  const from = seconds()[0] as number;
  expect(seconds()).toEqual(ticks.map((_, tick) => from + tick));
});

test("a leader whose lease has run out is stopped by the row, even before it knows", async () => {
  const [node] = nodes as [Node];
  const { database } = node.runtime;
  const options = { name: "test", onError: () => undefined };
  const [first, second] = [
    new Leader(database, { ...options, nodeId: "one" }),
    new Leader(database, { ...options, nodeId: "two" }),
  ];
  first.start();
  await eventually(() => first.isLeader);
  await inspect(databases[0] as string, "UPDATE control.leaders SET expires_at = now() WHERE name = 'test'");
  second.start();
  await eventually(() => second.isLeader);
  expect(await first.lead(() => Promise.resolve("acted"))).toBeUndefined();
  expect(await second.lead(() => Promise.resolve("acted"))).toBe("acted");
  await Promise.all([first.stop(), second.stop()]);
});

test("two who serve the same ticks at once add one job for each", async () => {
  const [node] = nodes as [Node];
  const { database } = node.runtime;
  const jobs = cronJobs([
    defineContract("rival", {
      actions: {},
      events: {},
      jobs: {
        run: job({
          summary: "",
          payload: cronPayload,
          scope: "platform",
          cron: { schedule: "* * * * *", missed: "skip" },
        }),
      },
    }),
  ]);
  const control = databases[0] as string;
  await inspect(
    control,
    "INSERT INTO control.cron_runs (job, scheduled_for, epoch) VALUES ('rival.run', now() - interval '1 hour', 0)",
  );
  const served = await Promise.all(
    Array.from({ length: 8 }, () =>
      database.transaction({ platform: database.control }, (tx) => serveDueTicks(tx, "1", jobs)),
    ),
  );
  const distinct = new Set(served.flat().map(({ scheduledFor }) => scheduledFor));
  expect(served.flat()).toHaveLength(distinct.size);
  expect(distinct.size).toBeGreaterThan(0);
});
