import type { Database } from "../../../mixins/database/database.ts";
import { readFeed, readFeedHead, type FeedAdvanced } from "../../../mixins/events/feed.ts";
import { Semaphore } from "../../../mixins/concurrency/semaphore.ts";
import { OrganizationFeed, type FeedSource } from "./organization-feed.ts";

/** The feeds that have subscribers in this process. */
export class Feeds {
  readonly #database: Database;
  readonly #onError: (error: Error) => void;
  readonly #held = new Map<string, { feed: OrganizationFeed; opened: Promise<void>; holders: number }>();
  // a gateway that takes over thousands of sockets must leave connections to those who call
  readonly #reads = new Semaphore({ atOnce: 4, mostWaiting: 100_000 });

  constructor(database: Database, onError: (error: Error) => void) {
    this.#database = database;
    this.#onError = onError;
  }

  /** The organization's feed, opened; give it back with `release`. */
  async acquire(organizationId: string): Promise<OrganizationFeed> {
    let entry = this.#held.get(organizationId);
    if (!entry) {
      const feed = new OrganizationFeed(this.#source(organizationId), this.#onError);
      entry = { feed, opened: feed.open(), holders: 0 };
      this.#held.set(organizationId, entry);
    }
    entry.holders++;
    try {
      await entry.opened;
    } catch (error) {
      // whoever comes next tries anew
      if (this.#held.get(organizationId) === entry) this.#held.delete(organizationId);
      throw error;
    }
    return entry.feed;
  }

  release(organizationId: string): void {
    const entry = this.#held.get(organizationId);
    if (entry && --entry.holders === 0) this.#held.delete(organizationId);
  }

  advance(hint: FeedAdvanced): void {
    this.#held.get(hint.organizationId)?.feed.advance(hint);
  }

  /** Asks every shard how far its feeds are, in case a hint was lost. */
  async checkHeads(): Promise<void> {
    const byShard = Map.groupBy(this.#held.keys(), (organizationId) =>
      this.#database.shardOf(organizationId),
    );
    await Promise.all(
      [...byShard].map(async ([shard, organizationIds]) => {
        const heads = await this.#database.transaction({ platform: shard }, (tx) =>
          tx.query<{ organization_id: string; seq: string }>({
            name: "feed_heads",
            text: "SELECT organization_id, seq FROM event_heads WHERE organization_id = ANY ($1)",
            values: [organizationIds],
          }),
        );
        for (const { organization_id, seq } of heads)
          this.#held.get(organization_id)?.feed.reach(Number(seq));
      }),
    );
  }

  #source(organizationId: string): FeedSource {
    return {
      head: () => this.#reads.run(() => this.#database.transaction({ organizationId }, readFeedHead)),
      read: async (after, most, mostBytes) => {
        const page = await this.#reads.run(() =>
          this.#database.transaction({ organizationId }, (tx) => readFeed(tx, after, most, mostBytes)),
        );
        return page.events;
      },
    };
  }
}
