import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { v7 as uuidv7 } from "uuid";
import { inspect } from "../support/database.ts";
import { append } from "../support/feed.ts";
import { shardUrl } from "../support/leads.ts";
import { eventually } from "../support/eventually.ts";
import { startTestNode, type TestNode } from "../support/node.ts";
import { probe } from "../support/probe.ts";

let node: TestNode;
let url: string;
const heard: string[] = [];

beforeAll(async () => {
  node = await startTestNode({ SERVICES: "service:worker,events", EVENTS_RETENTION_DAYS: "90" }, [
    probe({ listeners: { first: (ctx) => void heard.push(ctx.meta.organizationId ?? "") } }),
  ]);
  url = node.databases[0] as string;
});
afterAll(() => node.stop());

const run = (job: string) =>
  node.broker.call(`events.${job}`, { scheduledFor: new Date().toISOString() }, { meta: { role: "system" } });
/** The months of events that have a partition, as 2026_01. */
const months = async () => {
  const rows = await inspect<{ name: string }>(
    url,
    `SELECT right(c.relname, 7) AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'events'::regclass AND c.relname <> 'events_default' ORDER BY 1`,
  );
  return rows.map(({ name }) => name);
};
/** The month `back` months ago, as a name and a date in it. */
const monthBack = async (back: number) => {
  const [row] = await inspect<{ name: string; day: string }>(
    url,
    `SELECT to_char(m, 'YYYY_MM') AS name, to_char(m + interval '10 days', 'YYYY-MM-DD') AS day
     FROM (SELECT date_trunc('month', now()) - $1 * interval '1 month' AS m) month`,
    [back],
  );
  return row as { name: string; day: string };
};

test("idempotency keys are forgotten after 24 hours", async () => {
  const organizationId = uuidv7();
  const add = (key: string, age: string) =>
    inspect(
      url,
      "INSERT INTO idempotency_keys (organization_id, key, fingerprint, response, created_at) VALUES ($1, $2, '', '{}', now() - $3::interval)",
      [organizationId, key, age],
    );
  await add("new", "23 hours 59 minutes");
  for (let index = 0; index < 3; index++) await add(`old-${index}`, "24 hours 1 minute");
  await run("cleanUp");
  expect(
    await inspect(url, "SELECT key FROM idempotency_keys WHERE organization_id = $1", [organizationId]),
  ).toEqual([{ key: "new" }]);
});

test("partitions for this month and two to come are there, and whole months behind retention go", async () => {
  const [old, recent] = [await monthBack(5), await monthBack(2)];
  for (const { day } of [old, recent]) await inspect(url, "SELECT ensure_events_partition($1)", [day]);
  await inspect(url, `DROP TABLE events_${(await monthBack(-2)).name}`);
  await run("tendPartitions");
  const kept = await months();
  expect(kept).toEqual([recent, ...(await Promise.all([0, -1, -2].map(monthBack)))].map(({ name }) => name));
});

test("a month behind retention stays while an event in it has no place, or a listener has not heard it", async () => {
  const old = await monthBack(6);
  const organizationId = uuidv7();
  const insert = (seq: number | null) =>
    inspect(
      url,
      `INSERT INTO events (organization_id, id, type, entity_kind, entity_id, entity_version, data, occurred_at, seq)
       VALUES ($1, $2, 'lead.created', 'lead', $2, 1, '{}', $3, $4)`,
      [organizationId, uuidv7(), old.day, seq],
    );
  await inspect(url, "SELECT ensure_events_partition($1)", [old.day]);
  await insert(1);
  const [cursor] = [
    "INSERT INTO listener_cursors (organization_id, listener, seq, target, is_scheduled) VALUES ($1, 'x.y', 0, 1, false)",
  ];
  await inspect(url, cursor, [organizationId]);
  await run("tendPartitions");
  expect(await months()).toContain(old.name);
  await inspect(url, "UPDATE listener_cursors SET seq = 1 WHERE organization_id = $1", [organizationId]);
  await run("tendPartitions");
  expect(await months()).not.toContain(old.name);
});

test("a listener whose job is gone gets another", async () => {
  const organizationId = uuidv7();
  await append(node.runtime, organizationId, {});
  await eventually(() => heard.includes(organizationId));
  const shard = shardUrl(node, organizationId);
  await eventually(
    async () =>
      (
        await inspect(
          shard,
          "SELECT FROM listener_cursors WHERE organization_id = $1 AND listener = 'probe.first' AND NOT is_scheduled",
          [organizationId],
        )
      ).length === 1,
  );
  await inspect(
    shard,
    "UPDATE listener_cursors SET is_scheduled = true, seq = 0 WHERE organization_id = $1 AND listener = 'probe.first'",
    [organizationId],
  );
  heard.length = 0;
  await run("sweep");
  await eventually(() => heard.includes(organizationId));
});

test("a job that was locked by a worker without a lease is run by another", async () => {
  const organizationId = uuidv7();
  const shard = shardUrl(node, organizationId);
  await node.runtime.database.transaction({ organizationId }, (tx) => {
    tx.enqueue({ task: "probe.first", payload: {}, delayMs: 3_600_000 });
    return Promise.resolve();
  });
  await inspect(
    shard,
    `UPDATE graphile_worker._private_jobs SET locked_by = 'pool-of-nobody', locked_at = now() - interval '2 minutes',
     run_at = now() WHERE payload ->> 'organizationId' = $1`,
    [organizationId],
  );
  await run("sweep");
  await eventually(
    async () =>
      (
        await inspect(
          shard,
          "SELECT FROM graphile_worker._private_jobs WHERE payload ->> 'organizationId' = $1",
          [organizationId],
        )
      ).length === 0,
  );
});
