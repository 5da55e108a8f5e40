/** @jest-environment ./test/support/environment.mjs */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import pg from "pg";
import { v7 as uuidv7 } from "uuid";
import { registry } from "../../mixins/process/metrics.ts";
import { apart } from "../../mixins/database/one-connection.ts";
import type { FeedAdvanced } from "../../mixins/events/feed.ts";
import { lagPollers } from "../../services/events/feed-lag.ts";
import { append, buildEvent } from "../support/feed.ts";
import { inspect } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { type Node, startNode, startTestNode, testEnv, type TestNode } from "../support/node.ts";

let node: TestNode;
let other: Node;
const hints: FeedAdvanced[] = [];
beforeAll(async () => {
  node = await startTestNode({ SERVICES: "events" });
  other = await startNode(testEnv(node.databases, { SERVICES: "events" }));
  for (const { broker } of [node, other])
    broker.createService({
      name: "listener",
      events: { "feed.advanced": (ctx: { params: FeedAdvanced }) => void hints.push(ctx.params) },
    });
});
afterAll(async () => {
  await other.stop();
  await node.stop();
});

interface Placed {
  [column: string]: unknown;
  seq: number;
  entity_id: string;
  entity_version: number;
}
const feedOf = async (organizationId: string): Promise<Placed[]> =>
  (
    await Promise.all(
      node.databases.map((url) =>
        inspect<Placed>(
          url,
          "SELECT seq::int, entity_id, entity_version FROM events WHERE organization_id = $1 ORDER BY seq",
          [organizationId],
        ),
      ),
    )
  ).flat();
const range = (to: number) => Array.from({ length: to }, (_, index) => index + 1);

test("whoever writes at once and whichever sequencer is first, every feed is 1 … n and keeps each entity's order", async () => {
  const organizations = Array.from({ length: 4 }, () => {
    const entities = Array.from({ length: 5 }, () => ({ id: uuidv7(), version: 0 }));
    return { id: uuidv7(), entities };
  });
  let left = 2_000;
  const write = async (writer: number) => {
    while (left-- > 0) {
      const organization = organizations[left % 4] as (typeof organizations)[number];
      const entity = organization.entities[left % 5] as { id: string; version: number };
      const { runtime } = writer % 2 === 0 ? node : other;
      await runtime.database.transaction({ organizationId: organization.id }, async (tx) => {
        // as the row lock of an entity does: writers of one entity come one after the other
        await tx.query({ text: "SELECT pg_advisory_xact_lock(hashtext($1))", values: [entity.id] });
        tx.record(buildEvent({ entity: { id: entity.id, version: ++entity.version } }));
      });
      runtime.onEvents(organization.id);
    }
  };
  await Promise.all(range(12).map(write));
  for (const organization of organizations) {
    const feed = await eventually(async () => {
      const rows = await feedOf(organization.id);
      return rows.length === 500 && rows.every(({ seq }) => seq !== null) && rows;
    });
    expect(feed.map(({ seq }) => seq)).toEqual(range(500));
    for (const { id, version } of organization.entities) {
      const versions = feed.filter((event) => event.entity_id === id).map((event) => event.entity_version);
      expect(versions).toEqual(range(version));
    }
    const announced = hints
      .filter((hint) => hint.organizationId === organization.id)
      .sort((one, another) => one.from - another.from);
    expect(announced.flatMap(({ from, head }) => range(head).slice(from - 1))).toEqual(range(500));
    for (const { from, head, events } of announced)
      if (events) expect(events.map(({ seq }) => seq)).toEqual(range(head).slice(from - 1));
      else expect(head - from).toBeGreaterThanOrEqual(50);
  }
});

test("an event written early and committed late is placed late, never lost", async () => {
  const organizationId = uuidv7();
  const late = uuidv7();
  await node.runtime.database.transaction({ organizationId }, async (tx) => {
    await tx.execute({
      text: `INSERT INTO events (organization_id, id, type, entity_kind, entity_id, entity_version, data)
        VALUES ($1, $2, 'lead.created', 'lead', $3, 1, '{}')`,
      values: [organizationId, uuidv7(), late],
    });
    await apart(() => append(node.runtime, organizationId, {}, {}, {}));
    await eventually(() =>
      apart(async () => (await feedOf(organizationId)).filter(({ seq }) => seq !== null).length === 3),
    );
  });
  const feed = await eventually(async () => {
    const rows = await feedOf(organizationId);
    return rows.every(({ seq }) => seq !== null) && rows;
  });
  expect(feed.map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
  expect(feed.at(-1)?.entity_id).toBe(late);
});

test("an event whose transaction is undone takes no place", async () => {
  const organizationId = uuidv7();
  const undone = node.runtime.database.transaction({ organizationId }, async (tx) => {
    await tx.execute({
      text: `INSERT INTO events (organization_id, id, type, entity_kind, entity_id, entity_version, data)
        VALUES ($1, $2, 'lead.created', 'lead', $2, 1, '{}')`,
      values: [organizationId, uuidv7()],
    });
    throw new Error("changed its mind");
  });
  await expect(undone).rejects.toThrow("changed its mind");
  await append(node.runtime, organizationId, {}, {});
  const feed = await eventually(async () => {
    const rows = await feedOf(organizationId);
    return rows.length === 2 && rows.every(({ seq }) => seq !== null) && rows;
  });
  expect(feed.map(({ seq }) => seq)).toEqual([1, 2]);
});

test("a lost hint costs no more than a poll", async () => {
  const organizationId = uuidv7();
  await node.runtime.database.transaction({ organizationId }, (tx) =>
    Promise.resolve(tx.record(buildEvent())),
  );
  await eventually(async () => (await feedOf(organizationId))[0]?.seq === 1, 2_000);
});

test("a sequencer that stalls before its COMMIT holds the feed up for two seconds, not longer", async () => {
  const organizationId = uuidv7();
  const shard = node.runtime.database.shardOf(organizationId);
  const stalled = new pg.Client({
    connectionString: node.databases[node.runtime.database.shards.indexOf(shard)],
  });
  stalled.on("error", () => undefined);
  await stalled.connect();
  await stalled.query("BEGIN; SET LOCAL ROLE sangam_platform");
  await stalled.query("SELECT * FROM sequence_events(500)");
  const start = performance.now();
  await append(node.runtime, organizationId, {});
  await eventually(async () => (await feedOf(organizationId))[0]?.seq === 1, 5_000);
  expect(performance.now() - start).toBeGreaterThan(1_000);
  await stalled.end().catch(() => undefined);
});

test("tells how far the sequencer is behind", async () => {
  const pollers = lagPollers(node.runtime.database, (error) => {
    throw error;
  });
  for (const poller of pollers) poller.start();
  await eventually(async () =>
    (await registry.getSingleMetricAsString("crm_feed_lag_events")).includes(
      'crm_feed_lag_events{shard="shard-1"} 0',
    ),
  );
  await Promise.all(pollers.map((poller) => poller.stop()));
});
