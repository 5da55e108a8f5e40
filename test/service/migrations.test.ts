import { spawn } from "node:child_process";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import pg from "pg";
import { migrationsOfRelease010 } from "../../entities/migrations/release-0.1.0.ts";
import { Database } from "../../mixins/database/database.ts";
import { checkSchema, migrate, type MigrateOptions } from "../../mixins/database/migrate.ts";
import packageJson from "../../package.json" with { type: "json" };
import { catalogueOf } from "../support/catalogue.ts";
import { createDatabase, dropDatabase, inspect } from "../support/database.ts";
import { MigrationFolder } from "../support/migrations.ts";
import { eventually } from "../support/eventually.ts";

let url: string;
let folder: MigrationFolder;
beforeEach(async () => {
  url = await createDatabase();
  folder = new MigrationFolder();
});
afterEach(async () => {
  folder.end();
  await dropDatabase(url);
});

const quick = { lockTimeoutMs: 200, pausesMs: [100, 100] };
const up = (options: Partial<MigrateOptions> = {}) =>
  migrate(url, { control: true, folder: folder.path, patience: quick, waitForNodesMs: 100, ...options });
const pending = () => checkSchema(url, { control: true, folder: folder.path });
const exists = async (relation: string) =>
  (await inspect<{ found: boolean }>(url, "SELECT to_regclass($1) IS NOT NULL AS found", [relation]))[0]
    ?.found;
const nameOfDatabase = () => new URL(url).pathname.slice(1);

/** Runs `work` while another session holds a lock on a table; it is let go when `work` has ended, or when it says so. */
async function whileLocked<T>(table: string, work: (release: () => Promise<void>) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`BEGIN; LOCK TABLE ${table} IN ACCESS SHARE MODE`);
  try {
    return await work(async () => void (await client.query("COMMIT")));
  } finally {
    await client.end();
  }
}

test("migrations are applied once, in order, and recorded with their checksum and the release", async () => {
  const lines: string[] = [];
  const paths = [
    folder.add("CREATE TABLE first (id int);"),
    folder.add("ALTER TABLE first ADD name text; -- once\nALTER TABLE first ADD place text;"),
    folder.add("CREATE TABLE control.third (id int);", { part: "control" }),
  ];
  expect(await pending()).toHaveLength(3);
  await up({ tell: (line) => lines.push(line) });
  expect(lines.map((line) => line.split(" ").at(-1)).sort()).toEqual(paths.toSorted());
  expect(await pending()).toEqual([]);
  await up({ tell: (line) => lines.push(line) });
  expect(lines).toHaveLength(3);
  const rows = await inspect<{ path: string }>(
    url,
    "SELECT path, release, length(checksum) AS length, is_breaking FROM migrations WHERE path LIKE '%test.sql' ORDER BY 1",
  );
  expect(rows).toEqual(
    paths.toSorted().map((path) => ({ path, release: packageJson.version, length: 64, is_breaking: false })),
  );
});

test("of several nodes that start at once one migrates, and the others wait for it, also while it makes an index concurrently", async () => {
  folder.add("CREATE TABLE raced (id int);");
  folder.add("SELECT pg_sleep(0.5);\nCREATE INDEX CONCURRENTLY IF NOT EXISTS raced_by_id ON raced (id);", {
    isConcurrent: true,
  });
  // with a statement that waits for the lock, PostgreSQL would find a deadlock here
  await Promise.all(Array.from({ length: 4 }, () => up()));
  expect(await exists("raced_by_id")).toBe(true);
});

test("a migration that fails changes nothing, and its error names database, file, line and cause", async () => {
  folder.add("CREATE TABLE good (id int);");
  const path = folder.add("CREATE TABLE bad (id int);\nALTER TABLE bad\n  ADD CHECK (missing > 0);");
  const before = await catalogueOf(url);
  await expect(up()).rejects.toThrow(
    new RegExp(
      `^Database 127\\.0\\.0\\.1:\\d+/${nameOfDatabase()}: entities/migrations/${path}.* failed: `
        + `column "missing" does not exist. Nothing of it was changed\\.$`,
    ),
  );
  expect((await catalogueOf(url)).filter((line) => !before.includes(line)).join()).not.toContain("bad");
  expect(await exists("good")).toBe(true);
  expect(await pending()).toEqual([expect.stringContaining(`${path} is pending`)]);
});

