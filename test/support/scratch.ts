import { chmodSync, mkdtempSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const memory = "/dev/shm";
/** What a whole run keeps at once, several times over. */
const leastBytes = 4 * 1024 ** 3;

/**
 * A folder for what is thrown away, which other users may enter: PostgreSQL runs as one of its own when the tests run as root. In memory
 * where there is room: a test database is 12 MB in 800 files, and to copy one costs 30 ms of CPU there instead of 80 to 300.
 */
export function makeScratch(prefix: string): string {
  const folder = mkdtempSync(join(hasRoom() ? memory : tmpdir(), prefix));
  chmodSync(folder, 0o755);
  return folder;
}

function hasRoom(): boolean {
  try {
    const { bavail, bsize } = statfsSync(memory);
    return bavail * bsize > leastBytes && process.availableMemory() > leastBytes;
  } catch {
    return false;
  }
}
