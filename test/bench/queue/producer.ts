import { setTimeout as sleep } from "node:timers/promises";
import type { Database } from "../../../mixins/database/database.ts";

/** How much work comes: so many jobs a second, or as many as keep so many waiting. */
export type Load = { perSecond: number } | { waiting: number };

/** Jobs added in one transaction, at most; the public comparison's batches are of 128. */
const batch = 128;
const everyMs = 10;
const afterFailureMs = 100;

/** Adds jobs as services do: each batch in a transaction of an organization. */
export class Producer {
  load: Load = { perSecond: 0 };
  /** When each job was known to be added, Unix milliseconds; by the job's number. */
  readonly addedAt = new Map<number, number>();
  readonly #database: Database;
  readonly #organizationId: string;
  readonly #waiting: () => number;
  #next: number;
  #owed = 0;
  #isOver = false;
  #running: Promise<void> | undefined;

  /** @param options.waiting counts the jobs that wait or run @param options.first number of the first job */
  constructor(database: Database, options: { organizationId: string; first: number; waiting: () => number }) {
    this.#database = database;
    this.#organizationId = options.organizationId;
    this.#waiting = options.waiting;
    this.#next = options.first;
  }

  /** The number that the next job gets. */
  get next(): number {
    return this.#next;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  /** Lets so many jobs come at once, besides the load. */
  burst(jobs: number): void {
    this.#owed += jobs;
  }

  async #run(): Promise<void> {
    let before = performance.now();
    while (!this.#isOver) {
      const now = performance.now();
      if ("perSecond" in this.load) this.#owed += (this.load.perSecond * (now - before)) / 1000;
      else this.#owed = Math.max(0, this.load.waiting - this.#waiting());
      before = now;
      try {
        while (this.#owed >= 1 && !this.#isOver) await this.#add(Math.min(batch, Math.floor(this.#owed)));
        await sleep(everyMs);
      } catch {
        // whoever would have added them was told so: nothing is owed for the time without a database
        await sleep(afterFailureMs);
        this.#owed = 0;
        before = performance.now();
      }
    }
  }

  /** Numbers of a batch that failed are not used again: it may have been committed all the same. */
  async #add(count: number): Promise<void> {
    const first = this.#next;
    this.#next += count;
    const organizationId = this.#organizationId;
    await this.#database.transaction({ organizationId }, (tx) => {
      for (let n = first; n < first + count; n++)
        tx.enqueue({ task: "probe.work", payload: { n }, key: String(n) });
      return Promise.resolve();
    });
    const at = Date.now();
    for (let n = first; n < first + count; n++) this.addedAt.set(n, at);
    this.#owed -= count;
  }
}
