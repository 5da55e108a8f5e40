/** Lets who waits in. */
type Waiter = () => void;

/**
 * Gives out a few places so that nobody's work keeps others waiting: one holder has at most its share of them, whether or not
 * others want any, and of those who wait the one with the fewest places is next. Holders that are equal take turns.
 */
export class FairTurns {
  readonly #places: number;
  readonly #share: number;
  readonly #mostWaiting: number;
  readonly #mostWaitingOfOne: number;
  readonly #tooMany: () => Error;
  readonly #patienceMs: number;
  readonly #held = new Map<string, number>();
  /** By holder, in the order of their turns. */
  readonly #waiting = new Map<string, Set<Waiter>>();
  #taken = 0;
  #waitingCount = 0;

  /**
   * @param options.share places that one holder may have
   * @param options.mostWaiting in all; the next is refused
   * @param options.mostWaitingOfOne for one holder
   * @param options.patienceMs longest wait
   * @param options.tooMany the error of who is refused or has waited too long
   */
  constructor(options: {
    places: number;
    share: number;
    mostWaiting: number;
    mostWaitingOfOne: number;
    patienceMs: number;
    tooMany: () => Error;
  }) {
    this.#places = options.places;
    this.#share = options.share;
    this.#mostWaiting = options.mostWaiting;
    this.#mostWaitingOfOne = options.mostWaitingOfOne;
    this.#patienceMs = options.patienceMs;
    this.#tooMany = options.tooMany;
  }

  /**
   * Returns when there is a place, to be given back with `leave`; undefined at once.
   * @param holder undefined: the system itself, which has no share
   * @throws what `tooMany` makes
   */
  enter(holder: string | undefined): Promise<void> | undefined {
    const key = holder ?? "";
    if (this.#taken < this.#places && this.#mayHaveMore(key)) {
      this.#take(key);
      return undefined;
    }
    const own = this.#waiting.get(key) ?? new Set();
    if (this.#waitingCount >= this.#mostWaiting || (key !== "" && own.size >= this.#mostWaitingOfOne))
      throw this.#tooMany();
    this.#waiting.set(key, own);
    return this.#wait(key, own);
  }

  /** Gives a place back; whose turn it is takes it at once. */
  leave(holder: string | undefined): void {
    const key = holder ?? "";
    this.#taken--;
    const held = this.#heldBy(key) - 1;
    if (held === 0) this.#held.delete(key);
    else this.#held.set(key, held);
    const next = this.#nextHolder();
    if (next === undefined) return;
    const waiting = this.#waiting.get(next) as Set<Waiter>;
    const [first] = waiting as ReadonlySet<Waiter>;
    if (!first) return;
    this.#forget(next, waiting, first);
    // behind the others of as many places
    if (waiting.size > 0) {
      this.#waiting.delete(next);
      this.#waiting.set(next, waiting);
    }
    this.#take(next);
    first();
  }

  /** How many wait, of one holder no more than `most` counted: what its own share holds up is no sign of too little for all. */
  waiting(most: number): number {
    let count = 0;
    for (const { size } of this.#waiting.values()) count += Math.min(size, most);
    return count;
  }

  async #wait(key: string, own: Set<Waiter>): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    own.add(resolve);
    this.#waitingCount++;
    const timer = setTimeout(() => {
      this.#forget(key, own, resolve);
      reject(this.#tooMany());
    }, this.#patienceMs).unref();
    try {
      await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #forget(key: string, own: Set<Waiter>, waiter: Waiter): void {
    if (own.delete(waiter)) this.#waitingCount--;
    if (own.size === 0) this.#waiting.delete(key);
  }

  #nextHolder(): string | undefined {
    let next: string | undefined;
    let fewest = Infinity;
    for (const key of this.#waiting.keys()) {
      const held = this.#heldBy(key);
      if (held >= fewest || !this.#mayHaveMore(key)) continue;
      next = key;
      fewest = held;
      if (held === 0) break;
    }
    return next;
  }

  #take(key: string): void {
    this.#taken++;
    this.#held.set(key, this.#heldBy(key) + 1);
  }

  #heldBy = (key: string): number => this.#held.get(key) ?? 0;
  #mayHaveMore = (key: string): boolean => key === "" || this.#heldBy(key) < this.#share;
}