test("a syntax error is named with its line", async () => {
  const path = folder.add("SELECT 1;\nSELEC 2;");
  await expect(up()).rejects.toThrow(
    `entities/migrations/${path}, line 4 failed: syntax error at or near "SELEC"`,
  );
});

test("a migrating node that dies in the middle leaves the schema as it was", async () => {
  folder.add("CREATE TABLE half (id int);\nSELECT pg_sleep(20);");
  const ending = expect(up()).rejects.toThrow(/failed: (terminating connection|Connection terminated)/);
  await eventually(async () => {
    const ended = await inspect<{ ended: boolean }>(
      url,
      `SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity
       WHERE datname = current_database() AND query LIKE '%pg_sleep(20)%' AND pid <> pg_backend_pid()`,
    );
    return ended.length > 0;
  });
  await ending;
  expect(await exists("half")).toBe(false);
});

test("a file that was changed after it was applied is refused by name, whether or not anything is pending", async () => {
  const path = folder.add("CREATE TABLE kept (id int);");
  await up();
  folder.write(path, "-- breaking: no\n-- concurrently: no\nCREATE TABLE changed (id int);\n");
  await expect(up()).rejects.toThrow(`entities/migrations/${path} was changed after it was applied`);
  await expect(pending()).rejects.toThrow(`entities/migrations/${path} was changed after it was applied`);
});

test("a schema newer than the release is refused; one that is newer by nothing breaking may be accepted", async () => {
  const path = folder.add("CREATE TABLE newer (id int);");
  await up();
  folder.remove(path);
  await expect(up()).rejects.toThrow(
    `the schema is newer than this release: it has ${path} of release ${packageJson.version}. Start that release or a later one`,
  );
  await expect(up({ acceptsNewer: true })).resolves.toBeUndefined();
  folder.add("CREATE TABLE newer (id int);");
  const breaking = folder.add("DROP TABLE newer;", { isBreaking: true });
  await up();
  folder.remove(breaking);
  await expect(up({ acceptsNewer: true })).rejects.toThrow("no way back past a breaking migration");
});

test("a migration that waits for a lock lets the others go on, and is tried again", async () => {
  folder.add("ALTER TABLE leads ADD patience text;");
  await whileLocked("leads", async (release) => {
    const migrating = up({ patience: { lockTimeoutMs: 200, pausesMs: [200, 200, 200, 200, 5_000] } });
    await eventually(async () => {
      const waiting = await inspect(
        url,
        "SELECT FROM pg_locks WHERE relation = 'leads'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted",
      );
      return waiting.length > 0;
    });
    // behind the waiting ALTER a reader waits no longer than the lock timeout
    await inspect(url, "SELECT count(*) FROM leads");
    await release();
    await migrating;
  });
});

test("one that gets no lock in all its tries fails and says so", async () => {
  const path = folder.add("ALTER TABLE leads ADD patience text;");
  await whileLocked("leads", async () => {
    await expect(up()).rejects.toThrow(
      `entities/migrations/${path} failed (3 tries): canceling statement due to lock timeout. Nothing of it was changed.`,
    );
  });
});

test("an index that was left invalid is dropped and made anew when its migration is taken up again", async () => {
  await inspect(url, "CREATE TABLE twins AS SELECT 1 AS id FROM generate_series(1, 2)");
  const path = folder.add(
    "CREATE TABLE IF NOT EXISTS beside (id int);\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS twins_id ON twins (id);",
    { isConcurrent: true },
  );
  await expect(up()).rejects.toThrow(
    new RegExp(
      `${path} failed: could not create unique index "twins_id".* the next start takes the file up again`,
    ),
  );
  const isValid = async () =>
    (
      await inspect<{ is: boolean }>(
        url,
        "SELECT indisvalid AS is FROM pg_index WHERE indexrelid = to_regclass('twins_id')",
      )
    )[0]?.is;
  expect(await isValid()).toBe(false);
  await inspect(url, "DELETE FROM twins WHERE ctid = (SELECT min(ctid) FROM twins)");
  await up();
  expect(await isValid()).toBe(true);
});

