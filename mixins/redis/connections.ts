import {
  ConsecutiveBreaker,
  TimeoutStrategy,
  circuitBreaker,
  handleAll,
  timeout,
  wrap,
  type IPolicy,
} from "cockatiel";
import { Cluster, Redis, type ClusterOptions, type RedisOptions } from "ioredis";
import { Gauge } from "prom-client";
import { reasonOf } from "../contract/errors.ts";
import { registry } from "../process/metrics.ts";
import { RedisKeys } from "./keys.ts";
import { ShardedSubscriber } from "./sharded-subscriber.ts";

export type RedisClient = Redis | Cluster;

/** A Lua script over one key, which is what keeps it within one slot. */
export type Script = (key: string, ...args: (string | number)[]) => Promise<unknown>;

/** Longest a caller of `ask` waits. A healthy server answers within a few milliseconds. */
const askTimeoutMs = 100;
/** Failures in a row after which nobody asks for a moment: a server that hangs costs its callers no time then. */
const failuresToOpen = 5;
const openForMs = 1_000;
/** How long a start waits for Redis before it goes on without. */
const firstReadyMs = 2_000;

const backoffMs = (attempt: number): number => Math.min(2_000, 50 * 2 ** Math.min(attempt, 6));

/**
 * Options of every connection. There is no queue for commands while a connection is down: they fail at once,
 * since whoever asks Redis can do without. Reconnecting goes on for ever.
 */
const connectionOptions: RedisOptions = {
  connectTimeout: 2_000,
  commandTimeout: 1_000,
  maxRetriesPerRequest: 1,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  // resubscribing is ShardedSubscriber's, which survives its failure
  autoResubscribe: false,
  retryStrategy: backoffMs,
};

/** The connections of this process to Redis: the one place where they are made. */
export class RedisConnections {
  readonly client: RedisClient;
  readonly keys: RedisKeys;
  readonly #urls: readonly string[];
  readonly #log: (line: string) => void;
  readonly #policy: IPolicy;
  readonly #subscribers = new Set<ShardedSubscriber>();
  /** Of each connection by its name: with why it broke last. */
  readonly #connections: { name: string; client: RedisClient; lastError: string }[] = [];

  private constructor(urls: readonly string[], options: { namespace: string; log: (line: string) => void }) {
    this.#urls = urls;
    this.#log = options.log;
    this.keys = new RedisKeys(options.namespace);
    this.client = this.#connect("commands", false);
    // not an Outside: its bulkhead and metrics would cost more than a command
    this.#policy = wrap(
      circuitBreaker(handleAll, {
        halfOpenAfter: openForMs,
        breaker: new ConsecutiveBreaker(failuresToOpen),
      }),
      timeout(askTimeoutMs, TimeoutStrategy.Aggressive),
    );
  }

  /**
   * Connects, and waits two seconds at most: a node starts without Redis too, and finds it later.
   * @param urls one is a single server, several are nodes of a Redis Cluster (user, password and TLS of the first)
   * @param options.log hears of each failure; `ping` says why Redis is away
   */
  static async open(
    urls: readonly string[],
    options: { namespace: string; log: (line: string) => void },
  ): Promise<RedisConnections> {
    const redis = new RedisConnections(urls, options);
    // a node's connection is made by its first command, which should not be somebody's
    redis.client.on("+node", (node: Redis) => void node.ping().catch(() => undefined));
    openConnections.add(redis);
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((goOn) => {
      redis.client.once("ready", goOn);
      timer = setTimeout(goOn, firstReadyMs);
    });
    clearTimeout(timer);
    return redis;
  }

  get isReady(): boolean {
    return this.client.status === "ready";
  }

  /** @throws Error naming the connection that is away, and why */
  async ping(): Promise<void> {
    for (const { name, client, lastError } of this.#connections)
      if (client.status !== "ready")
        throw new Error(`${name}: not connected (${lastError || client.status})`);
    await this.client.ping();
  }

  /**
   * Asks Redis something the caller can do without: ends within 100 ms, and at once after several failures in a
   * row. @throws Error of Redis, of the time limit, or of the open circuit
   */
  ask<T>(run: (client: RedisClient) => Promise<T>): Promise<T> {
    if (!this.isReady) return Promise.reject(new Error("Redis is not connected"));
    return this.#policy.execute(() => run(this.client));
  }

  /** Prepares a script; its name must be unique in the process. */
  script(name: string, lua: string): Script {
    this.client.defineCommand(name, { numberOfKeys: 1, lua });
    return (key, ...args) =>
      this.ask((client) => (client as unknown as Record<string, Script>)[name]!(key, ...args));
  }

  /** A connection of its own for sharded subscriptions. */
  subscriber(): ShardedSubscriber {
    const subscriber = new ShardedSubscriber(this.#connect("subscriber", true));
    this.#subscribers.add(subscriber);
    return subscriber;
  }

  close(): Promise<void> {
    openConnections.delete(this);
    for (const subscriber of this.#subscribers) subscriber.close();
    this.client.disconnect();
    return Promise.resolve();
  }

  #connect(name: string, shardedSubscribers: boolean): RedisClient {
    const client = this.#open(name, shardedSubscribers);
    const connection = { name, client, lastError: "" };
    this.#connections.push(connection);
    const onError = (error: Error) => {
      connection.lastError = reasonOf(error);
      this.#log(`${name}: ${connection.lastError}`);
    };
    client.on("error", onError);
    if (client.isCluster) client.on("node error", onError);
    return client;
  }

  #open(name: string, shardedSubscribers: boolean): RedisClient {
    const [first] = this.#urls as [string, ...string[]];
    if (this.#urls.length === 1)
      return new Redis(first, { ...connectionOptions, connectionName: `sangam-${name}` });
    const { username, password, protocol } = new URL(first);
    const options: ClusterOptions = {
      redisOptions: {
        ...connectionOptions,
        connectionName: `sangam-${name}`,
        ...(username === "" ? {} : { username: decodeURIComponent(username) }),
        ...(password === "" ? {} : { password: decodeURIComponent(password) }),
        ...(protocol === "rediss:" ? { tls: {} } : {}),
      },
      enableOfflineQueue: false,
      clusterRetryStrategy: backoffMs,
      slotsRefreshTimeout: 2_000,
      // a failover is noticed even when no command went to the lost master
      slotsRefreshInterval: 5_000,
      maxRedirections: 5,
      // without it a subscriber of sharded channels hears nothing
      shardedSubscribers,
    };
    return new Cluster([...this.#urls], options);
  }
}

const openConnections = new Set<RedisConnections>();
new Gauge({
  name: "crm_redis_up",
  help: "1 while this process is connected to Redis; no sample without REDIS_URL",
  registers: [registry],
  collect() {
    this.reset();
    for (const { isReady } of openConnections) this.set(isReady ? 1 : 0);
  },
});
