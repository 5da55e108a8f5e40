import { randomBytes } from "node:crypto";
import pg from "pg";
import { Database } from "../../mixins/database/database.ts";

const adminUrl = (): string => {
  const url = process.env.TEST_POSTGRES_URL;
  if (url === undefined) throw new Error("TEST_POSTGRES_URL is unset: run this test through Jest (npm test)");
  return url;
};

async function asAdmin<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: adminUrl() });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/**
 * A migrated, empty database of its own; answers its URL as owner.
 * @param template template1: one that nothing has migrated
 */
export async function createDatabase(template = "sangam_template"): Promise<string> {
  const name = `t_${randomBytes(8).toString("hex")}`;
  await asAdmin((client) => client.query(`CREATE DATABASE ${name} TEMPLATE ${template}`));
  const url = new URL(adminUrl());
  url.pathname = `/${name}`;
  return url.href;
}

export async function dropDatabase(url: string): Promise<void> {
  await asAdmin((client) =>
    client.query(`DROP DATABASE IF EXISTS ${new URL(url).pathname.slice(1)} WITH (FORCE)`),
  );
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

/** Runs SQL as the owner of a database, past row-level security: for looking at what is really stored. */
export async function inspect<T extends pg.QueryResultRow>(
  url: string,
  sql: string,
  values: unknown[] = [],
): Promise<T[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<T>(sql, values)).rows;
  } finally {
    await client.end();
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
