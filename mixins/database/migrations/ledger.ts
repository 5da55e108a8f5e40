import type pg from "pg";
import { migrationsOfRelease010 } from "../../../entities/migrations/release-0.1.0.ts";
import type { MigrationFile, Part } from "./files.ts";

/** A migration that a database says was applied. */
interface Applied {
  number: number;
  path: string;
  checksum: string;
  is_breaking: boolean;
  release: string;
}

/** What is to be done to one part of a database. */
export interface Plan {
  /** Nothing was ever applied: nobody works here yet. */
  isFresh: boolean;
  /** It is one of release 0.1.0, whose tables of names become our record of the baseline. */
  takesOver: boolean;
  pending: MigrationFile[];
}

/** The record of what was applied; the platform may read it, so that a node without the owner's rights can check. */
export const createLedger = `
CREATE TABLE IF NOT EXISTS public.migrations (
  part text NOT NULL,
  number integer NOT NULL,
  path text NOT NULL,
  checksum text NOT NULL,
  is_breaking boolean NOT NULL,
  release text NOT NULL,
  applied_at timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY (part, number)
);
GRANT SELECT ON public.migrations TO sangam_platform;`;

/**
 * Compares what a database says with the files of this release.
 * @param options.acceptsNewer goes on where all that is newer is not breaking
 * @throws Error when an applied file was changed, the schema is newer than this release, or 0.1.0 has not finished
 */
export async function makePlan(
  client: pg.ClientBase,
  part: Part,
  files: readonly MigrationFile[],
  options: { acceptsNewer: boolean },
): Promise<Plan> {
  const applied = await readApplied(client, part);
  const takesOver = await isOfRelease010(client, part, applied.length > 0);
  for (const one of applied) {
    const file = files[one.number - 1];
    if (file && (file.checksum !== one.checksum || file.path !== one.path))
      throw new Error(
        `entities/migrations/${file.path} was changed after it was applied (${one.path} of release ${one.release}, `
          + `sha-256 ${one.checksum}). Bring that file back; what is to be changed is a new migration.`,
      );
  }
  const newer = applied.filter(({ number }) => number > files.length);
  if (newer.length > 0 && !(options.acceptsNewer && newer.every(({ is_breaking }) => !is_breaking)))
    throw new Error(
      `the schema is newer than this release: it has ${newer.map(({ path }) => path).join(", ")} `
        + `of release ${newer.at(-1)?.release}. Start that release or a later one`
        + (newer.some(({ is_breaking }) => is_breaking)
          ? "; there is no way back past a breaking migration but a backup."
          : ", or, to go back for a while, this one with ACCEPT_NEWER_SCHEMA=true: none of them is breaking."),
    );
  const done = new Set(applied.map(({ number }) => number));
  if (takesOver) done.add(1);
  return {
    isFresh: applied.length === 0 && !takesOver,
    takesOver,
    pending: files.filter(({ number }) => !done.has(number)),
  };
}

async function readApplied(client: pg.ClientBase, part: Part): Promise<Applied[]> {
  if (!(await hasTable(client, "migrations"))) return [];
  const { rows } = await client.query<Applied>(
    "SELECT number, path, checksum, is_breaking, release FROM public.migrations WHERE part = $1 ORDER BY number",
    [part],
  );
  return rows;
}

/** Whether release 0.1.0 made this database, completely. @throws Error when it did so in part */
async function isOfRelease010(client: pg.ClientBase, part: Part, isOurs: boolean): Promise<boolean> {
  const { table, names } = migrationsOfRelease010[part];
  if (isOurs || !(await hasTable(client, table))) return false;
  const { rows } = await client.query<{ name: string }>(`SELECT name FROM public.${table}`);
  const found = new Set(rows.map(({ name }) => name));
  // its start makes the table first, and may have come no further
  if (found.size === 0) return false;
  const missing = names.filter((name) => !found.has(name));
  const unknown = [...found].filter((name) => !(names as readonly string[]).includes(name));
  if (missing.length > 0 || unknown.length > 0)
    throw new Error(
      `it was made by a version before 0.1.0, or one that did not finish: ${table} `
        + (missing.length > 0 ? `lacks ${missing.join(", ")}` : `has ${unknown.join(", ")}`)
        + ". Upgrade to 0.1.0 first: start that release once, then this one.",
    );
  return true;
}

async function hasTable(client: pg.ClientBase, name: string): Promise<boolean> {
  const { rows } = await client.query<{ found: boolean }>("SELECT to_regclass($1) IS NOT NULL AS found", [
    `public.${name}`,
  ]);
  return rows[0]?.found === true;
}

/** Notes that a migration was applied; in its transaction, where it has one. */
export async function recordApplied(
  client: pg.ClientBase,
  file: MigrationFile,
  release: string,
): Promise<void> {
  await client.query(
    `INSERT INTO public.migrations (part, number, path, checksum, is_breaking, release)
     VALUES ($1, $2, $3, $4, $5, $6)`,
    [file.part, file.number, file.path, file.checksum, file.isBreaking, release],
  );
}

/** Ends what release 0.1.0 kept of its migrations: a start of that release then fails before it changes anything. */
export async function dropRecordOfRelease010(client: pg.ClientBase, part: Part): Promise<void> {
  await client.query(`DROP TABLE IF EXISTS public.${migrationsOfRelease010[part].table}`);
}
