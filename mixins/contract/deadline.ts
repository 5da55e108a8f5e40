import { randomBytes } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { Context, Middleware } from "moleculer";
import { appError } from "./errors.ts";
import { expiredCalls } from "../process/metrics.ts";

/** For how long the fastest delivery from a peer is remembered, at least; at most twice as long. */
const windowMs = 15_000;

/** What the sender adds to every packet: which clock, and when it was sent by that clock. */
interface Stamp {
  clock?: string;
  sentAt?: number;
}
type Packet = { payload: (Stamp & { timeout?: number | null }) | undefined };

/**
 * Ages of packets from other processes, without a common clock. Arrival by our steady clock minus sending by the peer's
 * is the difference of the two clocks plus the way; the smallest such sum seen lately stands for the
 * difference, and what a packet has above it is its age. Heartbeats (1 s) keep it fresh. Wall clocks play no part.
 */
export class PeerClocks {
  readonly #lowest = new LRUCache<string, { current: number; previous: number; until: number }>({
    max: 1000,
  });

  /** Milliseconds a packet waited beyond the fastest way from this peer. `now` is of any steady clock. */
  ageOf(clock: string, sentAt: number, now: number): number {
    const difference = now - sentAt;
    const seen = this.#lowest.get(clock);
    if (seen === undefined) {
      this.#lowest.set(clock, { current: difference, previous: Infinity, until: now + windowMs });
      return 0;
    }
    if (now < seen.until) {
      seen.current = Math.min(seen.current, difference);
    } else {
      // the old window counts for one more: after a stop of any length it is what late packets are measured by
      seen.previous = seen.current;
      seen.current = difference;
      seen.until = now + windowMs;
    }
    return Math.max(0, difference - Math.min(seen.current, seen.previous));
  }
}

/**
 * Makes a call's deadline hold wherever it waits: in a stopped process, in NATS, in a buffer of a lost
 * connection. Moleculer sends what is left of a call's time with it; here the time it was under way is taken off at
 * its arrival, and a call with nothing left is refused before its handler. See docs/decisions/0008-deadlines.md.
 *
 * @param longestWayMs a call under way for longer is refused in any case: its caller counts this node as lost by then
 */
export function deadlineMiddleware(longestWayMs: number): Middleware {
  const clock = randomBytes(4).toString("hex");
  const peers = new PeerClocks();
  return {
    name: "Deadline",
    transitPublish: (next: (packet: Packet) => unknown) => (packet: Packet) => {
      Object.assign((packet.payload ??= {}), { clock, sentAt: Math.round(performance.now()) });
      return next(packet);
    },
    transitMessageHandler: (next: (command: string, packet: Packet) => unknown) => {
      return (command: string, packet: Packet) => {
        const { payload } = packet;
        if (payload?.clock !== undefined && payload.sentAt !== undefined) {
          const age = peers.ageOf(payload.clock, payload.sentAt, performance.now());
          // zero would mean that there is no limit
          if (age >= Math.min(payload.timeout || Infinity, longestWayMs)) payload.timeout = -1;
          else if (payload.timeout) payload.timeout -= age;
        }
        return next(command, packet);
      };
    },
    localAction: (next: (ctx: Context) => Promise<unknown>, action: { name: string }) => (ctx: Context) => {
      if ((ctx.options.timeout ?? 0) >= 0) return next(ctx);
      expiredCalls.labels(action.name).inc();
      return Promise.reject(deadlineExceeded());
    },
  } as unknown as Middleware; // the types give these hooks the results of what they wrap
}

/** The caller has given up; nothing was done. */
export const deadlineExceeded = () =>
  appError(503, "DEADLINE_EXCEEDED", "The time for this was over before it was done; nothing was changed.");

/** Milliseconds a call has left; Infinity without a limit. */
export function remainingMs(ctx: { options: { timeout?: number | null } }): number {
  const { timeout } = ctx.options;
  const { startHrTime } = ctx as { startHrTime?: [number, number] | null };
  if (!timeout || !startHrTime) return Infinity;
  const [seconds, nanoseconds] = process.hrtime(startHrTime);
  return timeout - seconds * 1000 - nanoseconds / 1e6;
}
