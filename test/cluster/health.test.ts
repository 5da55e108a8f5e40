import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import { servicesByRole } from "../../services/roles.ts";
import { Client } from "../support/client.ts";
import { createDatabase, dropDatabase } from "../support/database.ts";
import { startNats, type NatsServer } from "../support/nats.ts";
import { eventually } from "../support/eventually.ts";
import { startProcess, type NodeProcess } from "../support/process.ts";
import { startRedis, type RedisServers } from "../support/redis.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";

// A gateway that hosts nothing else, one that hosts what is hot, and a core, with real servers that are really stopped.
let nats: NatsServer;
let redis: RedisServers;
let database: string;
/** Between all processes and PostgreSQL. */
let postgres: TcpProxy;
let bare: NodeProcess;
let whole: NodeProcess;
let core: NodeProcess | undefined;
let settings: Record<string, string>;
const startCore = () => startProcess("core", { ...settings, SERVICES: "core" });

beforeAll(async () => {
  [nats, redis, database] = await Promise.all([startNats(), startRedis(), createDatabase()]);
  postgres = await TcpProxy.listen(Number(new URL(database).port));
  settings = {
    NATS_URL: nats.url,
    REDIS_URL: redis.url,
    DATABASE_URL: postgres.through(database),
    NAMESPACE: "health-test",
  };
  bare = await startProcess("bare", { ...settings, SERVICES: "service:gateway" });
}, 120_000);
afterEach(() => {
  postgres.resume();
});
afterAll(async () => {
  for (const process of [bare, whole, core]) await process?.stop();
  await postgres.close();
  await nats.stop("SIGKILL");
  await redis.stop();
  await dropDatabase(database);
}, 60_000);

interface Report {
  status: string;
  checks: Record<string, { status: string; detail?: string }>;
}
async function health(process: NodeProcess): Promise<{ code: number; ready: number } & Report> {
  const [open, ready] = await Promise.all([
    fetch(`${process.origin}/health`),
    fetch(`${process.metricsOrigin}/health/ready`),
  ]);
  const report = (await open.json()) as Report;
  const same = (await ready.json()) as Report;
  expect(Object.keys(same.checks)).toEqual(Object.keys(report.checks));
  return { code: open.status, ready: ready.status, ...report };
}
/** Milliseconds until the process says so. */
async function until(process: NodeProcess, expected: object, mostMs = 10_000): Promise<number> {
  const start = performance.now();
  await eventually(async () => {
    expect(await health(process)).toMatchObject(expected);
    return true;
  }, mostMs);
  return Math.round(performance.now() - start);
}
/** Lines about a part that the process has logged. */
const logged = (process: NodeProcess, part: string): string[] =>
  process
    .output()
    .split("\n")
    .filter((line) => line.includes(`"msg":"${part} is `))
    .map((line) => (JSON.parse(line) as { msg: string }).msg);
/** Each once, in this order, and nothing else about the part. */
const hasLogged = (process: NodeProcess, part: string, lines: RegExp[]) =>
  eventually(() => {
    expect(logged(process, part)).toEqual(lines.map((line) => expect.stringMatching(line) as unknown));
    return true;
  });

const hotServices = servicesByRole.gateway?.filter((name) => name !== "gateway").join(", ");
const ok = { code: 200, ready: 200, status: "ok" };
const unavailable = { code: 503, ready: 503, status: "unavailable" };

test("a gateway whose services nobody offers says which, and answers requests 503", async () => {
  await until(bare, {
    ...unavailable,
    checks: {
      nats: { status: "up" },
      services: {
        status: "down",
        detail: `no node offers ${hotServices}`,
      },
    },
  });
  const answer = await new Client(bare.origin).post("/auth/register", {});
  expect(answer).toMatchObject({ status: 503, body: { code: "SERVICE_UNAVAILABLE" } });
  core = await startCore();
  whole = await startProcess("whole", { ...settings, SERVICES: "gateway" });
  await until(bare, { ...ok, checks: { services: { status: "up" }, otherServices: { status: "up" } } });
  await eventually(() => logged(bare, "services").length === 2);
  expect(logged(bare, "services")[0]).toBe(`services is down: no node offers ${hotServices}`);
});

