import type { ServerResponse } from "node:http";
import { RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import { appError } from "../../mixins/errors.ts";

/** Counts requests of a caller in a minute, in this process. */
export class RateLimit {
  readonly #limiter: RateLimiterMemory;
  readonly #policy: string;

  constructor(perMinute: number) {
    this.#limiter = new RateLimiterMemory({ points: perMinute, duration: 60 });
    this.#policy = `"default";q=${perMinute};w=60`;
  }

  /**
   * Takes one request from the caller's minute and says so in the headers (draft-ietf-httpapi-ratelimit-headers).
   * @throws 429 RATE_LIMITED
   */
  async take(caller: string, response: ServerResponse): Promise<void> {
    let state: RateLimiterRes;
    let isOver = false;
    try {
      state = await this.#limiter.consume(caller);
    } catch (refused) {
      if (!(refused instanceof RateLimiterRes)) throw refused;
      state = refused;
      isOver = true;
    }
    const resetSeconds = Math.max(1, Math.ceil(state.msBeforeNext / 1000));
    response.setHeader("RateLimit-Policy", this.#policy);
    response.setHeader("RateLimit", `"default";r=${state.remainingPoints};t=${resetSeconds}`);
    if (isOver)
      throw appError(429, "RATE_LIMITED", `Too many requests; try again in ${resetSeconds} s.`, {
        retryAfterSeconds: resetSeconds,
      });
  }
}
