import { renameSync, rmSync, writeFileSync } from "node:fs";

/**
 * Writes a file that only its owner reads: the whole of it or nothing, also on a disk that fills up and in a process that
 * dies meanwhile. A secret that was cut off would be believed at the next start.
 */
export function writeOwnFile(path: string, text: string): void {
  const unfinished = `${path}.new`;
  try {
    writeFileSync(unfinished, text, { mode: 0o600, flush: true });
    renameSync(unfinished, path);
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw error;
  }
}
