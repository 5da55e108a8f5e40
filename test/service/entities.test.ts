import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { allEntities } from "../../entities/all.ts";
import type { Database } from "../../mixins/database/database.ts";
import { inspect, openDatabase } from "../support/database.ts";

let opened: { url: string; database: Database; close: () => Promise<void> };
beforeAll(async () => {
  opened = await openDatabase();
});
afterAll(() => opened.close());

interface Column {
  name: string;
  type: string;
  isNullable: boolean;
}

/** What an entity says of its columns; a string is text of any kind, for the database bounds no length. */
function declared(entity: (typeof allEntities)[number]): { table: string; columns: Column[] } {
  const about = opened.database.control.orm.getMetadata().get(entity as never);
  const columns = Object.values(about.properties).flatMap((property) =>
    property.fieldNames.map((name, index) => ({
      name,
      type: typeOf(property.columnTypes[index] ?? ""),
      isNullable: property.nullable === true,
    })),
  );
  return { table: `${about.schema ?? "public"}.${about.tableName}`, columns };
}

/** Columns of a table, but for those that PostgreSQL computes. */
async function found(table: string): Promise<Column[]> {
  const columns = await inspect<Column>(
    opened.url,
    `SELECT attname AS name, format_type(atttypid, atttypmod) AS type, NOT attnotnull AS "isNullable" FROM pg_attribute
     WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''`,
    [table],
  );
  return columns.map((column) => ({ ...column, type: typeOf(column.type) }));
}

const typeOf = (type: string): string =>
  type
    .replace(/^timestamp(\(\d\))? with time zone$/, "timestamptz$1")
    .replace(/^int$/, "integer")
    .replace(/^(varchar|character varying|character|char)(\(\d+\))?$/, "text")
    .replace(/^numeric\(.*\)$/, "numeric");

test.each(
  allEntities.map((entity) => [(entity as { meta: { className: string } }).meta.className, entity] as const),
)(
  "%s has each column of its table, and none besides, with its type and whether it may be null",
  async (_, entity) => {
    const { table, columns } = declared(entity);
    const byName = (a: Column, b: Column) => a.name.localeCompare(b.name);
    expect(columns.sort(byName)).toEqual((await found(table)).sort(byName));
  },
);

test("each entity is read by MikroORM inside a unit of work", async () => {
  const organizationId = "01900000-0000-7000-8000-000000000001";
  for (const entity of allEntities)
    await opened.database.transaction({ control: organizationId }, async (tx) => {
      await expect(tx.em.find(entity as never, {}, { limit: 1 })).resolves.toEqual([]);
    });
});
