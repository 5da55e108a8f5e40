import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { startEmbeddedPostgres } from "../../mixins/database/embedded-postgres.ts";
import { migrate } from "../../mixins/database/migrate.ts";
import { requireProgram } from "./programs.ts";
import { makeScratch, sweepScratch } from "./scratch.ts";
import { testServer } from "./test-server.ts";

/**
 * One PostgreSQL for the whole run, with a migrated template that each test node's databases are copied from.
 * Jest runs this once for each project that asks; the first one starts it.
 */
export default async function setup(): Promise<void> {
  if (testServer.running) return;
  requireProgram("nats-server");
  requireProgram("redis-server");
  await sweepScratch();
  const folder = makeScratch("sangam-test-");
  const log = (line: string) => {
    if (process.env.TEST_POSTGRES_LOG) console.error(line);
  };
  // what it holds is thrown away; a kill of the server loses nothing all the same
  const settings = { max_connections: "600", fsync: "off", full_page_writes: "off" };
  const server = await startEmbeddedPostgres(folder, log, { settings });
  await trustOwnMachine(folder, server.url("postgres"));
  await server.createDatabase("sangam_template");
  await migrate(server.url("sangam_template"), { control: true });
  testServer.running = { server, folder };
  // half of what starting a node costs is compiling it; only what is compiled here is counted for coverage
  if (!process.argv.includes("--coverage")) process.env.NODE_COMPILE_CACHE = join(folder, "compiled");
  process.env.TEST_POSTGRES_URL = server.url("postgres");
}

/**
 * Lets everybody in without asking for the password: it costs 2 ms of CPU a connection, and a run makes thousands. How the passwords
 * of the product's roles work is tried on servers of their own (test/cluster/managed-database.test.ts).
 */
async function trustOwnMachine(folder: string, url: string): Promise<void> {
  const rules = join(folder, "postgres/pg_hba.conf");
  writeFileSync(rules, readFileSync(rules, "utf8").replaceAll("scram-sha-256", "trust"));
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query("SELECT pg_reload_conf()");
  await client.end();
}
