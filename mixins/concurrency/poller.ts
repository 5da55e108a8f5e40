/** A failure that lasts is reported this often. */
const repeatAfterMs = 10 * 60_000;

/**
 * Repeats a round of background work: after `everyMs`, at once when kicked, and at once again while a round
 * says there is more. Rounds of one poller never overlap. A failed round is tried again after `everyMs`, so a round must be
 * safe to repeat. It is reported when it fails otherwise than the one before it, and again each ten minutes.
 */
export class Poller {
  readonly #options: {
    name: string;
    everyMs: number;
    restMs?: number;
    run: () => Promise<boolean>;
    onError: (error: Error) => void;
  };
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | undefined;
  #isStarted = false;
  #isKicked = false;
  #restUntil = 0;
  #reported: { message: string; at: number } | undefined;

  /**
   * @param options.restMs least time from a round to one that is asked for by a kick, so that steady kicks make few
   *   rounds with much work; default 0
   * @param options.run one round; true: there is more work, go on at once
   * @param options.onError hears of failed rounds, of the same failure once in ten minutes; its message begins with the
   *   poller's name
   */
  constructor(options: {
    name: string;
    everyMs: number;
    restMs?: number;
    run: () => Promise<boolean>;
    onError: (error: Error) => void;
  }) {
    this.#options = options;
  }

  start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#wait(0);
  }

  /** Asks for a round now, or right after the one that runs and its rest. */
  kick(): void {
    const wasKicked = this.#isKicked;
    this.#isKicked = true;
    if (this.#isStarted && !this.#round && !wasKicked) this.#wait(this.#rest());
  }

  /** Ends the repetition, and resolves when the running round is over. */
  async stop(): Promise<void> {
    this.#isStarted = false;
    clearTimeout(this.#timer);
    await this.#round;
  }

  #wait(delayMs: number): void {
    clearTimeout(this.#timer);
    // a start after a stop may find the old round still running: that round goes on from there
    this.#timer = setTimeout(() => {
      this.#round ??= this.#runRound().then((hasMore) => {
        this.#round = undefined;
        this.#restUntil = performance.now() + (this.#options.restMs ?? 0);
        if (this.#isStarted) this.#wait(hasMore ? 0 : this.#isKicked ? this.#rest() : this.#options.everyMs);
      });
    }, delayMs);
  }

  /** Milliseconds of the rest after the last round that are left. */
  #rest(): number {
    return Math.max(0, this.#restUntil - performance.now());
  }

  async #runRound(): Promise<boolean> {
    this.#isKicked = false;
    try {
      const hasMore = await this.#options.run();
      this.#reported = undefined;
      return hasMore;
    } catch (error) {
      this.#report(`${this.#options.name}: ${(error as Error).message}`, error);
      return false;
    }
  }

  #report(message: string, cause: unknown): void {
    const at = performance.now();
    if (this.#reported?.message === message && at - this.#reported.at < repeatAfterMs) return;
    this.#reported = { message, at };
    this.#options.onError(new Error(message, { cause }));
  }
}
