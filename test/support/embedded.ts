import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { endLeftovers, serversIn } from "../../mixins/database/embedded/leftovers.ts";
import { eventually } from "./eventually.ts";
import { makeScratch } from "./scratch.ts";
import {
  launchProcess,
  startProcess,
  type Launch,
  type LaunchedProcess,
  type NodeProcess,
} from "./process.ts";

export const makeFolder = (): string => makeScratch("sangam-embedded-");

/** A data folder like this one, whose process must have ended. */
export function copyFolder(original: string): string {
  const copy = makeFolder();
  // cp keeps owners and modes, without which PostgreSQL refuses it
  const { status, stderr } = spawnSync("cp", ["-a", `${original}/.`, copy], { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
  return copy;
}

export const removeFolder = (folder: string): void =>
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });

/** The process id that a data folder's PostgreSQL wrote down. */
export const postmasterOf = (folder: string): number =>
  Number.parseInt(readFileSync(join(folder, "postgres/postmaster.pid"), "utf8"), 10);

/** A file system of its own, so that it can be full. */
export interface Disk {
  folder: string;
  /** Changes how it is mounted: `size=64m`, `ro`. */
  remount(options: string): void;
  remove(): void;
}

/** Why no disk can be made here; undefined where one can. */
export function whyNoDisk(): string | undefined {
  try {
    makeDisk("size=64k").remove();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Mounts a file system in memory; only root may. @throws Error with what mount said */
export function makeDisk(options: string): Disk {
  const parent = makeFolder();
  const folder = join(parent, "disk");
  mkdirSync(folder);
  const mount = (...words: string[]) => {
    const { status, stderr, error } = spawnSync("mount", words, { encoding: "utf8" });
    if (status !== 0) throw new Error(error?.message ?? stderr.trim());
  };
  try {
    mount("-t", "tmpfs", "-o", `${options},mode=755`, "tmpfs", folder);
  } catch (error) {
    removeFolder(parent);
    throw error;
  }
  return {
    folder,
    remount: (changed) => mount("-o", `remount,${changed}`, folder),
    remove() {
      spawnSync("umount", ["--lazy", folder]);
      removeFolder(parent);
    },
  };
}

/** Processes with a PostgreSQL of their own, as `npm start` runs them with nothing configured, and their data folders. */
export class Installations {
  /** A data folder that was migrated and left in order, to copy. */
  readonly #template = makeFolder();
  readonly #processes: NodeProcess[] = [];
  readonly #folders: string[] = [];
  #starts = 0;

  async prepare(): Promise<void> {
    await (await startProcess("template", { DATA_DIR: this.#template })).stop();
  }

  /** A folder of a release that has run. */
  usedFolder(): string {
    const folder = copyFolder(this.#template);
    this.#folders.push(folder);
    return folder;
  }

  emptyFolder(): string {
    const folder = makeFolder();
    this.#folders.push(folder);
    return folder;
  }

  async launch(folder: string, settings?: Record<string, string>, how?: Launch): Promise<LaunchedProcess> {
    const launched = await launchProcess(`own-${this.#starts++}`, { DATA_DIR: folder, ...settings }, how);
    this.#processes.push(launched);
    return launched;
  }

  async start(folder: string, settings?: Record<string, string>, how?: Launch): Promise<LaunchedProcess> {
    const launched = await this.launch(folder, settings, how);
    await launched.running;
    return launched;
  }

  /** Stops what runs. */
  async stop(): Promise<void> {
    await Promise.all(this.#processes.splice(0).map((process) => process.stop()));
  }

  /** Stops what runs, and takes away its folders. */
  async clear(): Promise<void> {
    await this.stop();
    for (const folder of this.#folders.splice(0)) {
      await endLeftovers(join(folder, "postgres"));
      removeFolder(folder);
    }
  }

  /** After the last test. */
  remove(): void {
    removeFolder(this.#template);
  }
}

/** Ids of the PostgreSQL processes of a data folder. */
export const serversOf = (folder: string): number[] => serversIn(join(folder, "postgres"));

/** What a process says of its readiness. */
export async function readiness({ metricsOrigin }: NodeProcess): Promise<{ status: number; text: string }> {
  const answer = await fetch(`${metricsOrigin}/health/ready`);
  return { status: answer.status, text: await answer.text() };
}
export const isReady = (process: NodeProcess): Promise<true> =>
  eventually(async () => (await readiness(process)).status === 200, 30_000);
