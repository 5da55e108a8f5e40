import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Logger, runMigrations } from "graphile-worker";
import pg from "pg";
import packageJson from "../../package.json" with { type: "json" };
import { admitWorkers, ensureLogin, ensureRoles } from "./login.ts";
import { requireNoNodes } from "./migrations/alive.ts";
import { apply, defaultPatience, type Patience } from "./migrations/apply.ts";
import { migrationsFolder, readMigrations, type Part } from "./migrations/files.ts";
import {
  createLedger,
  dropRecordOfRelease010,
  makePlan,
  recordApplied,
  type Plan,
} from "./migrations/ledger.ts";
import { requireServerVersion } from "./server-version.ts";

// How to add a migration: a file entities/migrations/control/NNNN_name.sql (control database) or
// entities/migrations/shard/NNNN_name.sql (every shard database), with the next number, and these first lines:
//
//   -- breaking: no        yes: the code of the release before fails beside it (a column gone or renamed, a check it breaks).
//                          Better in two releases: the first stops using the column, the second drops it.
//   -- concurrently: no    yes: outside of a transaction, statement by statement, for CREATE INDEX CONCURRENTLY IF NOT EXISTS
//                          and what else may run twice. Not on partitioned tables (events).
//
// A table with organization_id is put under row-level security by SELECT pg_temp.tenant_table('notes'), with
// platform => true where the platform's role works in it too (tenant-table.sql); others GRANT to sangam_platform what it needs.
// A SECURITY DEFINER function has a search_path of its own, and REVOKE ALL … FROM PUBLIC. Functions are replaced with
// CREATE OR REPLACE. Statements meet tables full of rows: an index on a big table is concurrent, a NOT NULL column has a
// default. What was merged is never changed again: its checksum is in the databases.

/** Any number: the same for every node, so that one migrates while the others wait. */
const migrationLock = 7_236_001;

export interface MigrateOptions {
  /** Whether the control tables live here; a shard does in any case. */
  control: boolean;
  /** Runs breaking migrations although nodes of an older release run. */
  isForced?: boolean;
  /** Leaves a schema alone that is newer than this release, if none of what is newer is breaking. */
  acceptsNewer?: boolean;
  /** Makes the role that processes connect as, see login.ts; default true. */
  makesLogin?: boolean;
  /** Hears each step, as a line. */
  tell?: (line: string) => void;
  /** Default: the migrations of this release. */
  folder?: string;
  patience?: Patience;
  /** How long a breaking migration waits for nodes of an older release to end; default 20,000. */
  waitForNodesMs?: number;
}

/** The doings of `migrate` that a database still lacks; empty when it is up to date. */
export type Pending = string[];

/**
 * Brings a database up to date, under an advisory lock: any number of nodes may start at once, and one that dies leaves a
 * migration undone, not half done.
 * @throws Error naming database, file and cause
 */
export async function migrate(url: string, options: MigrateOptions): Promise<void> {
  const {
    folder = migrationsFolder,
    patience = defaultPatience,
    tell = () => undefined,
    waitForNodesMs = 20_000,
  } = options;
  await onDatabase(url, async (client) => {
    await takeLock(client, tell);
    const plans = await makePlans(client, options);
    const breaking = plans.flatMap(([, plan]) =>
      plan.isFresh ? [] : plan.pending.filter((one) => one.isBreaking),
    );
    if (breaking[0] && !options.isForced) await requireNoNodes(client, breaking[0].path, waitForNodesMs);
    await client.query("SET search_path = public");
    await ensureRoles(client);
    await client.query(createLedger);
    // its errors are thrown; what it tells is not worth a line at each start
    await runMigrations({ connectionString: url, logger: new Logger(() => () => undefined) });
    await client.query(admitWorkers);
    if (options.makesLogin ?? true) await ensureLogin(client, url);
    if (plans.some(([, { pending }]) => pending.length > 0))
      await client.query(readFileSync(join(folder, "tenant-table.sql"), "utf8"));
    for (const [part, plan] of plans) {
      if (plan.takesOver) await takeOver(client, part, folder);
      else await dropRecordOfRelease010(client, part); // a start of 0.1.0 made it again, and failed
      for (const file of plan.pending) {
        await apply(client, file, { release: packageJson.version, patience });
        tell(`${nameOf(url)}: applied ${file.path}`);
      }
      if (plan.takesOver)
        tell(`${nameOf(url)}: ${part} of release 0.1.0 taken over as ${part}/0001_baseline.sql`);
    }
    await client.query("SELECT moves.guard_tables()");
    // the feed must never fall into the default partition
    await client.query("SELECT ensure_events_partitions()");
  });
}

/**
 * What `migrate` would do to a database; changes nothing, and needs no more than the login of processes may.
 * @throws Error as `migrate` does, where it would refuse
 */
export async function checkSchema(url: string, options: MigrateOptions): Promise<Pending> {
  return await onDatabase(url, async (client) => {
    // the login of processes reads nothing without a role
    const { rows } = await client.query<{ isRefused: boolean }>(
      `SELECT NOT has_table_privilege(to_regclass('public.migrations'), 'SELECT') AS "isRefused"`,
    );
    if (rows[0]?.isRefused) await client.query("SET ROLE sangam_platform");
    const plans = await makePlans(client, options);
    return plans.flatMap(([part, { takesOver, pending }]) => [
      ...(takesOver ? [`${nameOf(url)}: ${part} of release 0.1.0 is to be taken over`] : []),
      ...pending.map(
        ({ path, isBreaking }) => `${nameOf(url)}: ${path} is pending${isBreaking ? " (breaking)" : ""}`,
      ),
    ]);
  });
}

async function onDatabase<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    application_name: "sangam-migrate",
    keepAlive: true,
  });
  client.on("error", () => undefined); // surfaces as the failure of the query in flight
  try {
    await client.connect();
    await requireServerVersion(client);
    return await work(client);
  } catch (error) {
    throw new Error(`Database ${nameOf(url)}: ${(error as Error).message}`, { cause: error });
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** By asking again and again: one that waits inside of a statement would keep CREATE INDEX CONCURRENTLY waiting for it. */
async function takeLock(client: pg.ClientBase, tell: (line: string) => void): Promise<void> {
  for (let asked = 0; ; asked++) {
    const { rows } = await client.query<{ isHeld: boolean }>('SELECT pg_try_advisory_lock($1) AS "isHeld"', [
      migrationLock,
    ]);
    if (rows[0]?.isHeld) return;
    if (asked === 20) tell("waiting for another node that migrates");
    await sleep(50 + Math.random() * 100);
  }
}

async function makePlans(client: pg.ClientBase, options: MigrateOptions): Promise<[Part, Plan][]> {
  const plans: [Part, Plan][] = [];
  for (const part of options.control ? (["control", "shard"] as const) : (["shard"] as const)) {
    const files = readMigrations(part, options.folder);
    plans.push([part, await makePlan(client, part, files, { acceptsNewer: options.acceptsNewer ?? false })]);
  }
  return plans;
}

async function takeOver(client: pg.ClientBase, part: Part, folder: string): Promise<void> {
  const baseline = readMigrations(part, folder)[0];
  if (!baseline) throw new Error(`no migrations in ${folder}/${part}`);
  await client.query("BEGIN");
  await recordApplied(client, baseline, "0.1.0");
  await dropRecordOfRelease010(client, part);
  await client.query("COMMIT");
}

/** How messages call a database: never with its password. */
function nameOf(url: string): string {
  const { host, pathname } = new URL(url);
  return `${host}${pathname}`;
}
