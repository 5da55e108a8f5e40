import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { Database } from "../../mixins/database/database.ts";
import { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { inspect } from "../support/database.ts";
import { ended, upload } from "../support/imports.ts";
import { makeOrganization, type TestOrganization } from "../support/leads.ts";
import { feedTroubles, move, moveAndDie, rowsByDatabase, storedLeads } from "../support/movers.ts";
import { eventually } from "../support/eventually.ts";
import { startTestNode, type TestNode } from "../support/node.ts";
import { RealtimeServer, SocketClient, buildClaims, tokenOf } from "../support/realtime.ts";
import { Writers } from "../support/writers.ts";

let node: TestNode;
let org: TestOrganization;
const started: Writers[] = [];
beforeAll(async () => {
  node = await startTestNode();
});
afterAll(() => node.stop());
beforeEach(async () => {
  org = await makeOrganization(node);
});
afterEach(() => Promise.all(started.splice(0).map((writers) => writers.stop())));

const home = () => node.runtime.database.homes.indexOf(org.id);
const other = () => 1 - home();
const startWriters = (of: TestOrganization, clients: number): Writers => {
  const writers = new Writers(node, of.as("admin"), clients);
  started.push(writers);
  return writers;
};
const create = (firstName: string) => node.call("leads.create", { firstName }, org.as("admin"));
/** Rows of a table at home and elsewhere. */
const rows = async (table: string) => {
  const counts = await rowsByDatabase(node, org.id, table);
  return { home: counts[home()], elsewhere: counts[other()] };
};
const sequenced = () => eventually(async () => (await feedTroubles(node, org.id)).length === 0);

test("under constant writes and an import, moves lose nothing and double nothing", async () => {
  const neighbour = await makeOrganization(node);
  const neighbours = startWriters(neighbour, 1);
  const writers = startWriters(org, 3);
  const csv = ["external_id,first_name", ...Array.from({ length: 2_000 }, (_, n) => `csv-${n},Csv`)].join(
    "\n",
  );
  const server = await RealtimeServer.listen(node);
  const claims = buildClaims({ organizationId: org.id, userId: org.userId("admin") });
  const follower = await new SocketClient(server.url, tokenOf(claims)).connected();
  expect(await follower.send("subscribe", { since: 0 })).toMatchObject({ ok: true });
  const importing = await upload(node, org.as("admin"), csv);
  const from = home();
  await move(node, org.id, 1 - from);
  await move(node, org.id, from);
  const imported = await ended(node, org.as("admin"), importing.id);
  await writers.stop();
  await neighbours.stop();
  expect([...writers.unexpected, ...neighbours.unexpected]).toEqual([]);
  expect(home()).toBe(from);
  expect(await storedLeads(node, org.id)).toEqual(writers.told);
  expect(writers.told.size).toBeGreaterThan(50);
  expect(imported).toMatchObject({ status: "completed", created: 2_000, failed: 0 });
  for (const table of [
    "leads",
    "events",
    "idempotency_keys",
    "imports",
    "import_changes",
    "listener_cursors",
  ])
    // the control database keeps its keys
    if (table !== "idempotency_keys" || from === 0) expect((await rows(table)).elsewhere).toBe(0);
  await sequenced();
  const { head } = await node.call("events.list", { limit: 1 }, org.as("admin"));
  await follower.reaches(head);
  expect(follower.seqs).toEqual(Array.from({ length: head }, (_, index) => index + 1));
  follower.close();
  await server.close();
  expect(writers.slowestMs).toBeLessThan(8_000);
});

test("a node that knows the old home is sent to the new one, for reads, writes and shared commits", async () => {
  await create("a");
  const stale = await Database.open(node.databases, {
    logicalShards: 16,
    poolSize: 2,
    onError: () => undefined,
  });
  const from = stale.homes.indexOf(org.id);
  const target = { organizationId: org.id };
  const insert = {
    text: `INSERT INTO companies (id, organization_id, name, created_at, updated_at)
      VALUES (gen_random_uuid(), $1, 'C', now(), now())`,
    values: [org.id],
  };
  const together = async (tx: UnitOfWork) =>
    Promise.all([tx.query({ text: "SELECT 1 AS one" }), tx.execute(insert)]);
  try {
    await move(node, org.id, 1 - from);
    const old = stale.shards[from] as Database["control"];
    const count = { text: "SELECT count(*)::int AS leads FROM leads" };
    expect(await new UnitOfWork(old, { ...target, readOnly: true }).query(count)).toEqual([{ leads: 1 }]);
    await stale.transaction(target, together);
    for (const work of [(tx: UnitOfWork) => Promise.resolve(tx.defer(insert)), together]) {
      const tx = new UnitOfWork(old, target);
      await work(tx);
      await tx.commit();
    }
    const shared = new UnitOfWork(old, target);
    shared.record({
      type: "t",
      entity: { kind: "lead", id: org.id, version: 1 },
      actorId: null,
      audience: null,
      data: {},
    });
    await shared.commit();
    expect(stale.homes.indexOf(org.id)).toBe(1 - from);
  } finally {
    await stale.close();
  }
  expect(await rows("companies")).toEqual({ home: 3, elsewhere: 0 });
  expect((await rows("events")).elsewhere).toBe(0);
});

test("jobs that wait go along, also when the first mover dies with them in its hand", async () => {
  const from = home();
  await node.runtime.database.transaction({ organizationId: org.id }, (tx) => {
    for (const n of [1, 2, 3])
      tx.enqueue({ task: "leads.rescore", payload: {}, key: `k${n}`, delayMs: 3_600_000 });
    return Promise.resolve();
  });
  const jobs = () =>
    Promise.all(
      node.databases.map(async (url) => {
        const [row] = await inspect<{ jobs: number }>(
          url,
          `SELECT count(*)::int AS jobs FROM graphile_worker._private_jobs
           WHERE payload ->> 'organizationId' = $1 AND locked_at IS NULL AND run_at > now()`,
          [org.id],
        );
        return row?.jobs;
      }),
    );
  expect((await jobs())[from]).toBe(3);
  await move(node, org.id, 1 - from);
  expect((await jobs())[from]).toBe(0);
  expect((await jobs())[1 - from]).toBe(3);
  await moveAndDie(node, org.id, from, "switch");
  await move(node, org.id, from);
  expect((await jobs())[from]).toBe(3);
  expect((await jobs())[1 - from]).toBe(0);
});

test("what the old database keeps is out of sight of the platform's work there", async () => {
  await create("a");
  await sequenced();
  const from = home();
  await move(node, org.id, 1 - from, { isKept: true });
  const url = node.databases[from] as string;
  const unplaced = "SELECT FROM events WHERE organization_id = $1 AND seq IS NULL";
  await inspect(url, "UPDATE events SET seq = NULL WHERE organization_id = $1", [org.id]);
  const platform = node.runtime.database.shards[from] as Database["control"];
  const placed = await node.runtime.database.transaction({ platform }, (tx) =>
    tx.query({ text: "SELECT * FROM sequence_events(100)" }),
  );
  expect(placed).toEqual([]);
  expect(await inspect(url, unplaced, [org.id])).toHaveLength(1);
  expect(await rowsByDatabase(node, org.id, "leads")).toEqual([1, 1]);
  await create("b");
  await move(node, org.id, from);
  expect(await rows("leads")).toEqual({ home: 2, elsewhere: 0 });
  await sequenced();
});

test("a transaction under way is waited for, and what it wrote moves too", async () => {
  const from = home();
  const tx = new UnitOfWork(node.runtime.database.shardOf(org.id), { organizationId: org.id });
  await tx.query({ text: "SELECT 1" });
  const moving = move(node, org.id, 1 - from, {
    step: async (step) => {
      if (step !== "pause") return;
      tx.defer({
        text: `INSERT INTO companies (id, organization_id, name, created_at, updated_at)
          VALUES (gen_random_uuid(), $1, 'C', now(), now())`,
        values: [org.id],
      });
      setTimeout(() => void tx.commit(), 300);
      await Promise.resolve();
    },
  });
  await moving;
  expect(home()).toBe(1 - from);
  expect(await rows("companies")).toEqual({ home: 1, elsewhere: 0 });
});
