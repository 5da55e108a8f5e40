import type { Database } from "../database/database.ts";
import type { Shard } from "../database/shard.ts";
import { Poller } from "../concurrency/poller.ts";

const leaseSeconds = 10;
const renewEveryMs = 3000;
/** After this long without renewal a job waits for the next one before it begins; less than the lease by a margin. */
const freshMs = 7000;

/**
 * The leases of one process's worker pools in one shard. Any process that holds leases also frees the jobs of those
 * whose leases have ended. Time is the database's for expiry and monotonic here, so clocks may differ.
 *
 * A process that was stopped and resumed finds its lease gone: it drops what it had taken. A job that was running
 * then may run twice; its body must bear that.
 */
export class WorkerLeases {
  readonly #database: Database;
  readonly #shard: Shard;
  readonly #nodeId: string;
  readonly #poller: Poller;
  readonly #held = new Map<string, { renewedAt: number; lose: () => void; lost: Promise<void> }>();
  readonly #ending = new Set<string>();
  #renewal: Promise<void> | undefined;

  constructor(database: Database, shard: Shard, nodeId: string, onError: (error: Error) => void) {
    this.#database = database;
    this.#shard = shard;
    this.#nodeId = nodeId;
    this.#poller = new Poller({
      name: `worker leases of ${shard.name}`,
      everyMs: renewEveryMs,
      run: async () => {
        await this.#renewAll();
        return false;
      },
      onError,
    });
  }

  start(): void {
    this.#poller.start();
  }

  /** Begins the lease of a pool; jobs it has taken wait for this. */
  async hold(workerId: string): Promise<void> {
    const { promise: lost, resolve: lose } = Promise.withResolvers<void>();
    await this.#onPlatform((tx) =>
      tx.query({
        text: `INSERT INTO worker_leases (worker_id, node_id, expires_at)
          VALUES ($1, $2, clock_timestamp() + $3 * interval '1 s')`,
        values: [workerId, this.#nodeId, leaseSeconds],
      }),
    );
    this.#held.set(workerId, { renewedAt: performance.now(), lose, lost });
  }

  /** Resolves when somebody else has taken the pool's jobs away; at once for a lease that is not held. */
  async whenLost(workerId: string): Promise<void> {
    await this.#held.get(workerId)?.lost;
  }

  /** Makes sure that the lease is alive. @throws when it is not, or cannot be renewed */
  async require(workerId: string): Promise<void> {
    const lease = this.#held.get(workerId);
    if (lease && performance.now() - lease.renewedAt < freshMs) return;
    if (lease) await this.#renewAll();
    if (!this.#held.has(workerId)) throw new Error("The lease of these workers was lost");
  }

  /**
   * Ends the lease of a pool that has stopped, also one that was lost or never began: it may have taken jobs since,
   * which nobody else knows of. Repeated until it is said.
   */
  release(workerId: string): void {
    this.#held.delete(workerId);
    this.#ending.add(workerId);
    this.#poller.kick();
  }

  async stop(): Promise<void> {
    await this.#poller.stop();
    for (const workerId of this.#held.keys()) this.#ending.add(workerId);
    this.#held.clear();
    await this.#renewal?.catch(() => undefined);
    // if it cannot be said, they run out
    await this.#renewAll().catch(() => undefined);
  }

  #renewAll(): Promise<void> {
    return (this.#renewal ??= this.#renew().finally(() => (this.#renewal = undefined)));
  }

  async #renew(): Promise<void> {
    await this.#end([...this.#ending]);
    const ids = [...this.#held.keys()];
    const askedAt = performance.now();
    const renewed = await this.#onPlatform((tx) =>
      tx.query<{ worker_id: string }>({
        name: "renew_worker_leases",
        text: `UPDATE worker_leases SET expires_at = clock_timestamp() + $2 * interval '1 s'
          WHERE worker_id = ANY ($1) AND expires_at > clock_timestamp() RETURNING worker_id`,
        values: [ids, leaseSeconds],
      }),
    );
    const alive = new Set(renewed.map((row) => row.worker_id));
    for (const id of ids) {
      const lease = this.#held.get(id);
      if (!lease) continue;
      if (alive.has(id)) lease.renewedAt = askedAt;
      else {
        this.#held.delete(id);
        lease.lose();
      }
    }
    await this.#freeDead();
  }

  async #end(workerIds: readonly string[]): Promise<void> {
    if (workerIds.length === 0) return;
    await this.#onPlatform((tx) =>
      tx.query({
        text: `INSERT INTO worker_leases (worker_id, node_id, expires_at)
          SELECT worker_id, $2, '-infinity' FROM unnest($1::text[]) AS worker_id
          ON CONFLICT (worker_id) DO UPDATE SET expires_at = excluded.expires_at`,
        values: [workerIds, this.#nodeId],
      }),
    );
    for (const workerId of workerIds) this.#ending.delete(workerId);
  }

  #freeDead(): Promise<unknown> {
    return this.#onPlatform(async (tx) => {
      // one written while the clock was ahead begins now: else its jobs would wait until the clock is there again
      const shortened = tx.query({
        name: "shorten_worker_leases",
        text: `UPDATE worker_leases SET expires_at = clock_timestamp() + $1 * interval '1 s'
          WHERE expires_at > clock_timestamp() + 2 * $1 * interval '1 s'`,
        values: [leaseSeconds],
      });
      await Promise.all([
        shortened,
        tx.query({ name: "free_jobs", text: "SELECT free_jobs_of_dead_workers()" }),
      ]);
    });
  }

  #onPlatform<T>(work: Parameters<typeof Database.prototype.transaction<T>>[1]): Promise<T> {
    return this.#database.transaction({ platform: this.#shard }, work);
  }
}
