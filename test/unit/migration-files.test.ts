import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { readMigrations, statementsOf } from "../../mixins/database/migrations/files.ts";
import { MigrationFolder } from "../support/migrations.ts";

let folder: MigrationFolder;
beforeEach(() => {
  folder = new MigrationFolder();
});
afterEach(() => folder.end());

const head = "-- breaking: no\n-- concurrently: no\n";
const read = () => readMigrations("shard", folder.path);

test("the migrations of this release are in order, and the first is the baseline", () => {
  for (const part of ["control", "shard"] as const)
    expect(readMigrations(part)[0]).toMatchObject({
      number: 1,
      path: `${part}/0001_baseline.sql`,
      isBreaking: false,
    });
});

test("a gap in the numbers is an error that names the file and the number that is next", () => {
  const count = read().length;
  folder.write("shard/0099_late.sql", `${head}SELECT 1;`);
  expect(read).toThrow(`shard/0099_late.sql: the next number is ${String(count + 1).padStart(4, "0")}.`);
});

test("two files of one number are an error", () => {
  folder.write("shard/0001_clash.sql", `${head}SELECT 1;`);
  expect(read).toThrow(/shard\/0001_clash\.sql: the next number is 0002\. .*no two files the same one/);
});

test.each(["0002.sql", "2_short.sql", "0002_Upper.sql", "0002_x.ts", "notes.md"])(
  "%s is no migration's name",
  (name) => {
    folder.write(`shard/${name}`, head);
    expect(read).toThrow(`shard/${name}: migrations are called NNNN_name.sql`);
  },
);

test.each([
  ["-- breaking: no\nSELECT 1;", "concurrently"],
  ["-- concurrently: no\nSELECT 1;", "breaking"],
  ["-- breaking: maybe\n-- concurrently: no\nSELECT 1;", "breaking"],
  ["SELECT 1;\n-- breaking: no\n-- concurrently: no\n", "breaking"],
])("%j lacks a header", (text, header) => {
  folder.write(folder.add("SELECT 1;"), text);
  expect(read).toThrow(`its first lines must say "-- ${header}: yes" or "-- ${header}: no".`);
});

test.each(["BEGIN;", "commit;", "SELECT 1;\n  ROLLBACK;"])(
  "%j would leave the transaction of its migration",
  (sql) => {
    folder.add(sql);
    expect(read).toThrow("it runs in a transaction already, and must not begin or end one.");
  },
);

test("an index that is made concurrently must be one that may be taken up again", () => {
  folder.add("CREATE INDEX CONCURRENTLY by_name ON leads (name);", { isConcurrent: true });
  expect(read).toThrow("CREATE INDEX CONCURRENTLY IF NOT EXISTS");
});

test("a checksum does not depend on the line ends of a checkout", () => {
  const path = folder.add("SELECT 1;\nSELECT 2;");
  const before = read().at(-1)?.checksum;
  folder.write(path, `${head}SELECT 1;\nSELECT 2;\n`.replaceAll("\n", "\r\n"));
  expect(read().at(-1)?.checksum).toBe(before);
});

test("a file is cut at the semicolons between statements, not at those of strings, bodies and comments", () => {
  const text = `-- first; comment
    SELECT 'a;''b'; /* c; */ SELECT "x;y" FROM t;
    CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $body$ BEGIN PERFORM $1; PERFORM '$$;'; END $body$;
    SELECT $$;$$`;
  expect(statementsOf(text)).toEqual([
    "SELECT 'a;''b'",
    'SELECT "x;y" FROM t',
    "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $body$ BEGIN PERFORM $1; PERFORM '$$;'; END $body$",
    "SELECT $$;$$",
  ]);
});