test("a breaking migration waits for nodes of an older release, is refused while one lives, and runs when it is forced", async () => {
  const path = folder.add("CREATE TABLE broken (id int);", { isBreaking: true });
  await inspect(
    url,
    "INSERT INTO node_leases VALUES ('core-of-before', clock_timestamp() + interval '1 hour')",
  );
  await expect(up()).rejects.toThrow(
    `entities/migrations/${path} is breaking, and nodes of an older release run: core-of-before. Stop them first`,
  );
  expect(await exists("broken")).toBe(false);
  await inspect(url, "UPDATE node_leases SET lease_until = clock_timestamp() + interval '1 s'");
  await up({ waitForNodesMs: 10_000 });
  expect(await exists("broken")).toBe(true);
  folder.add("DROP TABLE broken;", { isBreaking: true });
  await inspect(url, "UPDATE node_leases SET lease_until = clock_timestamp() + interval '1 hour'");
  await up({ isForced: true });
  expect(await exists("broken")).toBe(false);
});

test("a gateway, which holds no lease, counts as alive by its connections", async () => {
  folder.add("SELECT 1;", { isBreaking: true });
  const database = await Database.open([url], { logicalShards: 16, poolSize: 1, onError: () => undefined });
  try {
    await expect(up()).rejects.toThrow(/nodes of an older release run: \d+ connections/);
  } finally {
    await database.close();
  }
  await up({ waitForNodesMs: 5_000 });
});

test("a node that is to migrate by hand only says what is pending, and opens what is up to date", async () => {
  const options = { logicalShards: 16, poolSize: 1, onError: () => undefined, migrate: "manual" as const };
  await (await Database.open([url], options)).close();
  await inspect(url, "DELETE FROM migrations WHERE part = 'shard'");
  await expect(Database.open([url], options)).rejects.toThrow(
    /The schema is not up to date; run npm run migrate\.\n {2}127.*: shard\/0001_baseline\.sql is pending/,
  );
});

/** What a database of 0.1.0 says of itself, with these of its migrations. */
async function pretendRelease010(names: {
  control: readonly string[];
  shard: readonly string[];
}): Promise<void> {
  await inspect(url, "DROP TABLE migrations");
  for (const part of ["control", "shard"] as const) {
    const { table } = migrationsOfRelease010[part];
    await inspect(
      url,
      `CREATE TABLE ${table} (id serial PRIMARY KEY, name varchar(255), executed_at timestamptz DEFAULT now())`,
    );
    await inspect(url, `INSERT INTO ${table} (name) SELECT unnest($1::text[])`, [names[part]]);
  }
}
const { control, shard } = migrationsOfRelease010;

test("a database of 0.1.0 that was not finished is refused before anything is changed", async () => {
  await pretendRelease010({ control: control.names, shard: shard.names.slice(0, -1) });
  await expect(up()).rejects.toThrow(
    "it was made by a version before 0.1.0, or one that did not finish: shard_migrations lacks 070_create_analytics. "
      + "Upgrade to 0.1.0 first: start that release once, then this one.",
  );
  expect(await exists("migrations")).toBe(false);
});

test("npm run migrate -- --check says what is pending by its exit code, and npm run migrate does it", async () => {
  const empty = await createDatabase("template1");
  const ends = async (...options: string[]) => {
    const child = spawn(process.execPath, ["services/migrate.ts", ...options], {
      env: {
        PATH: process.env.PATH,
        DATABASE_URL: empty,
        MASTER_KEY: Buffer.alloc(32, 7).toString("base64"),
      },
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const code = await new Promise((done) => child.once("close", done));
    return { code, output };
  };
  try {
    const check = await ends("--check");
    expect(check.output).toMatch(/^127\.0\.0\.1:\d+\/t_\w+: control\/0001_baseline\.sql is pending\n/);
    expect(check.code).toBe(1);
    expect(await inspect(empty, "SELECT FROM pg_class WHERE relname = 'migrations'")).toEqual([]);
    const done = await ends();
    expect(done.output).toMatch(/: applied shard\/0001_baseline\.sql\n[^]*The database is up to date\.\n$/);
    expect(done.code).toBe(0);
    expect(await ends("--check")).toEqual({ code: 0, output: "The database is up to date.\n" });
    expect(await catalogueOf(empty)).toEqual(await catalogueOf(url));
    const wrong = await ends("--chek");
    expect(wrong.code).toBe(1);
    expect(wrong.output).toContain("Usage: npm run migrate");
  } finally {
    await dropDatabase(empty);
  }
}, 60_000);
