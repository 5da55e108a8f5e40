import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { createDatabase, dropDatabase, inspect } from "../support/database.ts";
import { buildWorld, databaseOf, tenantTables, type World } from "./world.ts";

const template = await createDatabase();
const tables = await tenantTables(template);
await dropDatabase(template);

let world: World;
beforeAll(async () => {
  world = await buildWorld();
});
afterAll(() => world.node.stop());

/** Runs a statement as the app's own role, past everything the app does beside it, and undoes it. */
async function asApp(
  table: string,
  organizationId: string | null,
  text: string,
  values: unknown[] = [],
): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: databaseOf(world, table) });
  await client.connect();
  try {
    await client.query("BEGIN");
    await client.query("SET LOCAL ROLE sangam_app");
    if (organizationId !== null)
      await client.query("SELECT set_config('app.organization_id', $1, true)", [organizationId]);
    return await client.query(text, values);
  } finally {
    await client.end();
  }
}

const rowsOf = async (table: string, organizationId: string): Promise<Record<string, unknown>[]> => {
  const rows = await inspect<{ row: Record<string, unknown> }>(
    databaseOf(world, table),
    `SELECT to_json(t) AS row FROM ${table} t WHERE organization_id = $1`,
    [organizationId],
  );
  return rows.map(({ row }) => row);
};

const writableColumns = async (table: string): Promise<string> => {
  const found = await inspect<{ name: string }>(
    databaseOf(world, table),
    `SELECT quote_ident(attname) AS name FROM pg_attribute
     WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''`,
    [table],
  );
  return found.map(({ name }) => name).join(", ");
};
const isAppendOnly = (table: string): boolean =>
  ["control.audit_log", "control.erasure_receipts"].includes(table);
/** What PostgreSQL says to what the app may not do. */
const refusal = /row-level security|permission denied/;

describe.each(tables)("%s, without a WHERE,", (table) => {
  const ours = () => world.ours.admin.organizationId;

  test("shows nothing to nobody in particular", async () => {
    expect((await asApp(table, null, `SELECT FROM ${table}`)).rowCount).toBe(0);
  });
  test("shows an organization its own rows", async () => {
    const { rows } = await asApp(table, ours(), `SELECT organization_id AS id FROM ${table}`);
    expect(rows).toHaveLength((await rowsOf(table, ours())).length);
    expect(new Set(rows.map(({ id }: { id: string }) => id)).size).toBeLessThan(2);
  });
  test("changes an organization's own rows", async () => {
    const changing = asApp(table, ours(), `UPDATE ${table} SET organization_id = organization_id`);
    if (isAppendOnly(table)) await expect(changing).rejects.toThrow(refusal);
    else expect((await changing).rowCount).toBe((await rowsOf(table, ours())).length);
  });
  test("gives none of them away", async () => {
    const own = await rowsOf(table, ours());
    const giving = asApp(table, ours(), `UPDATE ${table} SET organization_id = $1`, [
      world.theirs.organizationId,
    ]);
    if (own.length === 0 && !isAppendOnly(table)) expect((await giving).rowCount).toBe(0);
    else await expect(giving).rejects.toThrow(refusal);
  });
  test("takes no row for another organization", async () => {
    const columns = await writableColumns(table);
    const [row = { organization_id: world.theirs.organizationId }] = await rowsOf(
      table,
      world.theirs.organizationId,
    );
    await expect(
      asApp(
        table,
        ours(),
        `INSERT INTO ${table} (${columns}) OVERRIDING SYSTEM VALUE
         SELECT ${columns} FROM json_populate_record(NULL::${table}, $1)`,
        [JSON.stringify(row)],
      ),
    ).rejects.toThrow(refusal);
  });
});
