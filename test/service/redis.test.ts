import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { Cluster } from "ioredis";
import { v7 as uuidv7 } from "uuid";
import { Cache, type CacheKey } from "../../mixins/redis/cache.ts";
import { registry } from "../../mixins/process/metrics.ts";
import { oneTimeStore } from "../../mixins/redis/one-time-store.ts";
import { RedisConnections } from "../../mixins/redis/connections.ts";
import { RateLimit } from "../../services/gateway/rate-limit.ts";
import { RedisPresence } from "../../services/gateway/realtime/presence-store.ts";
import { eventually } from "../support/eventually.ts";
import { startRedis, startRedisCluster, type RedisCluster, type RedisServers } from "../support/redis.ts";

let cluster: RedisCluster;
let single: RedisServers;
const opened: RedisConnections[] = [];
async function open(servers: RedisServers) {
  const log = () => undefined;
  const redis = await RedisConnections.open(servers.url.split(","), { namespace: "test", log });
  opened.push(redis);
  return redis;
}
beforeAll(async () => {
  [cluster, single] = await Promise.all([startRedisCluster(), startRedis()]);
}, 60_000);
afterAll(async () => {
  for (const redis of opened) await redis.close();
  await Promise.all([cluster.stop(), single.stop()]);
});

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; answer: T }> {
  const start = performance.now();
  const answer = await work();
  return { ms: performance.now() - start, answer };
}

/** Whether the request is let through, and the headers of its answer. */
async function request(limit: RateLimit, user: string, organization: string) {
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  const isAllowed = await limit.takeMember(user, organization, response).then(
    () => true,
    (error: { type: string; data: { retryAfterSeconds: number } }) => {
      expect(error).toMatchObject({ type: "RATE_LIMITED", data: { retryAfterSeconds: expect.any(Number) } });
      return false;
    },
  );
  return { isAllowed, headers: response.getHeaders() };
}

describe("every command and script", () => {
  test("keeps its keys in one slot", async () => {
    const redis = await open(cluster);
    const used: string[][] = [];
    const client = redis.client as Cluster;
    const send = client.sendCommand.bind(client);
    client.sendCommand = (command, ...rest) => {
      used.push(command.getKeys().map(String));
      return send(command, ...rest);
    };
    const limit = new RateLimit({ perMinute: 100, perMinuteOfOrganization: 100, redis });
    const cache = new Cache<number>(redis, { name: "slots", ttlSeconds: 60 });
    const store = oneTimeStore(redis, { purpose: "slots" });
    const presence = new RedisPresence(redis, "gateway");
    for (let turn = 0; turn < 20; turn++) {
      const [organizationId, id] = [uuidv7(), uuidv7()];
      await request(limit, id, organizationId);
      await cache.get({ organizationId, tag: "leads", id }, () => Promise.resolve(1));
      await cache.invalidate(organizationId, "leads");
      await store.put(id, "value");
      await store.take(id);
      await presence.exchange(organizationId, new Map([[id, "online"]]), new Map([[uuidv7(), "away"]]));
    }
    const [server] = cluster.clients();
    const slotOf = (key: string) => server!.cluster("KEYSLOT", key);
    const several = used.filter((keys) => keys.length > 1);
    expect(several.length).toBeGreaterThanOrEqual(20);
    for (const keys of several) expect(new Set(await Promise.all(keys.map(slotOf))).size).toBe(1);
    const slots = new Set(await Promise.all(used.flat().map(slotOf)));
    expect(slots.size).toBeGreaterThan(50);
    expect(used.flat().every((key) => key.startsWith("sangam:test:"))).toBe(true);
  });
});

