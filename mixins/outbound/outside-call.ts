import { setTimeout as sleep } from "node:timers/promises";
import {
  BrokenCircuitError,
  BulkheadRejectedError,
  CircuitState,
  ConsecutiveBreaker,
  bulkhead,
  circuitBreaker,
  handleWhen,
  type BulkheadPolicy,
  type CircuitBreakerPolicy,
} from "cockatiel";
import { deadlineExceeded } from "../contract/deadline.ts";
import { appError, errorType } from "../contract/errors.ts";
import { outsideBreaker, outsideCalls, outsideDuration, secondsSince } from "../process/metrics.ts";
import { OutsideStatusError, isRepeatable } from "./outside-status.ts";

/** Longest that a Retry-After of the other side is waited for within a call. */
const longestPauseMs = 20_000;
const firstBackoffMs = 200;
/** An attempt that its caller's deadline cut short counts as the dependency's failure only when it had this long. */
const fairMs = 5_000;

export interface OutsideOptions {
  /** Longest for one attempt, its wait for a turn included, in ms. Default 30,000. */
  timeoutMs?: number;
  /** Attempts at once. Default 20. */
  atOnce?: number;
  /** Attempts that may wait for their turn; more are refused. Default 100. */
  mostWaiting?: number;
  /** Failures in a row after which nothing is sent for a while. Default 5. */
  opensAfter?: number;
  /** How long that while is, in ms; then one attempt probes. Default 60,000. */
  openForMs?: number;
}

export interface OutsideCall {
  /** Whether it may be sent twice. Only then is it repeated. Default false. */
  isIdempotent?: boolean;
  /** Attempts in all of an idempotent call. Default 3. */
  attempts?: number;
  /** What is left of the caller's time, in ms, for all attempts and pauses: `remainingMs(ctx)`. Default no limit. */
  remainingMs?: number;
  /** The caller's own wish to stop. */
  signal?: AbortSignal;
}

/** Thrown inside only, for an attempt that its caller ended: it says nothing about the dependency. */
class CutShort extends Error {}

/**
 * A dependency outside of Sangam, by whose failures nobody here may be held up: each attempt has a timeout, only so
 * many run at once, and after a few failures in a row none is sent for a while. Make one for each dependency and process;
 * what it knows is this process's alone, so each process finds out for itself.
 */
export class Outside {
  readonly name: string;
  readonly #timeoutMs: number;
  readonly #openForMs: number;
  readonly #breaker: CircuitBreakerPolicy;
  readonly #bulkhead: BulkheadPolicy;
  #openedAt = 0;

  /** @param name short and stable: it is a label of the metrics and stands in messages */
  constructor(name: string, options: OutsideOptions = {}) {
    this.name = name;
    this.#timeoutMs = options.timeoutMs ?? 30_000;
    this.#openForMs = options.openForMs ?? 60_000;
    // a probe that was cut short proves nothing, so it must not close the circuit
    const counts = (error: Error) =>
      !(error instanceof CutShort) || this.#breaker.state === CircuitState.HalfOpen;
    this.#breaker = circuitBreaker(
      handleWhen((error) => counts(error as Error)),
      { halfOpenAfter: this.#openForMs, breaker: new ConsecutiveBreaker(options.opensAfter ?? 5) },
    );
    this.#breaker.onBreak(() => (this.#openedAt = performance.now()));
    const gauge = outsideBreaker.labels(name);
    gauge.set(0);
    this.#breaker.onStateChange((state) => gauge.set(gaugeOf[state]));
    this.#bulkhead = bulkhead(options.atOnce ?? 20, options.mostWaiting ?? 100);
  }

