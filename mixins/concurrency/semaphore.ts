import { appError } from "../contract/errors.ts";

/** Lets a few pieces of work run at a time; the others wait in order, and past a bound they are refused. */
export class Semaphore {
  readonly #mostWaiting: number;
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(options: { atOnce: number; mostWaiting: number }) {
    this.#free = options.atOnce;
    this.#mostWaiting = options.mostWaiting;
  }

  /** @throws 503 SERVER_BUSY when too many wait already */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.#enter();
    try {
      return await work();
    } finally {
      this.#leave();
    }
  }

  #enter(): Promise<void> | undefined {
    if (this.#free > 0) {
      this.#free--;
      return undefined;
    }
    if (this.#waiting.length >= this.#mostWaiting)
      throw appError(503, "SERVER_BUSY", "The server is busy; try again in a moment.", {
        retryAfterSeconds: 1,
      });
    return new Promise((enter) => this.#waiting.push(enter));
  }

  /** Hands the place to the next in line, so that nobody who comes later takes it first. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free++;
  }
}
