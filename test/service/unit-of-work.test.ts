import { afterAll, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { AssignmentPool, CustomField } from "../../entities/lead-settings.ts";
import { conflict } from "../../mixins/contract/errors.ts";
import type { Database } from "../../mixins/database/database.ts";
import { inUnit } from "../../mixins/database/one-connection.ts";
import { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { inspect, openDatabase } from "../support/database.ts";

const organizationId = "01900000-0000-7000-8000-000000000001";
let url: string;
let database: Database;
let close: () => Promise<void>;
beforeAll(async () => {
  ({ url, database, close } = await openDatabase());
});
afterAll(() => close());
beforeEach(() => inspect(url, "TRUNCATE pipelines CASCADE; TRUNCATE events; TRUNCATE idempotency_keys"));

const begin = (idempotency?: { key: string; fingerprint: string }) =>
  new UnitOfWork(database.control, { organizationId }, idempotency);
const insertPipeline = (name: string) => ({
  text: `INSERT INTO pipelines (id, organization_id, name, stages, created_at, updated_at)
         VALUES (gen_random_uuid(), $1, $2, '[]', now(), now())`,
  values: [organizationId, name],
});
const names = async () =>
  (await inspect<{ name: string }>(url, "SELECT name FROM pipelines ORDER BY name")).map((row) => row.name);
const event = {
  type: "t",
  entity: { kind: "pipeline", id: organizationId, version: 1 },
  actorId: null,
  audience: null,
  data: {},
};

test("entities, statements and deferred writes commit together", async () => {
  const tx = begin();
  tx.em.create(
    AssignmentPool,
    { organizationId, name: "entity", strategy: "round_robin", members: [], criteria: [] },
    { partial: true },
  );
  await tx.query(insertPipeline("statement"));
  tx.defer(insertPipeline("deferred"));
  tx.record(event);
  expect(await names()).toEqual([]);
  await tx.commit();
  expect(await names()).toEqual(["deferred", "statement"]);
  expect(await inspect(url, "SELECT name FROM assignment_pools")).toEqual([{ name: "entity" }]);
  expect(await inspect(url, "SELECT type FROM events")).toEqual([{ type: "t" }]);
});

test("a deferred write that fails undoes everything and says why", async () => {
  const tx = begin();
  tx.defer(insertPipeline("first"));
  tx.defer({ text: "INSERT INTO pipelines (id) VALUES ($1)", values: ["not a uuid"] });
  tx.record(event);
  await expect(tx.commit()).rejects.toThrow(/uuid/);
  expect(await names()).toEqual([]);
});

test("a statement error that was swallowed cannot be committed over", async () => {
  const tx = begin();
  await tx.query(insertPipeline("lost"));
  await tx.query({ text: "SELECT 1 / 0" }).catch(() => undefined);
  await expect(tx.commit()).rejects.toThrow(/aborted/);
  expect(await names()).toEqual([]);
});

test("hooks run after the commit, and never after a rollback", async () => {
  const calls: string[] = [];
  const kept = begin();
  kept.defer(insertPipeline("kept"));
  kept.afterCommit(() => calls.push("kept"));
  await kept.commit();
  const dropped = begin();
  await dropped.query(insertPipeline("dropped"));
  dropped.afterCommit(() => calls.push("dropped"));
  await dropped.rollback();
  expect(calls).toEqual(["kept"]);
});

test.each([
  ["read first", true],
  ["write only", false],
])("an idempotency key lets a command happen once (%s)", async (_name, readsFirst) => {
  const attempt = async () => {
    const tx = begin({ key: "k", fingerprint: "f" });
    try {
      if (readsFirst) await tx.query({ text: "SELECT 1" });
      tx.defer(insertPipeline("once"));
      await tx.commit({ answer: 1 });
    } finally {
      await tx.rollback();
    }
  };
  await attempt();
  await expect(attempt()).rejects.toMatchObject({ type: "IDEMPOTENCY_KEY_USED" });
  expect(await names()).toEqual(["once"]);
  expect(await inspect(url, "SELECT response FROM idempotency_keys")).toEqual([{ response: { answer: 1 } }]);
  await inspect(url, "UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second'");
  await attempt();
  expect(await names()).toEqual(["once", "once"]);
});

test("a key whose command still runs is refused, and free again when that command fails", async () => {
  const first = begin({ key: "k", fingerprint: "f" });
  await first.query({ text: "SELECT 1" });
  const second = begin({ key: "k", fingerprint: "f" });
  second.defer(insertPipeline("second"));
  await expect(second.commit({})).rejects.toMatchObject({ code: 409, type: "IDEMPOTENCY_KEY_IN_USE" });
  await first.rollback();
  const third = begin({ key: "k", fingerprint: "f" });
  third.defer(insertPipeline("third"));
  await third.commit({});
  expect(await names()).toEqual(["third"]);
});

test("NUL in a text is a validation error, not a crash", async () => {
  const tx = begin();
  tx.defer(insertPipeline("a\0b"));
  await expect(tx.commit()).rejects.toMatchObject({ code: 422, type: "VALIDATION_FAILED" });
});

test("connections go back to the pool, also after failures", async () => {
  for (let round = 0; round < 20; round++) {
    const tx = begin();
    await tx.query({ text: "SELECT 1 / 0" }).catch(() => undefined);
    await tx.rollback();
  }
  await Promise.all(
    Array.from({ length: 20 }, () =>
      database.transaction({ organizationId }, (tx) => tx.query({ text: "SELECT 1" })),
    ),
  );
  expect(database.control.pool.totalCount).toBeLessThanOrEqual(4);
  expect(database.control.pool.waitingCount).toBe(0);
});

test("whoever holds a connection cannot wait for another: not before it is given back, nor through a nested call", async () => {
  const work = (tx: UnitOfWork) => tx.query(insertPipeline("own"));
  const another = () => database.transaction({ organizationId }, (tx) => tx.query(insertPipeline("another")));
  const inside = database.transaction({ organizationId }, async (tx) => {
    await work(tx);
    await another();
  });
  await expect(inside).rejects.toThrow("Another connection was asked for inside an open transaction");
  const reading = database.transaction({ organizationId }, async (tx) => {
    await work(tx);
    await database.reader(organizationId).query({ text: "SELECT 1" });
  });
  await expect(reading).rejects.toThrow("Another connection");
  const nested = database.transaction({ organizationId }, async (tx) => {
    await work(tx);
    await inUnit({ isOpen: false }, another);
  });
  await expect(nested).rejects.toThrow("Another connection");
  expect(await names()).toEqual([]);
  await database.transaction({ organizationId }, async (tx) => {
    await another();
    await work(tx);
  });
  expect(await names()).toEqual(["another", "own"]);
});

test("the violation of a constraint means what the unit of work was told, also when MikroORM wrapped it", async () => {
  const clash = database.transaction({ organizationId }, async (tx) => {
    tx.onViolation("custom_fields_organization_id_entity_key_key", () => conflict("NAMED", "by the test"));
    const field = { entity: "lead", key: "orm", type: "text", label: "ORM", options: [], defaultValue: null };
    const times = { createdAt: tx.now, updatedAt: tx.now };
    for (let twice = 0; twice < 2; twice++) tx.em.create(CustomField, { ...field, ...times, organizationId });
    await tx.em.flush();
  });
  await expect(clash).rejects.toMatchObject({ code: 409, type: "NAMED" });
});
