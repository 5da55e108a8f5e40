import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import pg from "pg";
import type { Database } from "../../mixins/database/database.ts";
import { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { inspect, openDatabase } from "../support/database.ts";

// What PostgreSQL refuses only because of what others did at that moment, made to happen for real.
const organizationId = "01900000-0000-7000-8000-000000000006";
let url: string;
let database: Database;
let close: () => Promise<void>;

beforeAll(async () => {
  ({ url, database, close } = await openDatabase());
  await inspect(
    url,
    `CREATE TABLE moments (id integer PRIMARY KEY, note text NOT NULL);
     GRANT SELECT, INSERT, UPDATE, DELETE ON moments TO sangam_app, sangam_platform`,
  );
});
afterAll(() => close());
beforeEach(() => inspect(url, "TRUNCATE moments; INSERT INTO moments VALUES (1, 'one'), (2, 'two')"));

const begin = (readOnly = false) => new UnitOfWork(database.control, { organizationId, readOnly });
const all = { name: "moments_all", text: "SELECT * FROM moments ORDER BY id" };
/** Every connection of the pool has prepared the statement by then. */
async function prepareEverywhere(): Promise<void> {
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      const tx = begin();
      await tx.query(all);
      await tx.query({ text: "SELECT pg_sleep(0.05)" });
      await tx.commit();
    }),
  );
}

describe("a prepared statement that a migration has made out of date", () => {
  let columns = 0;
  const migrate = () => inspect(url, `ALTER TABLE moments ADD column_${++columns} text`);

  test("is prepared anew: a read by itself notices nothing", async () => {
    await prepareEverywhere();
    await migrate();
    for (let turn = 0; turn < 12; turn++) {
      const tx = begin(true);
      expect(await tx.query(all)).toHaveLength(2);
      await tx.commit();
    }
  });

  test("is prepared anew: a transaction that begins with it notices nothing", async () => {
    await prepareEverywhere();
    await migrate();
    for (let turn = 0; turn < 12; turn++) {
      const tx = begin();
      const [rows, same] = await Promise.all([tx.query(all), tx.query(all)]);
      expect([rows.length, same.length]).toEqual([2, 2]);
      await tx.commit();
    }
  });

  test("amid a transaction it is told to try again, and the connection is as good as before", async () => {
    await prepareEverywhere();
    await migrate();
    const tx = begin();
    await tx.query({ text: "SELECT 1 AS one" });
    await expect(tx.query(all)).rejects.toMatchObject({ code: 503, type: "WRITE_CONFLICT" });
    await tx.rollback();
    for (let turn = 0; turn < 12; turn++) {
      const next = begin();
      await next.query({ text: "SELECT 1 AS one" });
      await next.query(all).catch(() => undefined);
      await next.rollback();
    }
    const last = begin();
    await last.query({ text: "SELECT 1 AS one" });
    expect(await last.query(all)).toHaveLength(2);
    await last.commit();
  });
});

/** Takes both rows in the other order: whoever waits longer for the first is its deadlock. */
async function deadlockWith(mine: () => Promise<unknown>, started: () => Promise<unknown>): Promise<void> {
  const other = new pg.Client({ connectionString: url });
  await other.connect();
  try {
    // this one looks for deadlocks late, so that it is never the one that is ended
    await other.query("SET deadlock_timeout = '20s'; BEGIN; UPDATE moments SET note = 'theirs' WHERE id = 2");
    await started();
    const taken = other.query("UPDATE moments SET note = 'theirs' WHERE id = 1");
    await mine();
    await taken;
    await other.query("COMMIT");
  } finally {
    await other.end();
  }
}
const update = (id: number) => ({ text: "UPDATE moments SET note = 'mine' WHERE id = $1", values: [id] });

test("a deadlock amid a transaction is told to try again, and undone", async () => {
  const tx = begin();
  await deadlockWith(
    async () => {
      await expect(tx.query(update(2))).rejects.toMatchObject({
        code: 503,
        type: "WRITE_CONFLICT",
        data: { retryAfterSeconds: 1 },
      });
      await tx.rollback();
    },
    () => tx.query(update(1)),
  );
  expect(await inspect(url, "SELECT note FROM moments ORDER BY id")).toEqual([
    { note: "theirs" },
    { note: "theirs" },
  ]);
});

test.each([
  ["40001", "could not serialize access"],
  ["40P01", "deadlock detected"],
  ["55P03", "could not obtain lock"],
  ["XX000", "tuple concurrently updated"],
])("a command in one message that met %s (%s) is run again, and done once", async (state, message) => {
  // raised for the first two tries of each, by a sequence: that is not undone with them
  await inspect(
    url,
    `CREATE SEQUENCE IF NOT EXISTS tries; ALTER SEQUENCE tries RESTART; GRANT USAGE ON tries TO sangam_app;
     CREATE OR REPLACE FUNCTION trip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       IF nextval('tries') < 3 THEN RAISE EXCEPTION '${message}' USING ERRCODE = '${state}'; END IF;
       RETURN NEW; END $$;
     CREATE OR REPLACE TRIGGER trip BEFORE INSERT ON moments FOR EACH ROW EXECUTE FUNCTION trip()`,
  );
  const tx = begin();
  tx.defer({ text: "INSERT INTO moments (id, note) VALUES (3, 'three')" });
  await tx.commit();
  expect(await inspect(url, "SELECT note FROM moments WHERE id = 3")).toEqual([{ note: "three" }]);
  await inspect(url, "DROP TRIGGER trip ON moments");
});

test("an internal error of another kind is not tried again", async () => {
  await inspect(
    url,
    `CREATE OR REPLACE FUNCTION trip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       RAISE EXCEPTION 'could not read block 0' USING ERRCODE = 'XX000'; END $$;
     CREATE OR REPLACE TRIGGER trip BEFORE INSERT ON moments FOR EACH ROW EXECUTE FUNCTION trip()`,
  );
  const tx = begin();
  tx.defer({ text: "INSERT INTO moments (id, note) VALUES (4, 'four')" });
  await expect(tx.commit()).rejects.toMatchObject({ code: "XX000" });
  await inspect(url, "DROP TRIGGER trip ON moments");
});
