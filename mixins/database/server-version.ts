import type pg from "pg";

/** Oldest PostgreSQL whose SQL has all that the schema uses. */
const oldestMajor = 16;

/** @throws Error saying which PostgreSQL is needed, when the server is an older one */
export async function requireServerVersion(client: Pick<pg.ClientBase, "query">): Promise<void> {
  const { rows } = await client.query<{ number: string; name: string }>(
    "SELECT current_setting('server_version_num') AS number, current_setting('server_version') AS name",
  );
  const { number, name } = rows[0] as { number: string; name: string };
  if (Math.floor(Number(number) / 10_000) < oldestMajor)
    throw new Error(`PostgreSQL ${oldestMajor} or newer is needed; this server is ${name}.`);
}