test("a killed NATS is named within seconds, and only where it is needed unready; all is well when it is back", async () => {
  const admin = await new Client(whole.origin).register("Health");
  await nats.stop("SIGKILL");
  const goneMs = await until(bare, { ...unavailable, checks: { nats: { status: "down" } } });
  await until(whole, { ...ok, checks: { nats: { status: "down" }, services: { status: "up" } } });
  expect((await admin.post("/leads", { firstName: "Without NATS" })).status).toBe(201);
  expect((await admin.get("/leads")).status).toBe(200);
  await eventually(async () => {
    expect((await admin.get("/teams")).status).toBe(503);
    return true;
  });
  const ready = await fetch(`${(core as NodeProcess).metricsOrigin}/health/ready`);
  expect(ready.status).toBe(503);
  nats = await startNats(nats.port);
  const backMs = await until(bare, { ...ok, checks: { nats: { status: "up" } } }, 20_000);
  await until(whole, { ...ok, checks: { otherServices: { status: "up" } } }, 20_000);
  expect((await new Client(bare.origin, undefined).register("Again")).userId).not.toBe("");
  for (const process of [bare, whole, core as NodeProcess])
    await hasLogged(process, "nats", [
      /^nats is down: the connection is lost/,
      /^nats is up again after \d+ s$/,
    ]);
  console.log(`NATS killed: down after ${goneMs} ms, up ${backMs} ms after its return`);
  expect(goneMs).toBeLessThan(4_000);
}, 90_000);

test("a frozen NATS is as gone as a killed one", async () => {
  process.kill(nats.pid, "SIGSTOP");
  try {
    const goneMs = await until(bare, {
      ...unavailable,
      checks: { nats: { status: "down", detail: "no answer within 2000 ms" } },
    });
    console.log(`NATS frozen: down after ${goneMs} ms`);
    expect(goneMs).toBeLessThan(6_000);
  } finally {
    process.kill(nats.pid, "SIGCONT");
  }
  await until(bare, ok, 20_000);
  await until(whole, { ...ok, checks: { otherServices: { status: "up" } } }, 20_000);
}, 60_000);

test("PostgreSQL that refuses or is silent is named with its cause, logged once, and comes back by itself", async () => {
  postgres.refuse();
  await until(whole, { ...unavailable, checks: { database: { status: "down" } } });
  postgres.resume();
  await until(whole, ok, 20_000);
  postgres.blackhole();
  await until(whole, {
    ...unavailable,
    checks: { database: { status: "down", detail: "shard-0: no answer within 1500 ms" } },
  });
  postgres.cut();
  postgres.resume();
  await until(whole, ok, 20_000);
  await hasLogged(whole, "database", [
    /^database is down: shard-0: .*(ECONNRESET|Connection terminated)/,
    /^database is up again after \d+ s$/,
    /^database is down: shard-0: no answer within 1500 ms$/,
    /^database is up again after \d+ s$/,
  ]);
}, 90_000);

test("Redis is named when it is gone, makes nobody unready, and is logged once each way", async () => {
  await redis.stop();
  await until(whole, { ...ok, checks: { redis: { status: "down" } } });
  expect((await health(whole)).checks.redis?.detail).toMatch(/not connected \(.*ECONNREFUSED/);
  await redis.start();
  await until(whole, { ...ok, checks: { redis: { status: "up" } } }, 20_000);
  await hasLogged(whole, "redis", [
    /^redis is down: commands: not connected/,
    /^redis is up again after \d+ s$/,
  ]);
  expect(whole.output()).not.toMatch(/"mod":"redis"/i);
}, 60_000);

test("a core that is killed is missed, by name, until another one is there", async () => {
  core?.kill("SIGKILL");
  const goneMs = await until(bare, {
    checks: { otherServices: { status: "down", detail: expect.stringContaining("teams") as unknown } },
  });
  // the other gateway still offers what is hot
  expect(await health(bare)).toMatchObject({ ...ok, checks: { services: { status: "up" } } });
  core = await startCore();
  await until(bare, { ...ok, checks: { otherServices: { status: "up" } } }, 20_000);
  expect(goneMs).toBeLessThan(5_000);
}, 90_000);
