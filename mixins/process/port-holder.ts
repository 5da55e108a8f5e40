import { readdir, readFile, readlink } from "node:fs/promises";

/** A process that listens on a port. */
export interface PortHolder {
  pid: number;
  /** What it was started with, at most 80 characters. */
  command: string;
  /** The folder that it works in. */
  folder: string;
}

const listening = "0A";
const mostShown = 80;

/**
 * Which process listens on a TCP port of this machine. From /proc: undefined where there is none (not Linux), and for a process of
 * another user or container.
 */
export async function holderOf(port: number): Promise<PortHolder | undefined> {
  const sockets = new Set((await Promise.all(["tcp", "tcp6"].map((table) => inodesIn(table, port)))).flat());
  if (sockets.size === 0) return undefined;
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const links = await linksOf(`/proc/${pid}/fd`);
    if (!links.some((link) => sockets.has(link))) continue;
    // it may have ended since
    const [command = "", folder = ""] = await Promise.all([
      readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => undefined),
      readlink(`/proc/${pid}/cwd`).catch(() => undefined),
    ]);
    const words = command.split("\0").join(" ").trim();
    return {
      pid: Number(pid),
      command: words.length > mostShown ? `${words.slice(0, mostShown)}…` : words,
      folder,
    };
  }
  return undefined;
}

/** The sockets, as /proc/PID/fd names them, that a table of the kernel says to listen on a port. */
async function inodesIn(table: string, port: number): Promise<string[]> {
  const text = await readFile(`/proc/net/${table}`, "utf8").catch(() => "");
  return text
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(
      ([, local, , state]) => state === listening && Number.parseInt(local?.split(":")[1] ?? "", 16) === port,
    )
    .map((fields) => `socket:[${fields[9]}]`);
}

async function linksOf(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return Promise.all(names.map((name) => readlink(`${folder}/${name}`).catch(() => "")));
}
