import { publicEvent, type FeedAdvanced, type SequencedEvent } from "../../../mixins/events/feed.ts";

/** Where a feed reads what no hint brought: PostgreSQL. */
export interface FeedSource {
  /** The newest seq. */
  head(): Promise<number>;
  /** Events after `after` in order, up to `most` and `mostBytes`; none only at the feed's end. */
  read(after: number, most: number, mostBytes: number): Promise<SequencedEvent[]>;
}

/** An event as it goes to readers, encoded once for all of them. */
export interface FeedItem {
  event: SequencedEvent;
  /** A Socket.IO packet: type 2 (EVENT) of the main namespace, see the Socket.IO protocol, revision 5. */
  message: string;
}

/** Somebody who follows the feed. */
export interface FeedReader {
  /** Everything up to here was pushed to it. */
  readonly sentSeq: number;
  /** Takes the events after `sentSeq` of these, which come in order and leave nothing out. */
  push(items: readonly FeedItem[]): void;
}

/** A read for readers that are behind, in order. Nothing of the feed up to `looked` stands between or behind them but what has been dropped. */
export interface Replay {
  items: readonly FeedItem[];
  /** The feed's cursor when the read began. */
  looked: number;
}

/** What is read at once, for all readers. */
export const page = { events: 500, bytes: 1024 * 1024 };
/** What is read at once for a reader that is behind: so much waits for each socket that has stopped reading. */
const replayBytes = 256 * 1024;
/** Newest events kept in memory: who reconnects after a moment is served without the database. In characters of messages. */
const recent = { events: 256, size: 1024 * 1024 };

/**
 * The feed of one organization in this process, one contiguous line: everything up to `cursor` has gone to
 * every live reader. Hints only make it move; what they leave out is read from the source, in order.
 */
export class OrganizationFeed {
  readonly #source: FeedSource;
  readonly #onError: (error: Error) => void;
  readonly #live = new Set<FeedReader>();
  #recent: FeedItem[] = [];
  #recentSize = 0;
  #cursor = 0;
  /** There are events up to here, as far as is known. */
  #target = 0;
  #isOpen = false;
  #reading: Promise<void> | undefined;
  /** Reads under way, by where they begin and how much they take: readers that were cut off together ask for the same. */
  readonly #replays = new Map<string, Promise<Replay>>();

  constructor(source: FeedSource, onError: (error: Error) => void) {
    this.#source = source;
    this.#onError = onError;
  }

  get cursor(): number {
    return this.#cursor;
  }

  /** Finds the feed's end, and takes its newest events into memory. */
  async open(): Promise<void> {
    const head = await this.#source.head();
    this.#cursor = Math.max(0, head - recent.events);
    while (this.#cursor < head) {
      const events = await this.#source.read(this.#cursor, recent.events, page.bytes);
      if (events.length === 0) this.#cursor = head;
      this.#deliver(events);
    }
    this.#isOpen = true;
    this.reach(this.#target);
  }

  /** Hears a hint: passes its events on if they are next, else reads what is missing. */
  advance({ from, head, events }: FeedAdvanced): void {
    if (this.#isOpen && events && from <= this.#cursor + 1) this.#deliver(events);
    else this.reach(head);
  }

  /** Makes sure that the events up to `head` are delivered, in a while. */
  reach(head: number): void {
    this.#target = Math.max(this.#target, head);
    this.#catchUp().catch(this.#onError);
  }

  /**
   * Where a reader who has seen everything up to `since` goes on: after the returned seq. `oldest` is set when
   * events in between are no longer kept. Without `since` it goes on from the feed's end.
   */
  async locate(since: number | undefined): Promise<{ after: number; oldest?: number }> {
    if (since === undefined) return { after: this.#cursor };
    if (since > this.#cursor) {
      // asked first: a hint may raise the target while this waits, and must not be undone
      const head = await this.#source.head();
      this.#target = Math.max(this.#target, head);
      await this.#catchUp();
    }
    const end = this.#cursor;
    // a place that was never reached: the database is an older one than whoever was there has seen
    if (since > end) return { after: end, oldest: end + 1 };
    if (since === end) return { after: end };
    if (this.#isInMemory(since + 1)) return { after: since };
    const { items, looked } = await this.#replay(since, 1, 1);
    const oldest = items[0]?.event.seq ?? looked + 1;
    return oldest === since + 1 ? { after: since } : { after: oldest - 1, oldest };
  }

  /** Events after `after`, for a reader that is behind. */
  read(after: number): Promise<Replay> {
    return this.#replay(after, page.events, replayBytes);
  }

  /** Lets a reader follow live, after pushing the little it lacks; false while it lacks more than is in memory. */
  join(reader: FeedReader): boolean {
    const isBehind = reader.sentSeq < this.#cursor;
    if (isBehind && !this.#isInMemory(reader.sentSeq + 1)) return false;
    // added first: a reader that is too slow for the push leaves during it
    this.#live.add(reader);
    if (isBehind) reader.push(this.#recent);
    return true;
  }

  leave(reader: FeedReader): void {
    this.#live.delete(reader);
  }

  /** One read for all who ask for it while it is under way. */
  #replay(after: number, most: number, mostBytes: number): Promise<Replay> {
    const key = `${after} ${most}`;
    const known = this.#replays.get(key);
    if (known) return known;
    const looked = this.#cursor;
    const replay = this.#source
      .read(after, most, mostBytes)
      .then((events) => ({ items: events.map(feedItem), looked }))
      .finally(() => this.#replays.delete(key));
    this.#replays.set(key, replay);
    return replay;
  }

  #isInMemory(seq: number): boolean {
    const [first] = this.#recent;
    return first !== undefined && first.event.seq <= seq;
  }

  #deliver(events: readonly SequencedEvent[]): void {
    const items = events.filter((event) => event.seq > this.#cursor).map(feedItem);
    const last = items.at(-1);
    if (!last) return;
    this.#cursor = last.event.seq;
    this.#remember(items);
    for (const reader of this.#live) reader.push(items);
  }

  #remember(items: readonly FeedItem[]): void {
    this.#recent.push(...items);
    for (const { message } of items) this.#recentSize += message.length;
    let surplus = Math.max(0, this.#recent.length - recent.events);
    for (const [index, { message }] of this.#recent.entries()) {
      if (index >= surplus && this.#recentSize <= recent.size) break;
      this.#recentSize -= message.length;
      surplus = Math.max(surplus, index + 1);
    }
    if (surplus > 0) this.#recent = this.#recent.slice(surplus);
  }

  /** Reads up to the target, one read at a time. */
  #catchUp(): Promise<void> {
    if (!this.#isOpen || this.#cursor >= this.#target) return Promise.resolve();
    return (this.#reading ??= this.#readOn());
  }

  async #readOn(): Promise<void> {
    try {
      while (this.#cursor < this.#target) {
        const events = await this.#source.read(this.#cursor, page.events, page.bytes);
        // a hint of events that are not there is forgotten; the next look at the heads sets it right
        if (events.length === 0) this.#target = this.#cursor;
        this.#deliver(events);
      }
    } finally {
      this.#reading = undefined;
    }
  }
}

function feedItem(event: SequencedEvent): FeedItem {
  return { event, message: `2["event",${JSON.stringify(publicEvent(event))}]` };
}
