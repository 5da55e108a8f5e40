import { LRUCache } from "lru-cache";
import { RateLimiterRes, type RateLimiterAbstract } from "rate-limiter-flexible";

/** Whether one more request of a caller is allowed in this minute. */
export interface Verdict {
  isAllowed: boolean;
  limit: number;
  /** Requests the caller has left. */
  remaining: number;
  /** Until the caller's minute ends. */
  resetMs: number;
}

/** Requests that this process has taken from a caller's minute ahead of their coming. */
interface Lease {
  held: number;
  /** What was left for everybody when it was taken. */
  others: number;
  /** By performance.now(). */
  endsAt: number;
}

/** Part of the limit that is taken at a time: what gateways hold and do not use, the caller cannot use elsewhere. */
const share = 1 / 20;
const mostAtOnce = 50;

/**
 * A limit shared by several processes that asks what they share only once in several requests. It never lets
 * through more than the limit; at the end of a minute each process may hold back up to a twentieth of it.
 */
export class LeasedLimit {
  readonly #limiter: RateLimiterAbstract;
  readonly #leases = new LRUCache<string, Lease>({ max: 50_000 });
  readonly #asking = new Map<string, { answer: Promise<void>; waiting: number }>();
  readonly #batch: number;

  constructor(limiter: RateLimiterAbstract) {
    this.#limiter = limiter;
    this.#batch = Math.min(mostAtOnce, Math.max(1, Math.floor(limiter.points * share)));
  }

  get most(): number {
    return this.#limiter.points;
  }

  /** The refusal of a caller who has nothing left, as far as this process knows; it asks nobody. */
  refusalOf(key: string): Verdict | undefined {
    const lease = this.#leases.get(key);
    const resetMs = (lease?.endsAt ?? 0) - performance.now();
    if (!lease || resetMs <= 0 || lease.held > 0 || lease.others > 0) return undefined;
    return { isAllowed: false, limit: this.#limiter.points, remaining: 0, resetMs };
  }

  /** Takes one request. @throws what the limiter throws when it fails and has no insurance */
  async take(key: string): Promise<Verdict> {
    for (let waited = 0; ;) {
      const lease = this.#leases.get(key);
      const resetMs = (lease?.endsAt ?? 0) - performance.now();
      if (lease && resetMs > 0 && (lease.held > 0 || lease.others === 0)) {
        const isAllowed = lease.held > 0;
        if (isAllowed) lease.held--;
        return { isAllowed, limit: this.#limiter.points, remaining: lease.held + lease.others, resetMs };
      }
      let asking = this.#asking.get(key);
      if (!asking) {
        // who has waited in vain has company
        const answer = this.#ask(key, Math.min(mostAtOnce, Math.max(this.#batch, waited)));
        asking = { answer: answer.finally(() => this.#asking.delete(key)), waiting: 0 };
        this.#asking.set(key, asking);
      }
      asking.waiting++;
      await asking.answer;
      waited = asking.waiting;
    }
  }

  /** Replaces the caller's lease, of which nothing is held any more. */
  async #ask(key: string, amount: number): Promise<void> {
    let state: RateLimiterRes;
    try {
      state = await this.#limiter.consume(key, amount);
    } catch (refused) {
      if (!(refused instanceof RateLimiterRes)) throw refused;
      state = refused;
    }
    const excess = Math.max(0, state.consumedPoints - this.#limiter.points);
    this.#leases.set(key, {
      held: Math.max(0, amount - excess),
      others: state.remainingPoints,
      endsAt: performance.now() + Math.max(1, state.msBeforeNext),
    });
  }
}
