import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A temporary folder that PostgreSQL's user may enter, when the tests run as root. */
export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "sangam-embedded-"));
  chmodSync(folder, 0o755);
  return folder;
}

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
