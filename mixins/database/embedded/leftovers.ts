import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** What is sent to a server that must end, and how long each is given. A fast shutdown first, then one without a checkpoint. */
export const endings = [
  { signal: "SIGINT", patienceMs: 15_000 },
  { signal: "SIGQUIT", patienceMs: 5_000 },
  { signal: "SIGKILL", patienceMs: 2_000 },
] as const;

/**
 * Ends the PostgreSQL that a killed owner of `dataDirectory` left running, and takes away what its end left there that
 * would keep the next from starting. Only for whoever holds the folder's lock.
 *
 * `postmaster.pid` is not believed: its process may be anybody by now. A server has its data directory as its working
 * directory, so one that works here is ours, and no other is touched. Where the system has no /proc nothing is ended:
 * PostgreSQL then refuses to start beside another, and says which.
 * @throws Error naming a process that does not end
 */
export async function endLeftovers(dataDirectory: string): Promise<void> {
  if (!hasProc()) return;
  for (const { signal, patienceMs } of endings) {
    const running = serversIn(dataDirectory);
    const postmaster = running.find((pid) => pid === postmasterIn(dataDirectory));
    // its children follow a postmaster; without one they are told to go themselves
    if (postmaster !== undefined) send(postmaster, signal);
    else for (const pid of running) send(pid, signal === "SIGKILL" ? signal : "SIGQUIT");
    for (let waited = 0; serversIn(dataDirectory).length > 0 && waited < patienceMs; waited += 50)
      await sleep(50);
  }
  const left = serversIn(dataDirectory);
  if (left.length > 0)
    throw new Error(`PostgreSQL in ${dataDirectory} does not end (process ${left.join(", ")}).`);
  // empty, or with the id of a process of another kind, it keeps PostgreSQL from starting
  rmSync(join(dataDirectory, "postmaster.pid"), { force: true });
}

/** Ends at once every process whose command line names `path`, which nobody else may know; where there is no /proc, none. */
export function killNaming(path: string): void {
  if (!hasProc()) return;
  for (const pid of processIds()) {
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(path)) process.kill(pid, "SIGKILL");
    } catch {
      // it has ended meanwhile
    }
  }
}

const processIds = (): number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

const hasProc = (): boolean => {
  try {
    return statSync("/proc/self/cwd").isDirectory();
  } catch {
    return false;
  }
};

/** Ids of the PostgreSQL processes that work in a data directory, under whatever path they know it. */
export function serversIn(dataDirectory: string): number[] {
  const home = statSync(dataDirectory, { throwIfNoEntry: false });
  if (!home) return [];
  return processIds().filter((pid) => {
    try {
      if (readFileSync(`/proc/${pid}/comm`, "utf8") !== "postgres\n") return false;
      const { dev, ino } = statSync(`/proc/${pid}/cwd`);
      return dev === home.dev && ino === home.ino;
    } catch {
      return false; // gone, or another user's: not ours
    }
  });
}

function postmasterIn(dataDirectory: string): number | undefined {
  try {
    return Number.parseInt(readFileSync(join(dataDirectory, "postmaster.pid"), "utf8"), 10);
  } catch {
    return undefined;
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // it has ended meanwhile
  }
}
