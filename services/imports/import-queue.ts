import { ImportRun, type RunParts } from "./import-run.ts";
import { claimImport, deleteDeadUploads } from "./imports.repository.ts";

/** The imports of all organizations that wait for a node, shard by shard. */
export class ImportQueue {
  readonly #parts: RunParts;
  readonly #runs = new Set<ImportRun>();
  #isStopping = false;

  constructor(parts: RunParts) {
    this.#parts = parts;
  }

  /** Takes one import of each shard and works on it to its end. @returns whether there was any */
  async runNext(): Promise<boolean> {
    let hasWorked = false;
    for (const shard of this.#parts.database.shards) {
      if (this.#isStopping) break;
      const claim = await this.#parts.database.transaction({ platform: shard }, async (tx) => {
        await deleteDeadUploads(tx);
        return claimImport(tx);
      });
      if (!claim) continue;
      hasWorked = true;
      const run = new ImportRun(claim, this.#parts);
      this.#runs.add(run);
      // stop() may have come while the claim was on its way
      if (this.#isStopping) run.stop();
      try {
        await run.run();
      } finally {
        this.#runs.delete(run);
      }
    }
    return hasWorked;
  }

  /** Ends what runs after the batch in hand, and takes nothing more. */
  stop(): void {
    this.#isStopping = true;
    for (const run of this.#runs) run.stop();
  }
}
