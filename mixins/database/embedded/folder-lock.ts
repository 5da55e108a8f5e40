import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** A folder that is this process's alone. */
export interface FolderLock {
  /** Safe to call twice. */
  release(): void;
}

/** Two that ask in the same instant may get in each other's way; one of them gets it within this. */
const patienceMs = 500;

/**
 * Takes a folder for this process until it releases it or ends, in whatever way: the operating system holds the lock
 * (that of an SQLite database, which takes it through the same call everywhere), and a process id in a file proves
 * nothing, since it may be somebody else's by now, or one of another container. Needs no space on the disk.
 * @throws Error naming the folder, and the process that has it
 */
export function lockFolder(folder: string): FolderLock {
  const ownerFile = join(folder, "owner.pid");
  let lock: DatabaseSync | undefined;
  try {
    lock = new DatabaseSync(join(folder, "owner.lock"), { timeout: patienceMs });
    // a journal in memory: one in a file could not be written on a full disk
    lock.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    lock?.close();
    const { errcode, message } = error as Error & { errcode?: number };
    throw new Error(
      errcode === sqliteBusy
        ? `${folder} is in use by another Sangam (${ownerIn(ownerFile)}). Stop it, or set DATA_DIR to another folder.`
        : `${folder} cannot be locked (owner.lock: ${message}).`,
      { cause: error },
    );
  }
  const held = lock;
  try {
    writeFileSync(ownerFile, `${process.pid}\n`);
  } catch {
    // it only tells people who has the lock; a full disk must not keep anybody from starting
  }
  locks.add(held);
  return {
    release() {
      if (locks.delete(held)) held.close();
    },
  };
}

/** What is held: a lock that nobody refers to would be let go with the memory it takes. */
const locks = new Set<DatabaseSync>();
const sqliteBusy = 5;

function ownerIn(file: string): string {
  try {
    return `process ${readFileSync(file, "utf8").trim() || "unknown"}`;
  } catch {
    return "process unknown";
  }
}
