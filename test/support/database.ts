import { randomBytes } from "node:crypto";
import pg from "pg";
import { Database } from "../../mixins/database/database.ts";

const adminUrl = (): string => {
  const url = process.env.TEST_POSTGRES_URL;
  if (url === undefined) throw new Error("TEST_POSTGRES_URL is unset: run this test through Jest (npm test)");
  return url;
};

/**
 * A migrated, empty database of its own; answers its URL as owner.
 * @param template template1: one that nothing has migrated
 */
export async function createDatabase(template = "sangam_template"): Promise<string> {
  const name = `t_${randomBytes(8).toString("hex")}`;
  await inspect(adminUrl(), `CREATE DATABASE ${name} TEMPLATE ${template}`);
  const url = new URL(adminUrl());
  url.pathname = `/${name}`;
  return url.href;
}

export async function dropDatabase(url: string): Promise<void> {
  await inspect(adminUrl(), `DROP DATABASE IF EXISTS ${new URL(url).pathname.slice(1)} WITH (FORCE)`);
}

/** A database of its own, opened as a node does, without anything that runs beside it. */
export async function openDatabase(): Promise<{
  url: string;
  database: Database;
  close: () => Promise<void>;
}> {
  const url = await createDatabase();
  const database = await Database.open([url], { logicalShards: 16, poolSize: 4, onError: () => undefined });
  const close = async () => {
    await database.close();
    await dropDatabase(url);
  };
  return { url, database, close };
}

/** Connections for `inspect`, by address: half of what a run of the tests opened were for one look each. */
const pools = new Map<string, pg.Pool>();
function poolOf(url: string): pg.Pool {
  const known = pools.get(url);
  if (known) return known;
  const pool = new pg.Pool({ connectionString: url, idleTimeoutMillis: 1_000, allowExitOnIdle: true });
  // its server was stopped, or its database dropped
  pool.on("error", () => undefined);
  pools.set(url, pool);
  return pool;
}
/** What leaves nothing behind in its session. */
const isPlain = (sql: string): boolean =>
  /^\s*(SELECT|INSERT|UPDATE|DELETE|WITH|CREATE DATABASE|DROP DATABASE)\b/i.test(sql)
  && !/;|advisory|set_config|pg_terminate/i.test(sql);

/** Runs SQL as the owner of a database, past row-level security: for looking at what is really stored. */
export async function inspect<T extends pg.QueryResultRow>(
  url: string,
  sql: string,
  values: unknown[] = [],
): Promise<T[]> {
  const client = await poolOf(url).connect();
  let isGood = false;
  try {
    const { rows } = await client.query<T>(sql, values);
    isGood = isPlain(sql);
    return rows;
  } finally {
    client.release(!isGood);
  }
}

/** Has the user's address proved, as a mailed link does. @param url of the control database */
export const proveEmail = (url: string | undefined, userId: string) =>
  inspect(url ?? "", "UPDATE control.users SET email_verified_at = now() WHERE id = $1", [userId]);

/** Rows of a table in all these databases together, past row-level security. */
export async function countRows(urls: string[], table: string): Promise<number> {
  const counts = await Promise.all(
    urls.map((url) => inspect<{ count: number }>(url, `SELECT count(*)::int AS count FROM ${table}`)),
  );
  return counts.flat().reduce((sum, { count }) => sum + count, 0);
}
