import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { migrationsFolder, type Part } from "../../mixins/database/migrations/files.ts";

/** A copy of this release's migrations that a test adds its own to. */
export class MigrationFolder {
  readonly path = mkdtempSync(join(tmpdir(), "sangam-migrations-"));

  constructor() {
    cpSync(migrationsFolder, this.path, { recursive: true });
  }

  /** Adds `sql` as the next file of a part; answers its path below the folder. */
  add(
    sql: string,
    {
      part = "shard",
      isBreaking = false,
      isConcurrent = false,
    }: { part?: Part; isBreaking?: boolean; isConcurrent?: boolean } = {},
  ): string {
    const next = String(readdirSync(join(this.path, part)).length + 1).padStart(4, "0");
    const path = `${part}/${next}_test.sql`;
    const word = (is: boolean) => (is ? "yes" : "no");
    this.write(path, `-- breaking: ${word(isBreaking)}\n-- concurrently: ${word(isConcurrent)}\n${sql}\n`);
    return path;
  }

  write(path: string, text: string): void {
    writeFileSync(join(this.path, path), text);
  }

  remove(path: string): void {
    rmSync(join(this.path, path));
  }

  /** Removes the folder. */
  end(): void {
    rmSync(this.path, { recursive: true });
  }
}

/** Runs SQL as a migration does, with the functions that stand in its session. */
export async function asMigration(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(readFileSync(join(migrationsFolder, "tenant-table.sql"), "utf8"));
    await client.query(sql);
  } finally {
    await client.end();
  }
}
