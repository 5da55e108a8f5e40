import type { SequencedEvent } from "../../mixins/events/feed.ts";
import { OrganizationFeed, type FeedSource } from "../../services/gateway/realtime/organization-feed.ts";
import { Outbox } from "../../services/gateway/realtime/outbox.ts";
import { Subscription } from "../../services/gateway/realtime/subscription.ts";

/** Hears of no error. */
export const fail = (error: Error) => {
  throw error;
};
/** The next turn of the event loop. */
export const turn = () => new Promise<void>((done) => setImmediate(done));

/** A feed in memory. A read answers what was there when it began, some turns later. */
export class MemorySource implements FeedSource {
  readonly events: SequencedEvent[] = [];
  reads = 0;
  slowness = () => 1;
  /** Characters of the data of the events to come. */
  dataSize = 0;
  /** Events that fit into a read, were they large. */
  fitting = Infinity;

  append(count: number): SequencedEvent[] {
    const added = Array.from({ length: count }, () => {
      const seq = (this.events.at(-1)?.seq ?? 0) + 1;
      const event = {
        ...{ seq, id: `id-${seq}`, type: "lead.created", entity: { kind: "lead", id: "l", version: seq } },
        ...{ actorId: null, occurredAt: "2026-01-01T00:00:00.000Z", audience: null },
        data: "x".repeat(this.dataSize),
      };
      this.events.push(event);
      return event;
    });
    return added;
  }

  async head() {
    return this.#later(this.events.at(-1)?.seq ?? 0);
  }

  async read(after: number, most: number, mostBytes: number) {
    this.reads++;
    let bytes = 0;
    const start = Math.max(0, after + 1 - (this.events[0]?.seq ?? 1));
    const events = this.events
      .slice(start, start + Math.min(most, this.fitting))
      .filter(({ data }, index) => (bytes += (data as string).length) <= mostBytes || index === 0);
    return this.#later(events);
  }

  async #later<T>(answer: T): Promise<T> {
    for (let turns = this.slowness(); turns > 0; turns--) await turn();
    return answer;
  }
}

/** What a gateway is told of events that were appended. */
export function hintOf(events: SequencedEvent[], withEvents = true) {
  const [first] = events;
  const hint = { organizationId: "o", from: first?.seq ?? 0, head: events.at(-1)?.seq ?? 0 };
  return withEvents ? { ...hint, events } : hint;
}

/** A socket that takes everything at once, and the seqs it was sent. */
export function follow(feed: OrganizationFeed, after: number) {
  const seqs: number[] = [];
  const outbox = new Outbox(
    {
      send(message, _options, onSent) {
        seqs.push((JSON.parse(message.slice(1)) as [string, { seq: number }])[1].seq);
        queueMicrotask(onSent);
      },
    },
    { size: 0 },
  );
  const subscription = new Subscription({
    feed,
    outbox,
    isVisible: () => true,
    after,
    onSlow: () => undefined,
  });
  return { seqs, subscription, live: subscription.start() };
}

/** A feed over `source`, open at its end. */
export async function openFeed(source: MemorySource) {
  const feed = new OrganizationFeed(source, fail);
  await feed.open();
  return feed;
}
/** Both ends are in it. */
export const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);
/** Long enough for whatever is under way. */
export const idle = async () => {
  for (let turns = 0; turns < 200; turns++) await turn();
};
/** Waits, for a bounded number of turns, until something is so. */
export async function settle(isSettled: () => boolean) {
  for (let turns = 0; turns < 10_000 && !isSettled(); turns++) await turn();
}
