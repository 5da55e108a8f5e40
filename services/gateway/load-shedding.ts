import type { IncomingMessage } from "node:http";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, Gauge } from "prom-client";
import { registry } from "../../mixins/process/metrics.ts";
import type { Route } from "./routes.ts";

/** How often the limit is set anew: a burst that is over by then is no overload. */
const sampleMs = 500;
/** Above the upper bound the limit shrinks, below the lower it grows, between them it stays. */
const delayMs = { shrinkAbove: 100, growBelow: 50 };
const databasePressure = { shrinkAbove: 0.5, growBelow: 0.25 };
/** However slow this process is, so many requests are let in. */
const leastInFlight = 32;
/**
 * A refusal is held back this long. A client that asks again at once would otherwise take the time for those let in
 * (measured: 5,000 refusals a second left a twentieth of the useful answers); a held one costs a socket and a timer.
 */
const leastPauseMs = 500;
/** So many may be held; further ones go at once. */
const mostHeld = 5_000;
/** Part of the limit that long or optional work may fill. */
const lowShare = 0.5;

/** `vital` is never refused; `low` (exports, imports, lists with a count) is refused first. */
export type Priority = "vital" | "normal" | "low";

const shedRequests = new Counter({
  name: "http_requests_shed_total",
  help: "Requests refused because this process has more than it can do",
  labelNames: ["priority"] as const,
  registers: [registry],
});
const inFlightLimit = new Gauge({
  name: "http_requests_in_flight_limit",
  help: "Requests this process lets in at once, at present",
  registers: [registry],
});
const inFlight = new Gauge({
  name: "http_requests_in_flight",
  help: "Requests let in and not yet answered",
  registers: [registry],
});

/**
 * Refuses requests before a queue grows: those let in are answered in bounded time, the others at once. The limit of
 * requests in flight shrinks by two fifths at each sample while the event loop is late or calls queue for the
 * database, and grows by half while neither is so.
 */
export class LoadShedding {
  readonly #mostInFlight: number;
  readonly #pressure: () => number;
  readonly #eventLoop: ReturnType<typeof monitorEventLoopDelay>;
  readonly #timer: NodeJS.Timeout;
  #limit: number;
  #inFlight = 0;
  #held = 0;

  /** @param options.pressure how full the line for database connections is, 0 to 1 */
  constructor(options: { mostInFlight: number; pressure: () => number }) {
    this.#mostInFlight = options.mostInFlight;
    this.#pressure = options.pressure;
    this.#limit = options.mostInFlight;
    inFlightLimit.set(this.#limit);
    this.#eventLoop = monitorEventLoopDelay({ resolution: 10 });
    this.#eventLoop.enable();
    this.#timer = setInterval(() => this.#sample(), sampleMs).unref();
  }

  /** A place for a request that can be given back and taken again; undefined: refuse it. */
  place(priority: Priority): Place | undefined {
    return this.enter(priority) ? new Place(this, priority) : undefined;
  }

  /** A place for a request, to be given back by `leave`; false: refuse it. */
  enter(priority: Priority): boolean {
    const limit = priority === "low" ? this.#limit * lowShare : this.#limit;
    if (priority !== "vital" && this.#inFlight >= limit) {
      shedRequests.labels(priority).inc();
      return false;
    }
    inFlight.set(++this.#inFlight);
    return true;
  }

  leave(): void {
    inFlight.set(--this.#inFlight);
  }

  /** How long to hold back a refusal, in ms; spread, so that they do not come back together. */
  pauseMs(): number {
    if (this.#held >= mostHeld) return 0;
    this.#held++;
    const ms = leastPauseMs * (1 + Math.random());
    setTimeout(() => this.#held--, ms).unref();
    return ms;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#eventLoop.disable();
  }

  #sample(): void {
    const lateMs = this.#eventLoop.mean / 1e6;
    this.#eventLoop.reset();
    this.#limit = nextLimit(this.#limit, this.#mostInFlight, { lateMs, pressure: this.#pressure() });
    inFlightLimit.set(Math.floor(this.#limit));
  }
}

/** The place of one request among those this process works on. */
export class Place {
  readonly #shedding: LoadShedding;
  readonly #priority: Priority;
  #isHeld = true;
  #isOver = false;

  constructor(shedding: LoadShedding, priority: Priority) {
    this.#shedding = shedding;
    this.#priority = priority;
  }

  /** Gives it back while the request waits for its client. */
  leave(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#shedding.leave();
  }

  /** Takes one again; false: there is none now, or the request is over. */
  enter(): boolean {
    if (!this.#isOver) this.#isHeld ||= this.#shedding.enter(this.#priority);
    return this.#isHeld;
  }

  /** Gives it back for good: a client may leave while its body is still unpacked or written down. */
  end(): void {
    this.#isOver = true;
    this.leave();
  }
}

/** @param signals.lateMs mean time between two looks of a 10 ms timer; NaN when it never came */
export function nextLimit(
  limit: number,
  most: number,
  signals: { lateMs: number; pressure: number },
): number {
  const { lateMs, pressure } = signals;
  if (lateMs > delayMs.shrinkAbove || pressure > databasePressure.shrinkAbove)
    return Math.max(Math.min(leastInFlight, most), limit * 0.6);
  if (lateMs < delayMs.growBelow && pressure < databasePressure.growBelow)
    return Math.min(most, limit * 1.5 + 1);
  return limit;
}

const vital = /^\/(api\/)?health(\/|$|\?)|^\/api\/(v\d+|latest)\/auth\/logout$/;

/** Tells how much each request to these routes matters. */
export function priorities(
  routes: readonly Route[],
): (request: Pick<IncomingMessage, "method" | "url">) => Priority {
  const transfers = routes
    .filter(({ spec }) => (spec.transfer ?? "json") !== "json")
    .map(({ method, path }) => ({
      method,
      pattern: new RegExp(`^/api/[^/]+${path.replace(/:\w+/g, "[^/]+")}(\\?|$)`),
    }));
  return ({ method, url = "" }) => {
    if (vital.test(url)) return "vital";
    if ((method === "GET" || method === "HEAD") && /[?&]count=true/.test(url)) return "low";
    const read = method === "HEAD" ? "GET" : method;
    for (const route of transfers) if (route.method === read && route.pattern.test(url)) return "low";
    return "normal";
  };
}
