import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { statementsOf, type MigrationFile } from "./files.ts";
import { recordApplied } from "./ledger.ts";

/** How long a migration waits for locks, and how often it begins anew. */
export interface Patience {
  /** For one lock. What waits for a table's lock keeps everybody else waiting behind it. */
  lockTimeoutMs: number;
  /** Before each further try, in which the others get their turn. */
  pausesMs: readonly number[];
}
export const defaultPatience: Patience = { lockTimeoutMs: 5_000, pausesMs: [1_000, 2_000, 5_000, 10_000] };

/** A lock that came too late, a deadlock: the next try may go well. */
const passing = new Set(["55P03", "40P01"]);

/**
 * Applies one migration and records it: as a whole or not at all, but for a concurrent one, which stops where it fails and is
 * taken up again from its first statement.
 * @throws Error naming file, line and cause
 */
export async function apply(
  client: pg.ClientBase,
  file: MigrationFile,
  options: { release: string; patience: Patience },
): Promise<void> {
  const { release, patience } = options;
  for (let tries = 0; ; tries++)
    try {
      await (file.isConcurrent
        ? applyStatements(client, file, release, patience)
        : applyWhole(client, file, release, patience));
      return;
    } catch (error) {
      const pause = patience.pausesMs[tries];
      if (!passing.has((error as pg.DatabaseError).code ?? "") || pause === undefined)
        throw describe(file, error as pg.DatabaseError, tries + 1);
      await sleep(pause);
    }
}

async function applyWhole(client: pg.ClientBase, file: MigrationFile, release: string, patience: Patience) {
  await client.query("BEGIN");
  try {
    await client.query(`SET LOCAL lock_timeout = ${patience.lockTimeoutMs}`);
    await client.query(file.text);
    await recordApplied(client, file, release);
    await client.query("COMMIT");
  } catch (error) {
    await client.query("ROLLBACK").catch(() => undefined); // the connection may be what failed
    throw error;
  }
}

/**
 * An index that an earlier try left invalid is dropped and made anew. Nobody waits behind a concurrent statement that waits, so
 * it may do so for longer.
 */
async function applyStatements(
  client: pg.ClientBase,
  file: MigrationFile,
  release: string,
  patience: Patience,
) {
  await client.query(`SET lock_timeout = ${patience.lockTimeoutMs * 12}`);
  try {
    for (const statement of statementsOf(file.text)) {
      const index =
        /^CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+IF\s+NOT\s+EXISTS\s+(\w+)\s+ON\s+(?:(\w+)\.)?/i.exec(
          statement,
        );
      if (index) await dropInvalidIndex(client, index[2] ?? "public", index[1] as string);
      await client.query(statement);
    }
    await recordApplied(client, file, release);
  } finally {
    await client.query("RESET lock_timeout").catch(() => undefined);
  }
}

async function dropInvalidIndex(client: pg.ClientBase, schema: string, name: string) {
  const { rows } = await client.query(
    `SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     WHERE c.relnamespace = to_regnamespace($1) AND c.relname = $2 AND NOT i.indisvalid`,
    [schema, name],
  );
  if (rows.length > 0) await client.query(`DROP INDEX CONCURRENTLY IF EXISTS ${schema}.${name}`);
}

function describe(file: MigrationFile, error: pg.DatabaseError, tries: number): Error {
  const line =
    error.position === undefined || file.isConcurrent
      ? ""
      : `, line ${file.text.slice(0, Number(error.position)).split("\n").length}`;
  const cause = [error.message, error.detail, error.hint].filter((text) => text !== undefined).join("; ");
  const rest = file.isConcurrent
    ? "What came before it in the file stands; the next start takes the file up again."
    : "Nothing of it was changed.";
  const after = tries > 1 ? ` (${tries} tries)` : "";
  return new Error(`entities/migrations/${file.path}${line} failed${after}: ${cause}. ${rest}`, {
    cause: error,
  });
}
