import { afterAll, beforeAll, expect, test } from "@jest/globals";
import pg from "pg";
import { loginUrlOf } from "../../mixins/database/login.ts";
import { migrate } from "../../mixins/database/migrate.ts";
import { Database } from "../../mixins/database/database.ts";
import { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { createDatabase, dropDatabase, inspect } from "../support/database.ts";
import { makeOrganization } from "../support/leads.ts";
import { startTestNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let url: string;
beforeAll(async () => {
  node = await startTestNode();
  url = node.databases[0] as string;
  const organization = await makeOrganization(node);
  await node.call("leads.create", { lastName: "Somebody" }, organization.as("admin"));
});
afterAll(() => node.stop());

/** What an injection could append: runs on a connection of the app's own pool, with no role taken. */
async function injected(sql: string, values: unknown[] = []): Promise<pg.QueryResult> {
  const client = await node.runtime.database.control.pool.connect();
  try {
    await client.query("RESET ROLE");
    return await client.query(sql, values);
  } finally {
    client.release(true);
  }
}
const tablesOf = async (schemas: string) =>
  (
    await inspect<{ name: string }>(
      url,
      `SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname ~ $1 AND c.relkind IN ('r', 'p', 'v', 'm') ORDER BY 1`,
      [schemas],
    )
  ).map(({ name }) => name);

test("after RESET ROLE, no table of ours shows or takes anything", async () => {
  const tables = await tablesOf("^(public|control|moves|graphile_worker)$");
  expect(tables.length).toBeGreaterThan(60);
  expect(tables).toEqual(
    expect.arrayContaining(["leads", "control.users", "graphile_worker._private_jobs", "migrations"]),
  );
  const allowed: string[] = [];
  for (const table of tables)
    for (const sql of [
      `SELECT * FROM ${table}`,
      `DELETE FROM ${table}`,
      `TRUNCATE ${table}`,
      `COPY ${table} TO STDOUT`,
    ]) {
      const refusal = await injected(sql).then(
        () => "done",
        (error: pg.DatabaseError) => error.code,
      );
      // a view cannot be emptied so, whoever asks
      const isNoTable = sql.startsWith("TRUNCATE") && refusal === "42809";
      if (refusal !== "42501" && !isNoTable) allowed.push(`${sql}: ${refusal}`);
    }
  expect(allowed).toEqual([]);
}, 120_000);

test.each([
  ["makes a table", "CREATE TABLE mine (id int)"],
  ["makes a temporary table", "CREATE TEMPORARY TABLE mine (id int)"],
  ["makes a schema", "CREATE SCHEMA mine"],
  ["makes a function", "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'"],
  ["makes a role", "CREATE ROLE mine SUPERUSER"],
  ["makes a database", "CREATE DATABASE mine"],
  ["makes an extension", "CREATE EXTENSION dblink"],
  ["alters a table", "ALTER TABLE leads DISABLE ROW LEVEL SECURITY"],
  ["drops a policy", "DROP POLICY own_organization ON leads"],
  ["drops a table", "DROP TABLE leads"],
  ["gives itself rights", "GRANT SELECT ON leads TO sangam_login"],
  ["gives itself a role", "GRANT pg_read_all_data TO sangam_login"],
  ["makes itself superuser", "ALTER ROLE sangam_login SUPERUSER"],
  ["makes itself bypass policies", "ALTER ROLE sangam_login BYPASSRLS"],
  ["becomes the owner", "SET ROLE sangam_owner"],
  ["signs in as the owner", "SET SESSION AUTHORIZATION sangam_owner"],
  ["becomes who reads all", "SET ROLE pg_read_all_data"],
  ["reads passwords", "SELECT * FROM pg_authid"],
  ["reads password hashes of roles", "SELECT * FROM pg_shadow"],
  ["reads files of the server", "SELECT pg_read_file('PG_VERSION')"],
  ["writes files of the server", "COPY (SELECT 1) TO '/tmp/mine'"],
  ["runs programs of the server", "COPY (SELECT 1) TO PROGRAM 'true'"],
  ["writes large objects into files", "SELECT lo_export(1, '/tmp/mine')"],
  ["changes settings of the server", "ALTER SYSTEM SET log_statement = 'all'"],
  ["switches triggers off", "SET session_replication_role = 'replica'"],
  ["adds jobs", "SELECT enqueue_jobs('[]')"],
  ["covers tables with policies", "SELECT moves.guard_tables()"],
  ["drops events", "SELECT drop_events_before('2100-01-01')"],
])("the app's login %s: refused", async (_, sql) => {
  await expect(injected(sql)).rejects.toMatchObject({ code: "42501" });
});

test("a role it may take gives no more than that role's rights: policies hold, jobs are the workers' alone", async () => {
  await expect(
    injected("SET ROLE sangam_app; SELECT count(*)::int AS count FROM leads"),
  ).resolves.toMatchObject([{}, { rows: [{ count: 0 }] }]);
  await expect(injected("SET ROLE sangam_platform; SELECT FROM leads")).rejects.toThrow("permission denied");
  await expect(
    injected("SET ROLE sangam_platform; SELECT FROM graphile_worker._private_jobs"),
  ).rejects.toThrow("permission denied");
  for (const table of await tablesOf("^(public|control|moves)$"))
    await expect(injected(`SET ROLE sangam_worker; SELECT FROM ${table}`)).rejects.toThrow(
      "permission denied",
    );
});

test("every connection of a running node is of that login", async () => {
  const users = await inspect<{ usename: string }>(
    url,
    `SELECT DISTINCT usename::text FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
  );
  expect(users).toEqual([{ usename: "sangam_login" }]);
});

test("a unit of work takes its role with its first statement, as before", async () => {
  const tx = new UnitOfWork(node.runtime.database.control, { platform: true, readOnly: true });
  const rows = await tx.query<{ who: string; session: string }>({
    text: "SELECT current_user::text AS who, session_user::text AS session",
  });
  expect(rows).toEqual([{ who: "sangam_platform", session: "sangam_login" }]);
});

test("the login's password tells nothing of the owner's, and PostgreSQL gets it as a verifier only", async () => {
  const [owner, login] = [new URL(url), new URL(loginUrlOf(url))];
  expect(login.username).toBe("sangam_login");
  expect(login.password).toMatch(/^[\w-]{43}$/);
  expect(login.password).not.toContain(owner.password);
  const stored = await inspect<{ rolpassword: string }>(
    url,
    "SELECT rolpassword FROM pg_authid WHERE rolname = 'sangam_login'",
  );
  expect(stored[0]?.rolpassword).toMatch(/^SCRAM-SHA-256\$4096:/);
});

test("an owner without a password is followed by a login without one", () => {
  expect(loginUrlOf("postgres://postgres@localhost/db")).toBe("postgres://sangam_login@localhost/db");
});

test("a start changes the login only when it does not open: of many at once nobody is locked out", async () => {
  const password = () =>
    inspect<{ rolpassword: string }>(url, "SELECT rolpassword FROM pg_authid WHERE rolname = 'sangam_login'");
  const before = await password();
  await Promise.all(node.databases.map((one, index) => migrate(one, { control: index === 0 })));
  expect(await password()).toEqual(before);
});

test("processes refuse to work as an owner or a superuser", async () => {
  const one = await createDatabase();
  const options = { logicalShards: 16, poolSize: 1, onError: () => undefined };
  try {
    await expect(Database.open([one], { ...options, appUrls: [one] })).rejects.toThrow(
      /processes must not work as sangam_owner, who is a superuser and .*owns tables/,
    );
    const database = await Database.open([one], { ...options, appUrls: [loginUrlOf(one)] });
    await database.close();
    // as a process that knows no owner
    const manual = await Database.open([loginUrlOf(one)], {
      ...options,
      appUrls: [loginUrlOf(one)],
      migrate: "manual",
    });
    await manual.close();
  } finally {
    await dropDatabase(one);
  }
});
