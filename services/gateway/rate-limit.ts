import type { ServerResponse } from "node:http";
import { RateLimiterMemory, RateLimiterRedis, type RateLimiterAbstract } from "rate-limiter-flexible";
import { networkOf } from "../../mixins/access/network-of.ts";
import { appError, errorType } from "../../mixins/contract/errors.ts";
import type { RedisConnections } from "../../mixins/redis/connections.ts";
import { LeasedLimit, type Verdict } from "./leased-limit.ts";

const windowSeconds = 60;

/** What is answered to a credential that proves nothing: an access token, a key, a password, a link, a code. */
const wrongCredentials: ReadonlySet<string | undefined> = new Set([
  "TOKEN_INVALID",
  "API_KEY_INVALID",
  "INVALID_CREDENTIALS",
  "INVALID_REFRESH_TOKEN",
  "REFRESH_TOKEN_REUSED",
  "LINK_INVALID",
  "SIGN_IN_CODE_INVALID",
]);

/**
 * Counts the requests of users, organizations and addresses in a minute: together with the other gateways in
 * Redis, alone without it and while it does not answer.
 */
export class RateLimit {
  readonly #callers: LeasedLimit;
  readonly #wrong: LeasedLimit;
  readonly #perMinuteOfOrganization: number;
  /** By the factor of plans. */
  readonly #organizations = new Map<number, LeasedLimit>();
  readonly #redis: RedisConnections | undefined;
  readonly #policy: string;

  /** @param options.perMinute requests of a user, or of an address that has not signed in */
  constructor(options: {
    perMinute: number;
    perMinuteOfOrganization: number;
    redis: RedisConnections | undefined;
  }) {
    const { perMinute, perMinuteOfOrganization, redis } = options;
    this.#redis = redis;
    this.#callers = new LeasedLimit(limiter(perMinute, redis));
    this.#wrong = new LeasedLimit(limiter(perMinute, redis));
    this.#perMinuteOfOrganization = perMinuteOfOrganization;
    this.#policy = `"default";q=${perMinute};w=${windowSeconds}`;
  }

  /**
   * Takes one request from the user's minute and from its organization's, and says what is left in the headers
   * (draft-ietf-httpapi-ratelimit-headers): of the organization only when that is less.
   * @param factor of the organization's plan
   * @throws 429 RATE_LIMITED
   */
  async takeMember(
    userId: string,
    organizationId: string,
    response: ServerResponse,
    factor = 1,
  ): Promise<void> {
    const user = await this.#callers.take(this.#key("user", userId));
    // who is over the limit costs colleagues nothing
    const organization = user.isAllowed
      ? await this.#limitOf(factor).take(this.#key("organization", organizationId))
      : undefined;
    const isTighter = organization !== undefined && organization.remaining < user.remaining;
    const policies = `${this.#policy}, "organization";q=${this.#limitOf(factor).most};w=${windowSeconds}`;
    if (isTighter) answer(response, policies, "organization", organization);
    else answer(response, policies, "default", user);
    if (organization?.isAllowed === false)
      throw refusal(organization, "Your organization sends too many requests;");
    if (!user.isAllowed) throw refusal(user, "You send too many requests;");
  }

  /** As `takeMember`, for somebody of whom only the address is known. */
  async takeAddress(address: string, response: ServerResponse): Promise<void> {
    const verdict = await this.#callers.take(this.#key("address", networkOf(address)));
    answer(response, this.#policy, "default", verdict);
    if (!verdict.isAllowed) throw refusal(verdict, "You send too many requests;");
  }

  /**
   * Refuses who has sent too many wrong credentials from this address within a minute, at no cost. To be asked before a
   * credential is verified that never passed here; those that have stay good.
   * @throws 429 RATE_LIMITED
   */
  requireTrust(address: string): void {
    const verdict = this.#wrong.refusalOf(this.#key("wrong", networkOf(address)));
    if (verdict) throw refusal(verdict, "Your address sends too many wrong credentials;");
  }

  /** Counts an error against the address if it is about a wrong credential. */
  noteIfWrong(error: unknown, address: string): void {
    if (!wrongCredentials.has(errorType(error))) return;
    // one that cannot be counted now is not worth an answer
    this.#wrong.take(this.#key("wrong", networkOf(address))).catch(() => undefined);
  }

  #limitOf(factor: number): LeasedLimit {
    let limit = this.#organizations.get(factor);
    if (!limit) {
      limit = new LeasedLimit(
        limiter(Math.max(1, Math.floor(this.#perMinuteOfOrganization * factor)), this.#redis),
      );
      this.#organizations.set(factor, limit);
    }
    return limit;
  }

  #key(kind: "user" | "organization" | "address" | "wrong", id: string): string {
    return this.#redis ? this.#redis.keys.rate(kind, id) : `${kind}:${id}`;
  }
}

function limiter(points: number, redis: RedisConnections | undefined): RateLimiterAbstract {
  const options = { points, duration: windowSeconds, keyPrefix: "" };
  const alone = new RateLimiterMemory(options);
  if (!redis) return alone;
  // the part of a client that RateLimiterRedis uses to count, within the time `ask` allows
  let count: ReturnType<RedisConnections["script"]>;
  const storeClient = {
    defineCommand: (name: string, { lua }: { lua: string }) => (count = redis.script(name, lua)),
    rlflxIncr: ([key, ...args]: [string, ...string[]]) => count(key, ...args),
  };
  return new RateLimiterRedis({ ...options, storeClient, insuranceLimiter: alone });
}

const secondsOf = ({ resetMs }: Verdict): number => Math.max(1, Math.ceil(resetMs / 1000));

function answer(response: ServerResponse, policies: string, name: string, verdict: Verdict): void {
  response.setHeader("RateLimit-Policy", policies);
  response.setHeader("RateLimit", `"${name}";r=${verdict.remaining};t=${secondsOf(verdict)}`);
}

function refusal(verdict: Verdict, why: string) {
  const retryAfterSeconds = secondsOf(verdict);
  return appError(429, "RATE_LIMITED", `${why} try again in ${retryAfterSeconds} s.`, {
    retryAfterSeconds,
  });
}
