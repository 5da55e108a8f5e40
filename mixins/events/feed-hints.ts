/**
 * Thins hints that events were appended: the sequencer takes all there is of a shard, so one hint each few
 * milliseconds and shard says as much as thousands. The first goes out at once, and one always follows the last.
 */
export class FeedHints {
  readonly #send: (organizationId: string) => void;
  readonly #pauseMs: number;
  /** Shards that were hinted in the last `pauseMs`, with the organization to name next if there was another. */
  readonly #pausing = new Map<string, string | undefined>();

  /** @param pauseMs least time between two hints of a shard */
  constructor(send: (organizationId: string) => void, pauseMs = 5) {
    this.#send = send;
    this.#pauseMs = pauseMs;
  }

  /** Says that a commit appended events of this organization, which lives in this shard. */
  hint(shard: string, organizationId: string): void {
    if (this.#pausing.has(shard)) {
      this.#pausing.set(shard, organizationId);
      return;
    }
    this.#pausing.set(shard, undefined);
    setTimeout(() => {
      const next = this.#pausing.get(shard);
      this.#pausing.delete(shard);
      if (next !== undefined) this.hint(shard, next);
    }, this.#pauseMs).unref();
    this.#send(organizationId);
  }
}
