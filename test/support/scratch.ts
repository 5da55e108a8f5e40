import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endLeftovers } from "../../mixins/database/embedded/leftovers.ts";

const memory = "/dev/shm";
/** What a whole run keeps at once, several times over. */
const leastBytes = 4 * 1024 ** 3;

/**
 * A folder for what is thrown away, which other users may enter: PostgreSQL runs as one of its own when the tests run as root. In memory
 * where there is room: a test database is 12 MB in 800 files, and to copy one costs 30 ms of CPU there instead of 80 to 300.
 */
export function makeScratch(prefix: string): string {
  const folder = mkdtempSync(join(hasRoom() ? memory : tmpdir(), `${prefix}${process.pid}-`));
  chmodSync(folder, 0o755);
  return folder;
}

/** Takes away what runs that were killed have left in memory. */
export async function sweepScratch(): Promise<void> {
  for (const name of existsSync(memory) ? readdirSync(memory) : []) {
    const pid = Number(/^sangam-[a-z]+-(\d+)-/.exec(name)?.[1]);
    if (Number.isNaN(pid) || existsSync(`/proc/${pid}`)) continue;
    const folder = join(memory, name);
    await endLeftovers(join(folder, "postgres"));
    rmSync(folder, { recursive: true, force: true });
  }
}

function hasRoom(): boolean {
  try {
    const { bavail, bsize } = statfsSync(memory);
    return bavail * bsize > leastBytes && process.availableMemory() > leastBytes;
  } catch {
    return false;
  }
}
