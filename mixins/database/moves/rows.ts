import type { ClientBase } from "pg";
import { sqlState } from "../../contract/errors.ts";
import type { Changes } from "./changes.ts";
import type { Place } from "./place.ts";
import { quote, type TenantTable } from "./tenant-tables.ts";

/** Rows at once; few of a table that keeps files. */
const batchOf = ({ columns }: TenantTable): number =>
  columns.some(({ type }) => type === "bytea") ? 20 : 1_000;
const deletedAtOnce = 5_000;
/** What the rows of one batch may take in memory, in characters, as far as those before it tell. */
const mostCharacters = 4 * 1024 * 1024;
/** The first batch, of which nothing is known. */
const firstBatch = 50;

/** A row as text, in the order of its table's columns. */
type Row = (string | null)[];
type Run = () => Promise<unknown>;

const columnList = ({ columns }: TenantTable) => columns.map(({ name }) => quote(name)).join(", ");
const columnTexts = ({ columns }: TenantTable) =>
  columns.map(({ name }) => `t.${quote(name)}::text`).join(", ");
const typeOf = ({ columns }: TenantTable, column: string): string =>
  columns.find(({ name }) => name === column)?.type ?? "text";
/** SQL for the rows of `t` whose keys are $1, $2, …: one list for each column of the key. */
const withKeys = (table: TenantTable): string => {
  const lists = table.key.map((_, index) => `$${index + 1}::text[]`).join(", ");
  const same = table.key.map((column, index) => `t.${quote(column)} = k.c${index}::${typeOf(table, column)}`);
  const names = table.key.map((_, index) => `c${index}`).join(", ");
  return `public.${quote(table.name)} t JOIN unnest(${lists}) AS k (${names}) ON ${same.join(" AND ")}`;
};
const turned = (rows: Row[], width: number): (string | null)[][] =>
  Array.from({ length: width }, (_, index) => rows.map((row) => row[index] ?? null));

/** How many rows like these make a batch. */
function nextBatch(rows: readonly Row[]): number {
  let characters = 0;
  for (const row of rows) for (const text of row) characters += text?.length ?? 0;
  return Math.max(1, Math.floor((rows.length * mostCharacters) / Math.max(1, characters)));
}

/** Copies every row of the organization, as one instant of the source shows them, into a target that has none. */
export async function copyRows(
  source: Place,
  target: Place,
  { tables, epoch }: { tables: TenantTable[]; epoch: string },
): Promise<number> {
  let copied = 0;
  await source.asOrganization(
    async (client) => {
      for (const table of tables) {
        await client.query(
          `DECLARE rows NO SCROLL CURSOR FOR SELECT ${columnTexts(table)} FROM public.${quote(table.name)} t`,
        );
        for (let rows: Row[], most = Math.min(firstBatch, batchOf(table)); ;) {
          ({ rows } = await client.query<Row>({ text: `FETCH ${most} FROM rows`, rowMode: "array" }));
          if (rows.length === 0) break;
          most = Math.min(batchOf(table), nextBatch(rows));
          await target.asOrganization((into) => putRows(into, table, rows), { epoch });
          copied += rows.length;
        }
        await client.query("CLOSE rows");
      }
    },
    { isSnapshot: true },
  );
  return copied;
}

/**
 * Makes changed rows of the target what a snapshot of the source shows, in one transaction. Rows are written with what
 * they refer to first and deleted with it last; one whose place is still taken, as by a unique value that went
 * from one row to another, waits for the others.
 * @param client inside a snapshot of the source
 */
export async function applyChanges(
  client: ClientBase,
  target: Place,
  { tables, epoch, changes }: { tables: TenantTable[]; epoch: string; changes: Changes },
): Promise<void> {
  await target.asOrganization(
    async (into) => {
      const deletes: Run[] = [];
      const apart: Run[] = [];
      for (const table of tables)
        for (const keys of batches(changes.get(table.name) ?? [], batchOf(table))) {
          const rows = await rowsOf(client, table, keys);
          await together(into, rows, (some) => putRows(into, table, some), apart);
          const found = new Set(rows.map((row) => keyOf(table, row)));
          const gone = keys.filter((key) => !found.has(JSON.stringify(key)));
          deletes.unshift(() => together(into, gone, (some) => deleteKeys(into, table, some), apart));
        }
      for (const run of deletes) await run();
      while (apart.length > 0) {
        const waiting = apart.splice(0);
        for (const run of waiting) await run();
        if (apart.length === waiting.length)
          throw new Error(`${apart.length} changed rows stand in each other's way; try again.`);
      }
    },
    { epoch },
  );
}

