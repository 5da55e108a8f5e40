import type { ClientBase } from "pg";

/** A table that holds rows of organizations, as the catalog describes it. */
export interface TenantTable {
  name: string;
  /** Those that are written: none that PostgreSQL generates from others. */
  columns: { name: string; type: string }[];
  /** Of its primary key. */
  key: string[];
}

/**
 * Every table of a shard with rows of organizations, those that others refer to first. Found in the catalog, so that a
 * new table moves without anybody thinking of it.
 * @throws Error naming a table without a primary key: nothing could tell its rows apart
 */
export async function tenantTables(client: ClientBase): Promise<TenantTable[]> {
  const { rows } = await client.query<{ table: string }>(`
    SELECT json_build_object('name', c.relname,
      'columns', (SELECT json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum)
       FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''),
      'key', coalesce((SELECT json_agg(a.attname ORDER BY k.place) FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k (number, place)
       JOIN pg_attribute a ON a.attnum = k.number WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid), '[]'),
      'refersTo', coalesce((SELECT json_agg(DISTINCT r.relname) FROM pg_constraint f JOIN pg_class r ON r.oid = f.confrelid
       WHERE f.conrelid = c.oid AND f.contype = 'f' AND r.oid <> c.oid), '[]'))::text AS table
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped)
    ORDER BY c.relname`);
  const ordered: TenantTable[] = [];
  const waiting = rows.map(({ table }) => JSON.parse(table) as TenantTable & { refersTo: string[] });
  while (waiting.length > 0) {
    const next = waiting.findIndex(({ refersTo }) => !waiting.some(({ name }) => refersTo.includes(name)));
    const [table] = waiting.splice(next, 1);
    if (next === -1 || !table) throw new Error("Tables refer to each other in a circle");
    const { name, columns, key } = table;
    if (key.length === 0) throw new Error(`${name} has no primary key`);
    ordered.push({ name, columns, key });
  }
  return ordered;
}

/** @throws Error when the two databases are not at the same migration */
export function requireSameTables(source: TenantTable[], target: TenantTable[]): void {
  if (JSON.stringify(source) !== JSON.stringify(target))
    throw new Error("The two databases differ in their tables: start a node of this version first.");
}

export const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;
