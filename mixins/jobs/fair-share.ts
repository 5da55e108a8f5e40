/** Jobs of one organization that share a priority. */
const jobsPerLevel = 50;
/** Levels an organization sinks back in a second without new jobs. */
const levelsPerSecond = 2;
/** smallint, as Graphile Worker keeps it. */
const lastLevel = 32_000;
const mostRemembered = 50_000;

/**
 * Spreads an organization's jobs over priorities, so that its hundred-thousandth waits behind the first of another:
 * each 50 jobs fill a level, and workers take lower levels first. A level drains with time. Each process counts
 * what it adds itself; a node that begins anew knows nothing, which costs others one level's wait.
 */
export class FairShare {
  readonly #now: () => number;
  readonly #filled = new Map<string, { jobs: number; at: number }>();

  /** @param now milliseconds, rising */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** The priorities of the next `count` jobs of an organization, 0 (first) to 32,000. */
  take(organizationId: string, count: number): number[] {
    const now = this.#now();
    const before = this.#filled.get(organizationId) ?? { jobs: 0, at: now };
    const drained = ((now - before.at) / 1000) * levelsPerSecond * jobsPerLevel;
    const jobs = Math.max(0, before.jobs - drained);
    this.#filled.delete(organizationId);
    this.#filled.set(organizationId, { jobs: jobs + count, at: now });
    if (this.#filled.size > mostRemembered) this.#forgetOldest();
    return Array.from({ length: count }, (_, index) =>
      Math.min(lastLevel, Math.floor((jobs + index) / jobsPerLevel)),
    );
  }

  #forgetOldest(): void {
    const [oldest] = this.#filled.keys();
    if (oldest !== undefined) this.#filled.delete(oldest);
  }
}