/** Deletes every row of the organization in a place where it does not live, as long as this move is the last. */
export async function deleteRows(place: Place, tables: TenantTable[], epoch: string): Promise<void> {
  for (const { name, key } of tables.toReversed()) {
    const keys = key.map(quote).join(", ");
    const text = `DELETE FROM public.${quote(name)} d
      USING (SELECT ${keys} FROM public.${quote(name)} LIMIT ${deletedAtOnce}) k
      WHERE (${key.map((column) => `d.${quote(column)}`).join(", ")}) = (${key.map((column) => `k.${quote(column)}`).join(", ")})`;
    while (((await place.asOrganization((client) => client.query(text), { epoch })).rowCount ?? 0) > 0);
  }
}

/** How many rows there are, and a hash of them in any order. */
export interface Checksum {
  rows: string;
  hash: string | null;
}

/** Checksum of a table's rows of the organization. @param of only rows with these keys, or only those made since */
export async function checksum(
  client: ClientBase,
  table: TenantTable,
  of: { keys?: string[][]; since?: string } = {},
): Promise<Checksum> {
  const since = of.since === undefined ? "" : `WHERE t.created_at > '${of.since}'`;
  const { rows } = await client.query<Checksum>(
    `SELECT count(*) AS rows, sum(hashtextextended(ROW(${columnTexts(table)})::text, 0)::numeric) AS hash
     FROM ${of.keys ? withKeys(table) : `public.${quote(table.name)} t`} ${since}`,
    of.keys ? turned(of.keys, table.key.length) : [],
  );
  return rows[0] as Checksum;
}

async function rowsOf(client: ClientBase, table: TenantTable, keys: string[][]): Promise<Row[]> {
  const text = `SELECT ${columnTexts(table)} FROM ${withKeys(table)}`;
  return (await client.query<Row>({ text, values: turned(keys, table.key.length), rowMode: "array" })).rows;
}

const keyOf = ({ columns, key }: TenantTable, row: Row): string =>
  JSON.stringify(key.map((column) => row[columns.findIndex(({ name }) => name === column)]));

async function putRows(client: ClientBase, table: TenantTable, rows: Row[]): Promise<void> {
  const { columns, key, name } = table;
  const others = columns.filter((column) => !key.includes(column.name)).map((column) => quote(column.name));
  const update =
    others.length === 0
      ? "NOTHING"
      : `UPDATE SET ${others.map((column) => `${column} = excluded.${column}`).join(", ")}`;
  await client.query(
    `INSERT INTO public.${quote(name)} (${columnList(table)}) OVERRIDING SYSTEM VALUE
     SELECT ${columns.map(({ type }, index) => `r.c${index}::${type}`).join(", ")}
     FROM unnest(${columns.map((_, index) => `$${index + 1}::text[]`).join(", ")})
       AS r (${columns.map((_, index) => `c${index}`).join(", ")})
     ON CONFLICT (${key.map(quote).join(", ")}) DO ${update}`,
    turned(rows, columns.length),
  );
}

const deleteKeys = (client: ClientBase, table: TenantTable, keys: string[][]): Promise<unknown> => {
  const same = table.key.map((column) => `d.${quote(column)} = t.${quote(column)}`).join(" AND ");
  return client.query(
    `DELETE FROM public.${quote(table.name)} d USING ${withKeys(table)} WHERE ${same}`,
    turned(keys, table.key.length),
  );
};

/** Does something to all rows at once or, where one stands in the way, to each by itself, putting aside what fails. */
async function together<T>(
  client: ClientBase,
  rows: T[],
  work: (rows: T[]) => Promise<unknown>,
  apart: Run[],
): Promise<void> {
  if (rows.length === 0) return;
  await client.query("SAVEPOINT batch");
  try {
    await work(rows);
    await client.query("RELEASE batch");
  } catch (error) {
    if (!stoodInTheWay(error)) throw error;
    await client.query("ROLLBACK TO batch");
    if (rows.length === 1) apart.push(() => together(client, rows, work, apart));
    else for (const row of rows) await together(client, [row], work, apart);
  }
}

/** A unique value that another row holds, a row that is referred to or missing. */
const stoodInTheWay = (error: unknown): boolean => ["23505", "23503"].includes(sqlState(error) ?? "");

function* batches<T>(items: T[], size: number): Generator<T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}
