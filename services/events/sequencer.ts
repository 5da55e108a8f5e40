import type { Database } from "../../mixins/database/database.ts";
import type { Shard } from "../../mixins/database/shard.ts";
import type { FeedAdvanced } from "../../mixins/events/feed.ts";
import { eventsSequenced } from "../../mixins/process/metrics.ts";
import { Poller } from "../../mixins/concurrency/poller.ts";
import { placeEvents } from "./events.repository.ts";
import { announcements } from "./events.rules.ts";
import { callsFor, ring, type Subscriptions } from "./subscriptions.ts";

const batchSize = 500;
/** How late an event's place may be when the hint of its commit was lost. */
const pollEveryMs = 500;
/** Pause between rounds under steady load: a round for 10 events costs PostgreSQL less than twice one for 2. */
const restMs = 15;

/**
 * Gives the events of every shard their places, wakes their listeners and announces them. Any number of nodes may do so at once: they
 * take turns by a lock in the database, so a node that was hinted of a commit has seen it when its round ends.
 *
 * Die before a round's COMMIT: nothing happened. Die after it: the announcement is lost, which costs latency.
 */
export class Sequencer {
  readonly #database: Database;
  readonly #subscriptions: Subscriptions;
  readonly #announce: (hint: FeedAdvanced) => void;
  readonly #pollers: Map<Shard, Poller>;

  constructor(
    database: Database,
    subscriptions: Subscriptions,
    options: { announce: (hint: FeedAdvanced) => void; onError: (error: Error) => void },
  ) {
    this.#database = database;
    this.#subscriptions = subscriptions;
    this.#announce = options.announce;
    this.#pollers = new Map(
      database.shards.map((shard) => [
        shard,
        new Poller({
          name: `sequencer of ${shard.name}`,
          everyMs: pollEveryMs,
          restMs,
          run: () => this.#placeBatch(shard),
          onError: options.onError,
        }),
      ]),
    );
  }

  start(): void {
    for (const poller of this.#pollers.values()) poller.start();
  }

  /** Says that a commit appended events of this organization. */
  kick(organizationId: string): void {
    this.#pollers.get(this.#database.shardOf(organizationId))?.kick();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#pollers.values()].map((poller) => poller.stop()));
  }

  async #placeBatch(shard: Shard): Promise<boolean> {
    const placed = await this.#database.transaction({ platform: shard }, async (tx) => {
      const events = await placeEvents(tx, batchSize);
      await ring(tx, callsFor(this.#subscriptions, events));
      return events;
    });
    eventsSequenced.inc(placed.length);
    for (const hint of announcements(placed)) this.#announce(hint);
    return placed.length === batchSize;
  }
}