describe("a limit shared by two gateways", () => {
  const gateways = async (
    servers: RedisServers,
    limits: { perMinute: number; perMinuteOfOrganization: number },
  ) => [await open(servers), await open(servers)].map((redis) => new RateLimit({ ...limits, redis }));

  test("lets a burst at both through up to the limit, never beyond, and nearly all of it", async () => {
    const limits = await gateways(cluster, { perMinute: 100, perMinuteOfOrganization: 1000 });
    let unanswered = 0;
    for (const redis of opened.slice(-2)) {
      const ask = redis.ask.bind(redis);
      redis.ask = (run) =>
        ask(run).catch((error: unknown) => {
          unanswered++;
          throw error;
        });
    }
    const burst = () => {
      const [user, organization] = [uuidv7(), uuidv7()];
      return Promise.all(
        Array.from({ length: 300 }, (_, index) => request(limits[index % 2]!, user, organization)),
      );
    };
    // a gateway whose Redis does not answer in time counts by itself: said of bursts in which it has answered both
    let answers = await burst();
    for (let round = 0; unanswered > 0 && round < 20; round++) {
      unanswered = 0;
      answers = await burst();
    }
    expect(unanswered).toBe(0);
    const allowed = answers.filter(({ isAllowed }) => isAllowed).length;
    expect(allowed).toBeLessThanOrEqual(100);
    expect(allowed).toBeGreaterThanOrEqual(90);
  });

  test("holds for an organization too, whose headers show when it is the tighter one", async () => {
    const [a, b] = (await gateways(cluster, { perMinute: 100, perMinuteOfOrganization: 10 })) as [
      RateLimit,
      RateLimit,
    ];
    const organization = uuidv7();
    const first = await request(a, uuidv7(), organization);
    expect(first.headers["ratelimit-policy"]).toBe('"default";q=100;w=60, "organization";q=10;w=60');
    expect(first.headers.ratelimit).toMatch(/^"organization";r=9;t=(59|60)$/);
    const rest = await Promise.all(Array.from({ length: 20 }, () => request(b, uuidv7(), organization)));
    expect(rest.filter(({ isAllowed }) => isAllowed)).toHaveLength(9);
    const stranger = await request(b, uuidv7(), uuidv7());
    expect(stranger.isAllowed).toBe(true);
  });

  test("asks Redis once in several requests", async () => {
    const [limit] = (await gateways(single, { perMinute: 100, perMinuteOfOrganization: 3000 })) as [
      RateLimit,
    ];
    const [client] = single.clients();
    await client!.config("RESETSTAT");
    const [user, organization] = [uuidv7(), uuidv7()];
    for (let turn = 0; turn < 100; turn++)
      expect((await request(limit, user, organization)).isAllowed).toBe(true);
    const calls = /cmdstat_incrby:calls=(\d+)/.exec(await client!.info("commandstats"))?.[1];
    expect(Number(calls)).toBeLessThanOrEqual(22);
  });

  test("goes on within each gateway while Redis hangs or is gone, without making requests wait", async () => {
    const [limit] = (await gateways(single, { perMinute: 1000, perMinuteOfOrganization: 100_000 })) as [
      RateLimit,
    ];
    const users = (count: number) => Array.from({ length: count }, () => uuidv7());
    const waits = async (count: number) => {
      const times: number[] = [];
      for (const user of users(count)) {
        const { ms, answer } = await timed(() => request(limit, user, uuidv7()));
        expect(answer.isAllowed).toBe(true);
        times.push(ms);
      }
      return times.toSorted((a, b) => a - b);
    };
    await waits(10);
    single.signal("SIGSTOP");
    const hanging = await waits(1000);
    single.signal("SIGCONT");
    await single.stop();
    const gone = await waits(1000);
    console.log(
      `A request's limits take: while Redis hangs, median ${hanging[500]!.toFixed(2)} ms, longest ${hanging.at(-1)!.toFixed(0)} ms, ${hanging.filter((ms) => ms > 50).length} of 1,000 over 50 ms; while it is gone, longest ${gone.at(-1)!.toFixed(1)} ms`,
    );
    expect(hanging.filter((ms) => ms > 50).length).toBeLessThan(20);
    expect(gone.filter((ms) => ms > 50).length).toBeLessThan(5);
    await single.start();
    const other = new RateLimit({ perMinute: 10, perMinuteOfOrganization: 1000, redis: await open(single) });
    const back = new RateLimit({ perMinute: 10, perMinuteOfOrganization: 1000, redis: opened.at(-2)! });
    await eventually(async () => {
      const user = uuidv7();
      for (let turn = 0; turn < 10; turn++) await request(other, user, uuidv7());
      return !(await request(back, user, uuidv7())).isAllowed;
    });
  });
});

describe("a one-time value", () => {
  test("goes to exactly one of fifty who ask at once", async () => {
    const stores = await Promise.all(
      Array.from({ length: 5 }, async () => oneTimeStore(await open(cluster), { purpose: "race" })),
    );
    for (let round = 0; round < 20; round++) {
      const token = uuidv7();
      await stores[0]!.put(token, `value ${round}`);
      const taken = await Promise.all(
        Array.from({ length: 50 }, (_, index) => stores[index % 5]!.take(token)),
      );
      expect(taken.filter((value) => value !== null)).toEqual([`value ${round}`]);
    }
  });

  test("is of its purpose alone, and ends", async () => {
    const redis = await open(cluster);
    const [signIn, link] = [
      oneTimeStore(redis, { purpose: "sign-in", ttlSeconds: 1 }),
      oneTimeStore(redis, { purpose: "link" }),
    ];
    await signIn.put("token", "a");
    await signIn.put("late", "b");
    expect(await link.take("token")).toBeNull();
    expect(await signIn.take("token")).toBe("a");
    await eventually(async () => (await redis.client.exists(redis.keys.once("sign-in", "late"))) === 0);
    expect(await signIn.take("late")).toBeNull();
  });

  test("works the same in memory", async () => {
    const store = oneTimeStore(undefined, { purpose: "memory", ttlSeconds: 1 });
    await store.put("token", "a");
    const taken = await Promise.all([store.take("token"), store.take("token"), store.take("token")]);
    expect(taken).toEqual(["a", null, null]);
  });
});

