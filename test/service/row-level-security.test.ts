import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Database } from "../../mixins/database/database.ts";
import { createDatabase, dropDatabase, inspect } from "../support/database.ts";

const mine = "01900000-0000-7000-8000-000000000001";
const theirs = "01900000-0000-7000-8000-000000000002";
let urls: string[];
let database: Database;

beforeAll(async () => {
  urls = [await createDatabase(), await createDatabase()];
  database = await Database.open(urls, { logicalShards: 16, poolSize: 4, onError: () => undefined });
});
afterAll(async () => {
  await database.close();
  for (const url of urls) await dropDatabase(url);
});

const tenantTables = () =>
  inspect<{ name: string; enabled: boolean; forced: boolean; policies: string[] }>(
    urls[0] as string,
    `SELECT c.oid::regclass::text AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced,
       ARRAY(SELECT p.polname::text FROM pg_policy p
             WHERE p.polrelid = c.oid AND p.polqual IS NOT NULL AND p.polwithcheck IS NOT NULL) AS policies
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname IN ('public', 'control') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND (c.relname = 'organizations' OR EXISTS (SELECT FROM pg_attribute a
            WHERE a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped))`,
  );

test("every table with an organization_id is under forced row-level security with USING and WITH CHECK", async () => {
  const tables = await tenantTables();
  expect(tables.length).toBeGreaterThan(10);
  for (const table of tables)
    expect(table).toMatchObject({
      enabled: true,
      forced: true,
      policies: expect.arrayContaining(["own_organization"]) as unknown,
    });
});

test("every table without one is known to hold nothing of a tenant", async () => {
  const others = await inspect<{ name: string }>(
    urls[0] as string,
    `SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname IN ('public', 'control') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND c.relname <> 'organizations' AND NOT EXISTS (SELECT FROM pg_attribute a
            WHERE a.attrelid = c.oid AND a.attname = 'organization_id') ORDER BY 1`,
  );
  expect(others.map(({ name }) => name)).toEqual([
    "control.cron_runs",
    "control.installation",
    "control.leaders",
    "control.shard_map",
    "control.sign_in_failures",
    "control.signing_keys",
    "migrations",
    "node_leases",
    "platform_tasks",
    "worker_leases",
  ]);
});

test("the app's roles own nothing and cannot bypass policies, and only the one that has no rights logs in", async () => {
  const roles = await inspect(
    urls[0] as string,
    `SELECT rolname, rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolinherit,
       (SELECT count(*)::int FROM pg_class WHERE relowner = r.oid) AS owned,
       ARRAY(SELECT m.roleid::regrole::text FROM pg_auth_members m WHERE m.member = r.oid ORDER BY 1) AS member_of
     FROM pg_roles r WHERE rolname LIKE 'sangam\\_%' AND rolname <> 'sangam_owner' ORDER BY 1`,
  );
  const harmless = {
    ...{ rolcanlogin: false, rolsuper: false, rolbypassrls: false, rolcreaterole: false, rolcreatedb: false },
    ...{ rolreplication: false, rolinherit: true, owned: 0, member_of: [] },
  };
  const takes = ["sangam_app", "sangam_platform", "sangam_worker"];
  expect(roles).toEqual([
    { ...harmless, rolname: "sangam_app" },
    { ...harmless, rolname: "sangam_login", rolcanlogin: true, rolinherit: false, member_of: takes },
    { ...harmless, rolname: "sangam_platform" },
    { ...harmless, rolname: "sangam_worker" },
  ]);
});

test("without a WHERE, a unit of work reads and changes only its organization's rows", async () => {
  const insert = (organizationId: string) => ({
    text: `INSERT INTO companies (id, organization_id, name, created_at, updated_at)
           VALUES (gen_random_uuid(), $1, 'C', now(), now())`,
    values: [organizationId],
  });
  for (const organizationId of [mine, theirs])
    await database.transaction({ organizationId }, (tx) => tx.execute(insert(organizationId)));
  await database.transaction({ organizationId: mine }, async (tx) => {
    const rows = await tx.query<{ organization_id: string }>({
      text: "SELECT organization_id FROM companies",
    });
    expect(rows).toEqual([{ organization_id: mine }]);
    expect(await tx.execute({ text: "UPDATE companies SET name = 'D'" })).toBe(1);
  });
  await expect(
    database.transaction({ organizationId: mine }, (tx) => tx.execute(insert(theirs))),
  ).rejects.toThrow(/row-level security/);
});

test("the platform role cannot read tables that do not admit it", async () => {
  await expect(
    database.transaction({ platform: database.control }, (tx) => tx.query({ text: "SELECT * FROM leads" })),
  ).rejects.toThrow(/permission denied/);
});
