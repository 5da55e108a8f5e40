import { setTimeout as sleep } from "node:timers/promises";
import { io, type ManagerOptions, type Socket, type SocketOptions } from "socket.io-client";

interface FeedEvent {
  seq: number;
  occurredAt: string;
}
type Ack = { ok: true; head: number } | { ok: false; code: string };

const ackTimeoutMs = 20_000;

/** Times are of performance.now(), NaN what has not come yet. */
export interface Way {
  disconnectedAt: number;
  connectedAt: number;
  subscribedAt: number;
  /** It had every event up to the feed's head as it was when it subscribed. */
  caughtUpAt: number;
}
/** How what a client saw differs from the feed. */
export interface Judgement {
  missed: number;
  doubled: number;
  outOfOrder: number;
}

/**
 * A client program as docs/api.md advises one: Socket.IO's own reconnection, and `subscribe` with the last seq it saw at each
 * connect. It keeps what comes as it comes: sifting would hide what is to be found.
 */
export class ResumingClient {
  /** Every event's, in the order it came. */
  readonly seqs: number[] = [];
  /** Everything up to here was seen. */
  last: number;
  /** Since its last disconnect. */
  way: Way = { disconnectedAt: NaN, connectedAt: NaN, subscribedAt: NaN, caughtUpAt: NaN };
  /** From an event's transaction until it came, ms; may be set back to 0. */
  longestLagMs = 0;
  disconnects = 0;
  /** Tries of Socket.IO to reconnect. */
  attempts = 0;
  readonly #socket: Socket;
  readonly #since: number;
  #head = Infinity;
  #isClosed = false;

  /**
   * @param options.since what it has seen before
   * @param options.onRefusal hears the codes with which servers refuse, and why none was reached
   * @param options.socket settings of Socket.IO beside its own defaults
   */
  constructor(
    url: string,
    options: {
      token: string;
      since: number;
      onRefusal?: (why: string) => void;
      socket?: Partial<ManagerOptions & SocketOptions>;
    },
  ) {
    const { token, since, onRefusal = () => undefined } = options;
    this.#since = since;
    this.last = since;
    const socket = io(url, {
      auth: { token },
      transports: ["websocket"],
      forceNew: true,
      ...options.socket,
    });
    this.#socket = socket;
    socket.on("event", (event: FeedEvent) => this.#see(event));
    socket.on("gap", () => onRefusal("gap"));
    socket.on("disconnect", () => {
      this.disconnects++;
      this.#head = Infinity;
      this.way = {
        disconnectedAt: performance.now(),
        connectedAt: NaN,
        subscribedAt: NaN,
        caughtUpAt: NaN,
      };
    });
    socket.on("connect", () => {
      this.way.connectedAt = performance.now();
      const { way } = this;
      this.#subscribe().catch((error: Error) => {
        if (way !== this.way) return; // it was disconnected meanwhile, and connects anew
        onRefusal(error.message);
        this.#again();
      });
    });
    socket.on("connect_error", (error) => {
      onRefusal(error.message);
      // whom a server refuses, Socket.IO does not reconnect by itself
      if (!socket.active) this.#again();
    });
    socket.io.on("reconnect_attempt", () => this.attempts++);
  }

  get isSubscribed(): boolean {
    return !Number.isNaN(this.way.subscribedAt);
  }
  get isCaughtUp(): boolean {
    return !Number.isNaN(this.way.caughtUpAt);
  }

  close(): void {
    this.#isClosed = true;
    this.#socket.disconnect();
  }

  /** @param feed seqs of the feed as this client may see it */
  judge(feed: readonly number[]): Judgement {
    const seen = new Set(this.seqs);
    return {
      missed: feed.filter((seq) => seq > this.#since && !seen.has(seq)).length,
      doubled: this.seqs.length - seen.size,
      outOfOrder: this.seqs.filter((seq, index) => seq < (this.seqs[index - 1] ?? 0)).length,
    };
  }

  async #subscribe(): Promise<void> {
    const { way, last: since } = this;
    const ack = (await this.#socket.timeout(ackTimeoutMs).emitWithAck("subscribe", { since })) as Ack;
    if (!ack.ok) throw new Error(ack.code);
    if (way !== this.way) return;
    way.subscribedAt = performance.now();
    this.#head = ack.head;
    this.#look();
  }

  #see({ seq, occurredAt }: FeedEvent): void {
    this.seqs.push(seq);
    this.last = Math.max(this.last, seq);
    this.longestLagMs = Math.max(this.longestLagMs, Date.now() - Date.parse(occurredAt));
    this.#look();
  }

  #look(): void {
    if (!this.isCaughtUp && this.last >= this.#head) this.way.caughtUpAt = performance.now();
  }

  /** Goes on after a second or two. */
  #again(): void {
    this.#socket.disconnect();
    void sleep(1_000 + 1_000 * Math.random()).then(() => {
      if (!this.#isClosed) this.#socket.connect();
    });
  }
}
