import type { FilteredEvent } from "../../../mixins/events/feed-filter.ts";
import type { FeedItem, FeedReader, OrganizationFeed } from "./organization-feed.ts";
import type { Outbox } from "./outbox.ts";

/**
 * One socket's way through the feed. It begins replaying, a page at a time and no faster than the socket
 * drains, and once the feed's memory reaches back to where it stands it follows live. Each event passes
 * exactly once and in order: `sentSeq` only grows, and nothing is pushed but what follows it.
 */
export class Subscription implements FeedReader {
  /** Replaced when the rights of the socket change. */
  isVisible: (event: FilteredEvent) => boolean;
  readonly #feed: OrganizationFeed;
  readonly #outbox: Outbox;
  readonly #onSlow: () => void;
  #sentSeq: number;
  #isClosed = false;

  /** @param options.after the seq up to which the socket has seen the feed */
  constructor(options: {
    feed: OrganizationFeed;
    outbox: Outbox;
    isVisible: (event: FilteredEvent) => boolean;
    after: number;
    onSlow: () => void;
  }) {
    this.#feed = options.feed;
    this.#outbox = options.outbox;
    this.isVisible = options.isVisible;
    this.#sentSeq = options.after;
    this.#onSlow = options.onSlow;
  }

  get sentSeq(): number {
    return this.#sentSeq;
  }

  /** Replays, then follows live. Resolves when it is live or closed, or has been told to go. */
  async start(): Promise<void> {
    while (!this.#isClosed && !this.#feed.join(this)) {
      const { items, looked } = await this.#feed.read(this.#sentSeq);
      if (this.#outbox.isCrowded) return this.#onSlow();
      // events up to there were committed: if the read found none after sentSeq, retention has dropped them
      if (items.length === 0) this.#sentSeq = Math.max(this.#sentSeq, looked);
      this.push(items);
      await this.#outbox.drained();
    }
  }

  push(items: readonly FeedItem[]): void {
    if (this.#isClosed) return;
    if (this.#outbox.isOverfull) {
      this.#onSlow();
      return;
    }
    const messages: string[] = [];
    for (const { event, message } of items) {
      if (event.seq <= this.#sentSeq) continue;
      this.#sentSeq = event.seq;
      if (this.isVisible(event)) messages.push(message);
    }
    this.#outbox.send(messages);
  }

  close(): void {
    this.#isClosed = true;
    this.#feed.leave(this);
  }
}
