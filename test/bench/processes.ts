import { spawn, type ChildProcess } from "node:child_process";
import { openSync, readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../../mixins/process/ports.ts";

/** A process under measurement. */
export interface Measured {
  name: string;
  /** Its process ids now: PostgreSQL has one a connection. */
  pids: () => number[];
}

export interface Child extends Measured {
  process: ChildProcess;
  stop(): Promise<void>;
}

const running = new Set<Child>();

/** Starts a program with exactly these environment variables; what it prints goes to `<folder>/<name>.log`. */
export function start(
  name: string,
  command: string,
  args: string[],
  options: { folder: string; env?: Record<string, string>; ipc?: boolean },
): Child {
  const log = openSync(join(options.folder, `${name}.log`), "a");
  const child = spawn(command, args, {
    cwd: options.folder, // away from a developer's .env
    env: { PATH: process.env.PATH, ...options.env },
    stdio: ["ignore", log, log, ...(options.ipc ? (["ipc"] as const) : [])],
  });
  const started: Child = {
    name,
    process: child,
    pids: () => (child.pid === undefined ? [] : [child.pid]),
    async stop() {
      running.delete(started);
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
      const ended = new Promise((done) => child.once("exit", done));
      child.kill("SIGTERM");
      const late = new AbortController();
      await Promise.race([ended, sleep(25_000, undefined, { signal: late.signal }).catch(() => undefined)]);
      late.abort();
      child.kill("SIGKILL");
      await ended;
    },
  };
  child.on("error", () => running.delete(started));
  running.add(started);
  return started;
}

/** A process of Sangam that is ready. */
export interface Sangam {
  origin: string;
  child: Child;
}

/**
 * Starts Sangam as in production; `settings` choose what it hosts.
 * @param profiles a folder for a V8 profile, written when it ends by itself
 */
export async function startSangam(
  folder: string,
  name: string,
  settings: Record<string, string>,
  profiles?: string,
): Promise<Sangam> {
  const [port, metricsPort] = [await freePort(), await freePort()];
  const env = {
    HOST: "127.0.0.1",
    PORT: String(port),
    METRICS_PORT: String(metricsPort),
    MASTER_KEY: Buffer.alloc(32, 1).toString("base64"),
    RATE_LIMIT_PER_MINUTE: "100000000",
    SEED_DEMO: "false",
    NODE_ID: name,
    ...settings,
  };
  const profile = profiles === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${resolve(profiles)}`];
  const file = resolve(import.meta.dirname, "../../services/start.ts");
  const child = start(name, process.execPath, ["--max-semi-space-size=16", ...profile, file], {
    folder,
    env,
  });
  await untilReady(child, `http://127.0.0.1:${metricsPort}/health/ready`, folder);
  return { origin: `http://127.0.0.1:${port}`, child };
}

/** Ends every process that `start` started and that still runs. */
export async function stopAll(): Promise<void> {
  await Promise.all([...running].map((child) => child.stop()));
}

/** Waits until `url` answers 2xx. @throws Error with the end of the child's log when it ends or takes over 30 s */
export async function untilReady(child: Child, url: string, folder: string): Promise<void> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const isUp = await fetch(url).then(
      (response) => response.ok,
      () => false,
    );
    if (isUp) return;
    if (child.process.exitCode !== null || performance.now() > deadline) {
      const log = readFileSync(join(folder, `${child.name}.log`), "utf8");
      throw new Error(`${child.name} did not start:\n${log.slice(-2000)}`);
    }
    await sleep(50);
  }
}

/** The server of the data folder, with all its processes. */
export function postgresOf(folder: string): Measured {
  const postmaster = Number.parseInt(readFileSync(join(folder, "postgres", "postmaster.pid"), "utf8"), 10);
  return { name: "postgres", pids: () => [postmaster, ...childrenOf(postmaster)] };
}

function childrenOf(parent: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => Number(statOf(pid)?.[1]) === parent);
}

const ticksPerSecond = 100; // USER_HZ, the same on every Linux

/** CPU milliseconds a process has used, those of its ended children included. */
export function cpuMs({ pids }: Measured): number {
  let ticks = 0;
  for (const pid of pids()) {
    const stat = statOf(pid);
    if (stat) for (const index of [11, 12, 13, 14]) ticks += Number(stat[index]); // utime stime cutime cstime
  }
  return (ticks * 1000) / ticksPerSecond;
}

/** Resident memory of a process, in MiB. */
export function residentMiB({ pids }: Measured): number {
  let kilobytes = 0;
  for (const pid of pids()) {
    const match = /^VmRSS:\s+(\d+) kB$/m.exec(procFile(pid, "status") ?? "");
    kilobytes += Number(match?.[1] ?? 0);
  }
  return kilobytes / 1024;
}

/** Fields of /proc/<pid>/stat from `state` on: the name before may hold spaces. See proc_pid_stat(5). */
const statOf = (pid: number): string[] | undefined => procFile(pid, "stat")?.split(") ").at(-1)?.split(" ");

function procFile(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return undefined; // it has ended
  }
}
