import type { Database } from "../database/database.ts";
import type { Shard } from "../database/shard.ts";
import { Poller } from "../concurrency/poller.ts";
import { endLease, renewLease } from "./actors.repository.ts";

const leaseMs = 10_000;
const renewEveryMs = 3_000;
/** Turns stop this long after the last renewal began, well before others may take the node's actors. */
const trustMs = 7_000;

/**
 * The right of this node to run actors of a shard: a row there, renewed each 3 s and good for 10 s. A process that was
 * frozen, or cut off from the database, runs no turn before it has renewed. The fence makes turns safe without it; the
 * lease keeps a node that cannot work from holding on to its actors.
 *
 * It also tells the database's time, so that expiry does not hang on the clocks of the nodes.
 */
export class NodeLease {
  readonly #database: Database;
  readonly #nodeId: string;
  readonly #pollers: Poller[];
  readonly #shards = new Map<Shard, { renewedAt: number; waiting: (() => void)[] }>();
  #clockOffset = Date.now() - performance.now();

  constructor(database: Database, nodeId: string, onError: (error: Error) => void) {
    this.#database = database;
    this.#nodeId = nodeId;
    for (const shard of database.shards) this.#shards.set(shard, { renewedAt: -Infinity, waiting: [] });
    this.#pollers = database.shards.map(
      (shard) =>
        new Poller({
          name: `lease on ${shard.name}`,
          everyMs: renewEveryMs,
          run: () => this.#renew(shard),
          onError,
        }),
    );
  }

  /** Resolves when the first renewal has been tried. */
  async start(): Promise<void> {
    // what fails the pollers try again, and say why
    await Promise.allSettled(this.#database.shards.map((shard) => this.#renew(shard)));
    for (const poller of this.#pollers) poller.start();
  }

  /** Ends the leases, so that others need not wait for their end. */
  async stop(): Promise<void> {
    await Promise.all(this.#pollers.map((poller) => poller.stop()));
    await Promise.allSettled(
      this.#database.shards.map((shard) => endLease(this.#database, shard, this.#nodeId)),
    );
  }

  /** Milliseconds since 1970 by the control database's clock, whatever the clock of this machine says. */
  now(): number {
    return performance.now() + this.#clockOffset;
  }

  isHeld(shard: Shard): boolean {
    return performance.now() - this.#of(shard).renewedAt < trustMs;
  }

  /** Resolves as soon as the lease is held, or at `until` (by `now()`); answers whether it is. */
  async held(shard: Shard, until: number): Promise<boolean> {
    if (this.isHeld(shard)) return true;
    await new Promise<void>((done) => {
      const timer = setTimeout(done, Math.max(0, until - this.now()));
      this.#of(shard).waiting.push(() => {
        clearTimeout(timer);
        done();
      });
    });
    return this.isHeld(shard);
  }

  async #renew(shard: Shard): Promise<false> {
    const begunAt = performance.now();
    const now = await renewLease(this.#database, shard, this.#nodeId, leaseMs);
    if (shard === this.#database.control) this.#clockOffset = now - (begunAt + performance.now()) / 2;
    const lease = this.#of(shard);
    lease.renewedAt = begunAt;
    for (const wake of lease.waiting.splice(0)) wake();
    return false;
  }

  #of(shard: Shard) {
    const lease = this.#shards.get(shard);
    if (!lease) throw new Error(`No lease for ${shard.name}`);
    return lease;
  }
}
