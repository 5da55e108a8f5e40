import { randomUUID } from "node:crypto";
import { LRUCache } from "lru-cache";
import { cacheHits, cacheMisses } from "./cache.metrics.ts";
import type { RedisConnections } from "./connections.ts";

/** How long each sort of value may be kept, in seconds. */
export const cacheTtl = { session: 24 * 3600, query: 300, computed: 3600, ai: 7 * 24 * 3600 } as const;

/** How soon an invalidation that failed is repeated. */
const repeatMs = 1_000;
/** Entries in the memory of a process that has no Redis. */
const mostInMemory = 10_000;

/** A value of one organization. `tag` names what makes it stale: all values of a tag are invalidated together. */
export interface CacheKey {
  organizationId: string;
  tag: string;
  id: string;
}

/** The value as JSON with the generation of its tag when its source was read. */
interface Entry {
  generation: string;
  json: string;
}
interface Found {
  generation: string;
  entry: Entry | undefined;
}

interface Store {
  read(key: CacheKey): Promise<Found>;
  write(key: CacheKey, entry: Entry): Promise<void>;
  invalidate(organizationId: string, tag: string): Promise<void>;
}

/**
 * Reads through a cache: from Redis, or this process's memory without it, and else from the source, which is asked
 * once at a time for each key. While Redis fails, every read goes to the source.
 *
 * A value that was read before an invalidation is never served after it, but for two cases: until an invalidation
 * that Redis did not take is repeated with success, and, for as long as a value is kept, after a failover of Redis
 * that lost one.
 */
export class Cache<V> {
  readonly #name: string;
  readonly #store: Store;
  readonly #loading = new Map<string, Promise<V>>();
  /** Invalidations that failed, to be repeated. */
  readonly #owed = new Map<string, NodeJS.Timeout>();

  /**
   * @param options.name unique; label of the metrics
   * @param options.ttlSeconds see `cacheTtl`
   */
  constructor(redis: RedisConnections | undefined, options: { name: string; ttlSeconds: number }) {
    this.#name = options.name;
    this.#store = redis
      ? new RedisStore(redis, options.name, options.ttlSeconds)
      : new MemoryStore(options.ttlSeconds);
  }

  /** @param load reads the source; its answer must survive JSON. @throws what `load` throws, which is not kept */
  async get(key: CacheKey, load: () => Promise<V>): Promise<V> {
    const found = await this.#store.read(key).catch(() => undefined);
    const { entry, generation } = found ?? {};
    if (entry !== undefined && entry.generation === generation) {
      cacheHits.inc({ cache: this.#name });
      return JSON.parse(entry.json) as V;
    }
    cacheMisses.inc({ cache: this.#name });
    // who has seen a newer generation must not be given what was read before it
    const flight = JSON.stringify([key.organizationId, key.tag, key.id, generation]);
    let loading = this.#loading.get(flight);
    if (!loading) {
      loading = this.#load(key, load, generation).finally(() => this.#loading.delete(flight));
      this.#loading.set(flight, loading);
    }
    return loading;
  }

  /**
   * Makes everything of this tag stale, after the commit of what changed it. Reaches all nodes through Redis; without
   * it, only this process: broadcast an event and call it on each.
   */
  async invalidate(organizationId: string, tag: string): Promise<void> {
    const owed = JSON.stringify([organizationId, tag]);
    clearTimeout(this.#owed.get(owed));
    this.#owed.delete(owed);
    try {
      await this.#store.invalidate(organizationId, tag);
    } catch {
      clearTimeout(this.#owed.get(owed));
      this.#owed.set(owed, setTimeout(() => void this.invalidate(organizationId, tag), repeatMs).unref());
    }
  }

  async #load(key: CacheKey, load: () => Promise<V>, generation: string | undefined): Promise<V> {
    const value = await load();
    if (generation !== undefined)
      await this.#store.write(key, { generation, json: JSON.stringify(value) }).catch(() => undefined);
    return value;
  }
}

class RedisStore implements Store {
  readonly #redis: RedisConnections;
  readonly #name: string;
  readonly #ttlSeconds: number;

  constructor(redis: RedisConnections, name: string, ttlSeconds: number) {
    this.#redis = redis;
    this.#name = name;
    this.#ttlSeconds = ttlSeconds;
  }

  async read({ organizationId, tag, id }: CacheKey): Promise<Found> {
    const { keys } = this.#redis;
    const generationKey = keys.generation(this.#name, organizationId, tag);
    const valueKey = keys.cached(this.#name, organizationId, tag, id);
    const [generation, value] = await this.#redis.ask((client) => client.mget(generationKey, valueKey));
    if (generation == null) return { generation: await this.#begin(generationKey), entry: undefined };
    return { generation, entry: value == null ? undefined : (JSON.parse(value) as Entry) };
  }

  async write({ organizationId, tag, id }: CacheKey, entry: Entry): Promise<void> {
    const key = this.#redis.keys.cached(this.#name, organizationId, tag, id);
    await this.#redis.ask((client) => client.set(key, JSON.stringify(entry), "EX", this.#ttlSeconds));
  }

  async invalidate(organizationId: string, tag: string): Promise<void> {
    const key = this.#redis.keys.generation(this.#name, organizationId, tag);
    await this.#redis.ask((client) => client.set(key, randomUUID(), "EX", this.#ttlSeconds));
  }

  /** Random, so that a generation that Redis has forgotten never comes again. */
  async #begin(key: string): Promise<string> {
    const fresh = randomUUID();
    return (
      (await this.#redis.ask((client) => client.set(key, fresh, "EX", this.#ttlSeconds, "NX", "GET")))
      ?? fresh
    );
  }
}

class MemoryStore implements Store {
  readonly #entries: LRUCache<string, Entry>;
  readonly #generations: LRUCache<string, string>;

  constructor(ttlSeconds: number) {
    this.#entries = new LRUCache({ max: mostInMemory, ttl: ttlSeconds * 1000 });
    this.#generations = new LRUCache({ max: mostInMemory, ttl: ttlSeconds * 1000 });
  }

  read({ organizationId, tag, id }: CacheKey): Promise<Found> {
    const tagKey = JSON.stringify([organizationId, tag]);
    let generation = this.#generations.get(tagKey);
    if (generation === undefined) this.#generations.set(tagKey, (generation = randomUUID()));
    return Promise.resolve({
      generation,
      entry: this.#entries.get(JSON.stringify([organizationId, tag, id])),
    });
  }

  write({ organizationId, tag, id }: CacheKey, entry: Entry): Promise<void> {
    this.#entries.set(JSON.stringify([organizationId, tag, id]), entry);
    return Promise.resolve();
  }

  invalidate(organizationId: string, tag: string): Promise<void> {
    this.#generations.set(JSON.stringify([organizationId, tag]), randomUUID());
    return Promise.resolve();
  }
}
