import { afterAll, beforeAll, beforeEach, expect, test } from "@jest/globals";
import type { Database } from "../../mixins/database/database.ts";
import { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { eventually } from "../support/eventually.ts";
import { inspect, openDatabase } from "../support/database.ts";

const mine = "01900000-0000-7000-8000-000000000001";
const yours = "01900000-0000-7000-8000-000000000002";
let url: string;
let database: Database;
let close: () => Promise<void>;
beforeAll(async () => {
  ({ url, database, close } = await openDatabase());
});
afterAll(() => close());
beforeEach(() => inspect(url, "TRUNCATE companies CASCADE; TRUNCATE events; TRUNCATE idempotency_keys"));

/** A command that inserts a company and records an event, as the unit of work of an action does it. */
async function create(name: string, options: { key?: string; organizationId?: string; owner?: string } = {}) {
  const { organizationId = mine, key, owner = organizationId } = options;
  const tx = new UnitOfWork(
    database.control,
    { organizationId },
    key === undefined ? undefined : { key, fingerprint: name },
  );
  tx.deferRows({
    name: "insert_companies",
    text: `INSERT INTO companies (id, organization_id, name, created_at, updated_at)
      SELECT gen_random_uuid(), organization_id, name, now(), now()
      FROM json_to_recordset($1) AS c (organization_id uuid, name text)`,
    rows: [JSON.stringify({ organization_id: owner, name })],
  });
  const entity = { kind: "company", id: organizationId, version: 1 };
  tx.record({ type: "t", entity, actorId: null, audience: [organizationId], data: { name } });
  await tx.commit({ name });
}

const stored = () =>
  inspect<{ name: string; organization_id: string; transaction: string }>(
    url,
    "SELECT name, organization_id, xmin::text AS transaction FROM companies ORDER BY name",
  );
const names = async () => (await stored()).map(({ name }) => name);
const numbered = (count: number) => Array.from({ length: count }, (_, n) => `n${String(n).padStart(3, "0")}`);
const outcomes = async (commands: Promise<void>[]) =>
  (await Promise.allSettled(commands)).map((one) =>
    one.status === "fulfilled" ? "done" : (one.reason as { type?: string }).type,
  );

test("commands that come while others run share transactions, and each is done with its event and its key", async () => {
  const wanted = numbered(50);
  await Promise.all(wanted.map((name) => create(name, { key: name })));
  const rows = await stored();
  expect(rows.map(({ name }) => name)).toEqual(wanted);
  expect(new Set(rows.map(({ transaction }) => transaction)).size).toBeLessThan(10);
  const events = await inspect<{ name: string; audience: string }>(
    url,
    "SELECT data ->> 'name' AS name, audience::text FROM events ORDER BY position",
  );
  expect(events.map(({ name }) => name).toSorted()).toEqual(wanted);
  expect(new Set(events.map(({ audience }) => audience))).toEqual(new Set([`{${mine}}`]));
  const keys = await inspect<{ key: string; response: unknown }>(
    url,
    "SELECT key, response FROM idempotency_keys ORDER BY key",
  );
  expect(keys).toEqual(wanted.map((name) => ({ key: name, response: { name } })));
});

test("a command that fails takes no neighbour with it", async () => {
  const wanted = numbered(40);
  const bad = new Map([
    ["n007", "a\0b"],
    ["n030", "another\0"],
  ]);
  expect(await outcomes(wanted.map((name) => create(bad.get(name) ?? name)))).toEqual(
    wanted.map((name) => (bad.has(name) ? "VALIDATION_FAILED" : "done")),
  );
  expect(await names()).toEqual(wanted.filter((name) => !bad.has(name)));
  expect(await inspect(url, "SELECT count(*)::int FROM events")).toEqual([{ count: 38 }]);
});

test("a key that was used, is in use or comes twice at once keeps its command from happening again", async () => {
  await create("used before", { key: "used" });
  const running = new UnitOfWork(
    database.control,
    { organizationId: mine },
    { key: "running", fingerprint: "" },
  );
  await running.query({ text: "SELECT 1" });
  const others = numbered(20);
  const result = await outcomes([
    ...others.map((name) => create(name, { key: name })),
    create("again", { key: "used" }),
    create("meanwhile", { key: "running" }),
    create("twice", { key: "twice" }),
    create("twice", { key: "twice" }),
  ]);
  await running.rollback();
  expect(result).toEqual([
    ...others.map(() => "done"),
    "IDEMPOTENCY_KEY_USED",
    "IDEMPOTENCY_KEY_IN_USE",
    "done",
    "IDEMPOTENCY_KEY_USED",
  ]);
  expect(await names()).toEqual([...others, "twice", "used before"]);
  await inspect(url, "UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second'");
  await create("used again", { key: "used" });
  expect(await names()).toContain("used again");
});

test("more commands than may wait are refused, and the others are done", async () => {
  const result = await outcomes(numbered(2_092).map((name) => create(name)));
  expect(result.filter((one) => one !== "done")).toEqual(Array(44).fill("DATABASE_BUSY"));
  expect(await names()).toHaveLength(2_048);
});

test("organizations never share a transaction, and nobody writes another's row", async () => {
  const result = await outcomes([
    ...numbered(20).map((name) => create(name)),
    ...numbered(20).map((name) => create(name, { organizationId: yours })),
    create("foreign", { organizationId: yours, owner: mine }),
  ]);
  expect(result.filter((one) => one !== "done")).toEqual([undefined]);
  const rows = await stored();
  expect(rows).toHaveLength(40);
  const owners = new Map<string, Set<string>>();
  for (const { transaction, organization_id: owner } of rows)
    owners.set(transaction, (owners.get(transaction) ?? new Set()).add(owner));
  expect([...owners.values()].every(({ size }) => size === 1)).toBe(true);
});

test("when the connection is lost, no command is run a second time", async () => {
  const held = new UnitOfWork(database.control, { organizationId: mine });
  await held.query({ text: "LOCK TABLE companies IN SHARE MODE" });
  let answers: unknown[] | undefined;
  void outcomes(numbered(40).map((name) => create(name))).then((all) => (answers = all));
  const lost = new Set<number>();
  try {
    await eventually(async () => {
      for (const pid of await endWaiting()) lost.add(pid);
      return answers;
    });
  } finally {
    await held.rollback();
  }
  expect(answers).toEqual(numbered(40).map(() => "OUTCOME_UNKNOWN"));
  // 32 commands together, then the other eight
  expect(lost.size).toBe(2);
  expect(await names()).toEqual([]);
});

/** Ends the connections that wait for a lock; answers their process ids. */
async function endWaiting(): Promise<number[]> {
  const rows = await inspect<{ pid: number }>(
    url,
    `SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database()`,
  );
  return rows.map(({ pid }) => pid);
}