  /**
   * Runs `send` under this dependency's protection.
   * @param send one attempt; it must pass `signal` on, and throw when the answer is not a success (`requireOk`)
   * @throws 503 OUTSIDE_UNAVAILABLE with `retryAfterSeconds`, 504 OUTSIDE_TIMEOUT, 503 DEADLINE_EXCEEDED when no time was left to begin; as they came an OutsideStatusError
   *   below 500 and errors with a public type; the reason of `signal` when that ended it
   */
  async call<T>(send: (signal: AbortSignal) => Promise<T>, call: OutsideCall = {}): Promise<T> {
    const attempts = call.isIdempotent ? (call.attempts ?? 3) : 1;
    const end = performance.now() + (call.remainingMs ?? Infinity);
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(send, end - performance.now(), call.signal);
      } catch (error) {
        if (call.signal?.aborted) throw error;
        const pauseMs = pauseAfter(error, attempt);
        const hasTime = pauseMs <= longestPauseMs && performance.now() + pauseMs < end;
        if (attempt >= attempts || !hasTime || !isRepeatable(error)) throw this.#publicError(error);
        await sleep(pauseMs, undefined, { signal: call.signal });
      }
    }
  }

  async #attempt<T>(
    send: (signal: AbortSignal) => Promise<T>,
    leftMs: number,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    signal?.throwIfAborted();
    if (leftMs <= 0) throw deadlineExceeded();
    const limitMs = Math.min(this.#timeoutMs, leftMs);
    const start = performance.now();
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(this.#timeoutError(limitMs)), limitMs);
    const cancel = () => controller.abort(signal?.reason);
    signal?.addEventListener("abort", cancel, { once: true });
    let outcome = "ok";
    try {
      // while one attempt probes, the others need not wait for what comes of it
      if (this.#breaker.state === CircuitState.HalfOpen) throw new BrokenCircuitError();
      const stop = controller.signal;
      const sent = this.#bulkhead.execute(() => this.#send(send, stop, signal), stop);
      return await untilAborted(sent, stop);
    } catch (error) {
      outcome = signal?.aborted ? "cancelled" : outcomeOf(error);
      throw error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", cancel);
      outsideCalls.labels(this.name, outcome).inc();
      outsideDuration.labels(this.name).observe(secondsSince(start));
    }
  }

  async #send<T>(
    send: (signal: AbortSignal) => Promise<T>,
    stop: AbortSignal,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const start = performance.now();
    let refusal: unknown;
    let isRefused = false;
    try {
      const result = await this.#breaker.execute(async () => {
        try {
          return await untilAborted(send(stop), stop);
        } catch (error) {
          const hadMs = performance.now() - start;
          if (signal?.aborted || (stop.aborted && hadMs < Math.min(fairMs, this.#timeoutMs) * 0.99))
            throw new CutShort("cut short", { cause: error });
          if (!isRefusal(error)) throw error;
          // whoever says no is alive
          refusal = error;
          isRefused = true;
          return undefined;
        }
      });
      if (isRefused) throw refusal;
      return result as T;
    } catch (error) {
      throw error instanceof CutShort ? error.cause : error;
    }
  }

  #publicError(error: unknown): unknown {
    if (isRefusal(error) || errorType(error) === "OUTSIDE_TIMEOUT") return error;
    const isOpen = error instanceof BrokenCircuitError;
    const waitMs = isOpen
      ? this.#openedAt + this.#openForMs - performance.now()
      : error instanceof OutsideStatusError
        ? (error.retryAfterMs ?? 0)
        : 0;
    const unavailable = appError(503, "OUTSIDE_UNAVAILABLE", `${this.name} is not available; try again.`, {
      retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)),
    });
    unavailable.cause = error;
    return unavailable;
  }

  #timeoutError(afterMs: number): Error {
    return appError(
      504,
      "OUTSIDE_TIMEOUT",
      `${this.name} did not answer within ${Math.round(afterMs)} ms; it may or may not have acted.`,
    );
  }
}

const gaugeOf = {
  [CircuitState.Closed]: 0,
  [CircuitState.HalfOpen]: 1,
  [CircuitState.Open]: 2,
  [CircuitState.Isolated]: 2,
};

/** The dependency works, and says no; or our own code does. */
const isRefusal = (error: unknown): boolean =>
  error instanceof OutsideStatusError
    ? error.status < 500
    : errorType(error) !== undefined && errorType(error) !== "OUTSIDE_TIMEOUT";

function outcomeOf(error: unknown): string {
  if (error instanceof BrokenCircuitError) return "open";
  if (error instanceof BulkheadRejectedError) return "full";
  if (errorType(error) === "OUTSIDE_TIMEOUT") return "timeout";
  return isRefusal(error) ? "refused" : "failed";
}

/** Exponential with full jitter, and not before the other side wants to be asked again. */
function pauseAfter(error: unknown, attempt: number): number {
  const asked = error instanceof OutsideStatusError ? (error.retryAfterMs ?? 0) : 0;
  return Math.max(asked, Math.random() * firstBackoffMs * 2 ** attempt);
}

/** Rejects with the reason of `stop` as soon as that comes; what `work` does later is nobody's concern. */
function untilAborted<T>(work: Promise<T>, stop: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = () => reject(stop.reason as Error);
    if (stop.aborted) leave();
    stop.addEventListener("abort", leave, { once: true });
    work.then(resolve, reject).finally(() => stop.removeEventListener("abort", leave));
  });
}