describe.each(["Redis", "memory"])("a cache in %s", (where) => {
  let redis: RedisConnections | undefined;
  beforeAll(async () => {
    redis = where === "Redis" ? await open(cluster) : undefined;
  });
  const newCache = (name = `cache ${uuidv7()}`, ttlSeconds = 60) =>
    new Cache<{ count: number }>(redis, { name, ttlSeconds });
  const key = (overrides: Partial<CacheKey> = {}): CacheKey => ({
    organizationId: uuidv7(),
    tag: "leads",
    id: "count",
    ...overrides,
  });
  /** A source that counts how often it is asked. */
  const source = () => {
    const asked = { count: 0, load: () => Promise.resolve({ count: ++asked.count }) };
    return asked;
  };

  test("answers once read values until their tag is invalidated, and counts both", async () => {
    const name = `counted ${where}`;
    const [cache, of, { load }] = [newCache(name), key(), source()];
    expect(await cache.get(of, load)).toEqual({ count: 1 });
    expect(await cache.get(of, load)).toEqual({ count: 1 });
    await cache.invalidate(of.organizationId, "deals");
    await cache.invalidate(uuidv7(), of.tag);
    expect(await cache.get(of, load)).toEqual({ count: 1 });
    await cache.invalidate(of.organizationId, of.tag);
    expect(await cache.get(of, load)).toEqual({ count: 2 });
    const metrics = await registry.metrics();
    expect(metrics).toContain(`cache_hits_total{cache="${name}"} 2`);
    expect(metrics).toContain(`cache_misses_total{cache="${name}"} 2`);
    expect(metrics).toContain(`cache_hit_rate{cache="${name}"} 0.5`);
  });

  test("never answers another organization's value", async () => {
    const [cache, { load }] = [newCache(), source()];
    expect(await cache.get(key(), load)).toEqual({ count: 1 });
    expect(await cache.get(key(), load)).toEqual({ count: 2 });
  });

  test("asks the source once for many at once, and keeps no failure", async () => {
    const [cache, of, { load }] = [newCache(), key(), source()];
    await expect(cache.get(of, () => Promise.reject(new Error("down")))).rejects.toThrow("down");
    const answers = await Promise.all(Array.from({ length: 50 }, () => cache.get(of, load)));
    expect(answers).toEqual(answers.map(() => ({ count: 1 })));
  });

  test("does not keep what was read before an invalidation and arrives after it", async () => {
    const [cache, of, { load }] = [newCache(), key(), source()];
    let answer: (value: { count: number }) => void = () => undefined;
    const slow = cache.get(of, () => new Promise((done) => (answer = done)));
    await eventually(() => answer.length === 1);
    await cache.invalidate(of.organizationId, of.tag);
    answer({ count: -1 });
    expect(await slow).toEqual({ count: -1 });
    expect(await cache.get(of, load)).toEqual({ count: 1 });
  });

  test("forgets in time", async () => {
    const [cache, of, { load }] = [newCache(undefined, 1), key(), source()];
    await cache.get(of, load);
    await eventually(async () => (await cache.get(of, load)).count > 1);
  });
});

describe("a lost Redis", () => {
  test("does not keep a node from starting, and is found when it comes", async () => {
    await single.stop();
    const { ms, answer: redis } = await timed(() => open(single));
    expect(ms).toBeLessThan(3_000);
    expect(redis.isReady).toBe(false);
    await single.start();
    await eventually(() => redis.isReady);
  });

  test("is named with its cause, and a cache reads its source; afterwards all is as before", async () => {
    const redis = await open(single);
    const cache = new Cache<number>(redis, { name: "lost", ttlSeconds: 60 });
    const store = oneTimeStore(redis, { purpose: "lost" });
    const of = { organizationId: uuidv7(), tag: "leads", id: "1" };
    await cache.get(of, () => Promise.resolve(1));
    await single.stop();
    await eventually(() => !redis.isReady);
    for (let turn = 0; turn < 20; turn++) {
      const { ms, answer } = await timed(() => cache.get(of, () => Promise.resolve(turn)));
      expect(answer).toBe(turn);
      expect(ms).toBeLessThan(50);
    }
    await expect(store.take("token")).rejects.toMatchObject({ type: "STORE_UNAVAILABLE", code: 503 });
    await eventually(async () => {
      await expect(redis.ping()).rejects.toThrow(/^commands: not connected \(.*ECONNREFUSED/);
      return true;
    });
    await cache.invalidate(of.organizationId, of.tag);
    await single.start();
    await eventually(() => redis.isReady);
    expect(await cache.get(of, () => Promise.resolve(7))).toBe(7);
    expect(await cache.get(of, () => Promise.resolve(8))).toBe(7);
    await redis.ping();
  });

  test("master is replaced by its replica, and the store goes on", async () => {
    const redis = await open(cluster);
    const store = oneTimeStore(redis, { purpose: "failover" });
    await store.put("token", "before");
    await cluster.killMaster(redis.keys.once("failover", "token"));
    const { ms } = await timed(() =>
      eventually(async () => {
        await store.put("token", "after");
        return (await store.take("token")) === "after";
      }, 20_000),
    );
    console.log(`A killed master was replaced after ${(ms / 1000).toFixed(1)} s`);
  });
});
