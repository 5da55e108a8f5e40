import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Client } from "../support/client.ts";
import { countRows, createDatabase, dropDatabase } from "../support/database.ts";
import { startNats, type NatsServer } from "../support/nats.ts";
import { eventually } from "../support/eventually.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";
import { metric, startProcess, type NodeProcess } from "../support/process.ts";

let nats: NatsServer;
/** Between the core and NATS. */
let proxy: TcpProxy;
let databases: string[];
let gateway: NodeProcess;
let core: NodeProcess;
let admin: Client;

beforeAll(async () => {
  nats = await startNats();
  proxy = await TcpProxy.listen(nats.port);
  databases = [await createDatabase()];
  const settings = {
    NATS_URL: nats.url,
    DATABASE_URL: databases[0] as string,
    NAMESPACE: "deadlines",
    LOG_LEVEL: "error",
  };
  [gateway, core] = await Promise.all([
    startProcess("gateway", { ...settings, SERVICES: "service:gateway" }),
    startProcess("core", { ...settings, NATS_URL: proxy.through(nats.url), SERVICES: "core" }),
  ]);
  admin = await eventually(() => new Client(gateway.origin).register("Deadlines"));
}, 60_000);
afterAll(async () => {
  await Promise.all([gateway.stop(), core.stop()]);
  await proxy.close();
  await nats.stop();
  for (const url of databases) await dropDatabase(url);
}, 60_000);

const capture = (name: string) => admin.post("/leads", { lastName: name, externalId: name });
const stored = (prefix: string) => countRows(databases, `leads WHERE external_id LIKE '${prefix}-%'`);
const captures = (prefix: string, count: number) =>
  Promise.all(Array.from({ length: count }, (_, index) => capture(`${prefix}-${index}`)));

test("a node that was stopped runs none of the calls that were given up meanwhile", async () => {
  expect((await captures("before", 3)).map(({ status }) => status)).toEqual([201, 201, 201]);
  core.kill("SIGSTOP");
  let given: number[];
  try {
    given = (await captures("stopped", 20)).map(({ status }) => status);
  } finally {
    core.kill("SIGCONT");
  }
  expect(given).toEqual(given.map(() => 503));
  await eventually(async () => (await capture("after-0")).status === 201);
  expect(await metric(core, "crm_calls_expired_total")).toBe(20);
  expect(await stored("stopped")).toBe(0);
});

test("calls go on after NATS was stopped and started again", async () => {
  await nats.stop();
  const start = performance.now();
  const given = await captures("down", 5);
  expect(given.map(({ status }) => status)).toEqual(given.map(() => 503));
  expect(performance.now() - start).toBeLessThan(20_000);
  nats = await startNats(nats.port);
  await eventually(async () => (await capture("up-0")).status === 201, 20_000);
  // what lay in the gateway's buffer meanwhile was refused when it arrived
  expect(await stored("down")).toBe(0);
});

test("a connection to NATS that is open but dead is given up, and nobody hangs meanwhile", async () => {
  proxy.blackhole();
  const connections = proxy.accepted;
  const start = performance.now();
  const given = await captures("silent", 5);
  expect(given.map(({ status }) => status)).toEqual(given.map(() => 503));
  expect(performance.now() - start).toBeLessThan(20_000);
  // two pings of 5 s without an answer, then another connection
  await eventually(() => proxy.accepted > connections, 30_000);
  proxy.resume();
  await eventually(async () => (await capture("heard-0")).status === 201, 30_000);
  expect(await stored("silent")).toBe(0);
});
