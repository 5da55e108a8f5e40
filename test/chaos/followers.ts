import { setTimeout } from "node:timers/promises";
import { io, type Socket } from "socket.io-client";
import { Client } from "../support/client.ts";
import type { Cluster } from "./cluster.ts";
import type { GoodClient } from "./good-client.ts";
import type { Seeded } from "./seeded.ts";

/** An event as a follower was sent it. */
export interface Seen {
  seq: number;
  type: string;
  entity: { id: string; version: number };
}
/** Somebody who wants every event of the organization, from the first on. */
export interface Follower {
  name: string;
  seen: Seen[];
  /** Longest time from an event's transaction to its arrival since the last time this was asked, ms. */
  takeLongestDelay(): number;
  close(): Promise<void>;
}

const readEveryMs = 300;
const connectTimeoutMs = 3_000;

/** Keeps what comes, as it comes: sorting or sifting would hide what is to be found. */
class Notes {
  readonly seen: Seen[] = [];
  #longestMs = 0;

  get last(): number {
    return this.seen.at(-1)?.seq ?? 0;
  }
  add({ seq, type, entity, occurredAt }: Seen & { occurredAt: string }): void {
    this.seen.push({ seq, type, entity });
    this.#longestMs = Math.max(this.#longestMs, Date.now() - Date.parse(occurredAt));
  }
  takeLongestDelay(): number {
    const longest = this.#longestMs;
    this.#longestMs = 0;
    return longest;
  }
}

/** Follows over a socket; when that is cut it goes on at another gateway from where it was. */
export function followBySocket(
  name: string,
  options: { cluster: Cluster; client: GoodClient; seeded: Seeded },
): Follower {
  const { cluster, client, seeded } = options;
  const notes = new Notes();
  let socket: Socket | undefined;
  let isOver = false;
  let origin = "";

  const connect = () => {
    if (isOver) return;
    const others = cluster.origins.filter((each) => each !== origin);
    origin = seeded.pick(others.length > 0 ? others : cluster.origins);
    const current = io(origin, {
      auth: { token: client.token },
      transports: ["websocket"],
      forceNew: true,
      reconnection: false,
      timeout: connectTimeoutMs,
    });
    socket = current;
    let isGivenUp = false;
    const giveUp = () => {
      if (isGivenUp) return;
      isGivenUp = true;
      current.disconnect();
      void setTimeout(seeded.between(100, 500)).then(connect);
    };
    current.on("event", (event: Seen & { occurredAt: string }) => {
      if (!isGivenUp) notes.add(event);
    });
    current.on("gap", giveUp);
    current.on("disconnect", giveUp);
    current.on("connect_error", giveUp);
    current.on("connect", () => {
      const asked = current.timeout(connectTimeoutMs).emitWithAck("subscribe", { since: notes.last });
      asked.then((ack: { ok: boolean }) => !ack.ok && giveUp()).catch(giveUp);
    });
  };
  connect();
  return {
    name,
    seen: notes.seen,
    takeLongestDelay: () => notes.takeLongestDelay(),
    close() {
      isOver = true;
      socket?.disconnect();
      return Promise.resolve();
    },
  };
}

/** Follows by asking for what has come since, each time at some gateway. */
export function followByReading(options: { cluster: Cluster; client: GoodClient; seeded: Seeded }): Follower {
  const { cluster, client, seeded } = options;
  const notes = new Notes();
  let isOver = false;
  const read = async () => {
    while (!isOver) {
      const headers = { authorization: `Bearer ${client.token}` };
      const asked = new Client(seeded.pick(cluster.origins)).get(`/events?since=${notes.last}`, headers);
      const answer = await Promise.race([asked, setTimeout(5_000, undefined, { ref: false })]).catch(
        () => undefined,
      );
      const events =
        answer?.status === 200 ? (answer.body as { data: (Seen & { occurredAt: string })[] }).data : [];
      for (const event of events) notes.add(event);
      if (events.length === 0) await setTimeout(readEveryMs);
    }
  };
  const reading = read();
  return {
    name: "reader",
    seen: notes.seen,
    takeLongestDelay: () => notes.takeLongestDelay(),
    async close() {
      isOver = true;
      await reading;
    },
  };
}
