import { LRUCache } from "lru-cache";
import { appError } from "../contract/errors.ts";
import type { RedisConnections } from "./connections.ts";

/** Values that are given out once, to the first who asks: the state of an OAuth sign-in, a link's secret. */
export interface OneTimeStore {
  /** Keeps a value under an unguessable token of the caller's. @throws 503 STORE_UNAVAILABLE */
  put(token: string, value: string): Promise<void>;
  /** The value, for one caller only; null when it was taken, has ended or never was. @throws 503 STORE_UNAVAILABLE */
  take(token: string): Promise<string | null>;
}

/**
 * A store of its own for each purpose. Without Redis it is this process's memory, so with several gateways a
 * value is only found where it was put.
 *
 * A failover of Redis may lose values (the sign-in begins again), and within its moment give one out twice: where
 * that would matter, PostgreSQL must hold the value.
 * @param options.ttlSeconds how long a value waits; default 600
 */
export function oneTimeStore(
  redis: RedisConnections | undefined,
  options: { purpose: string; ttlSeconds?: number },
): OneTimeStore {
  const { purpose, ttlSeconds = 600 } = options;
  if (!redis) return new MemoryStore(ttlSeconds);
  const { client, keys } = redis;
  // not through `ask`: nothing else can answer, so a busy Redis gets the second its commands have
  return {
    async put(token, value) {
      await client.set(keys.once(purpose, token), value, "EX", ttlSeconds).catch(unavailable);
    },
    take: (token) => client.getdel(keys.once(purpose, token)).catch(unavailable),
  };
}

/** Most values waiting in memory: strangers begin sign-ins, so the oldest go first. */
const most = 10_000;

class MemoryStore implements OneTimeStore {
  readonly #values: LRUCache<string, string>;

  constructor(ttlSeconds: number) {
    this.#values = new LRUCache({ max: most, ttl: ttlSeconds * 1000 });
  }

  put(token: string, value: string): Promise<void> {
    this.#values.set(token, value);
    return Promise.resolve();
  }

  take(token: string): Promise<string | null> {
    const value = this.#values.get(token) ?? null;
    this.#values.delete(token);
    return Promise.resolve(value);
  }
}

function unavailable(): never {
  throw appError(503, "STORE_UNAVAILABLE", "This cannot be kept or found now; try again in a moment.");
}
