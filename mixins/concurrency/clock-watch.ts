import type { UnitOfWork } from "../database/unit-of-work.ts";

/** By so much a clock may be set, and two clocks may differ, without being doubted. */
const toleranceMs = 10 * 60_000;
/** How long a clock that has jumped is doubted: an operator may set it right meanwhile. */
const doubtMs = 3_600_000;
const lookEveryMs = 10_000;

/**
 * Whether the clock may be believed in what cannot be undone: dropping what has been kept long enough, ending trials. A clock
 * that is a year ahead for 20 s would otherwise take everything with it. Two witnesses: this process's steady clock, by which
 * the wall clock may not jump, and the database's clock.
 */
export class ClockWatch {
  readonly #wall: () => number;
  readonly #steady: () => number;
  #offset: number;
  #jumpedAt = -Infinity;
  #timer: NodeJS.Timeout | undefined;

  constructor(wall: () => number = () => Date.now(), steady: () => number = () => performance.now()) {
    this.#wall = wall;
    this.#steady = steady;
    this.#offset = wall() - steady();
  }

  start(): void {
    if (this.#timer === undefined) this.#timer = setInterval(() => this.look(), lookEveryMs).unref();
  }

  /** Notes whether the clock has jumped since the last look. */
  look(): void {
    const offset = this.#wall() - this.#steady();
    if (Math.abs(offset - this.#offset) > toleranceMs) this.#jumpedAt = this.#steady();
    this.#offset = offset;
  }

  /**
   * @param databaseNow milliseconds since 1970
   * @throws Error saying which clock is doubted
   */
  requireTrusted(databaseNow: number): void {
    this.look();
    const differ = Math.round((this.#wall() - databaseNow) / 60_000);
    if (Math.abs(differ) * 60_000 > toleranceMs)
      throw new Error(
        `This node's clock is ${Math.abs(differ)} min ${differ > 0 ? "ahead of" : "behind"} the database's: nothing is ended or dropped by it.`,
      );
    if (this.#steady() - this.#jumpedAt < doubtMs)
      throw new Error(
        "The clock has jumped within the last hour: nothing is ended or dropped by it meanwhile.",
      );
  }
}

/** Of this process. */
export const clockWatch = new ClockWatch();

/** Lets nothing that cannot be undone be done by a clock that is doubted. @throws Error; the job is tried again */
export async function requireTrustedClock(tx: UnitOfWork): Promise<void> {
  const [row] = await tx.query<{ now: number }>({
    name: "database_clock",
    text: "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now",
  });
  clockWatch.requireTrusted((row as { now: number }).now);
}
