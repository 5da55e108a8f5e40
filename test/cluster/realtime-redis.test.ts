import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import { Client } from "../support/client.ts";
import { createDatabase, dropDatabase } from "../support/database.ts";
import { startNats, type NatsServer } from "../support/nats.ts";
import { eventually } from "../support/eventually.ts";
import { startProcess, type NodeProcess } from "../support/process.ts";
import { SocketClient } from "../support/realtime.ts";
import { startRedisCluster, subscribed, type RedisCluster } from "../support/redis.ts";

let nats: NatsServer;
let redis: RedisCluster;
let databases: string[];
let gateways: NodeProcess[];
let admin: Client;
let manager: Client;
let leadId: string;
const sockets: SocketClient[] = [];
const startGateway = (name: string) =>
  startProcess(name, {
    NATS_URL: nats.url,
    REDIS_URL: redis.url,
    DATABASE_URL: databases[0] as string,
    NAMESPACE: "redis-test",
    SERVICES: "gateway",
  });

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNats(), startRedisCluster()]);
  databases = [await createDatabase()];
  gateways = await Promise.all(["gateway-a", "gateway-b"].map(startGateway));
  admin = await new Client(gateways[0]!.origin).register("Realtime");
  manager = await admin.addUser("manager");
  leadId = ((await admin.post("/leads", { firstName: "Meera" })).body as { id: string }).id;
  await subscribed(redis, "socket.io#/#", 2);
}, 120_000);
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
});
afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.stop()));
  await Promise.all([nats.stop(), redis.stop()]);
  for (const url of databases) await dropDatabase(url);
}, 60_000);

async function connect(gateway: NodeProcess, { token }: Client): Promise<SocketClient> {
  const socket = new SocketClient(gateway.origin, token ?? "");
  sockets.push(socket);
  return socket.connected();
}
const on = (gateway: 0 | 1, client: Client) => connect(gateways[gateway] as NodeProcess, client);
const received = (socket: SocketClient, name: string) =>
  socket.others.filter(([sent]) => sent === name).map(([, payload]) => payload);
const lastSaid = (socket: SocketClient, userId: string) =>
  (received(socket, "presence") as { users: { userId: string; status: string }[] }[])
    .flatMap(({ users }) => users)
    .findLast((user) => user.userId === userId)?.status;

/** Resolves with the milliseconds until what one socket types reaches the other. */
async function typingReaches(from: SocketClient, to: SocketClient, timeoutMs = 20_000): Promise<number> {
  const start = performance.now();
  const before = received(to, "typing").length;
  const typing = { entity: { kind: "lead", id: leadId }, isTyping: true };
  await eventually(async () => {
    expect(await from.send("typing", typing)).toEqual({ ok: true });
    await new Promise((done) => setTimeout(done, 100));
    return received(to, "typing").length > before;
  }, timeoutMs);
  return performance.now() - start;
}
const present = async (socket: SocketClient) =>
  ((await socket.send("presence", {})) as unknown as { users: { userId: string; status: string }[] }).users;

test("presence and typing cross the gateways; a killed gateway's users are offline within 30 s", async () => {
  const spare = await startGateway("gateway-c");
  const [watcher, leaver] = [await on(0, admin), await connect(spare, manager)];
  await leaver.send("presence", { status: "online" });
  await eventually(() => lastSaid(watcher, manager.userId) === "online");
  await typingReaches(watcher, leaver);
  await typingReaches(leaver, watcher);
  spare.kill("SIGKILL");
  const start = performance.now();
  await eventually(() => lastSaid(watcher, manager.userId) === "offline", 32_000);
  console.log(
    `A killed gateway's user was offline after ${((performance.now() - start) / 1000).toFixed(1)} s`,
  );
  await spare.stop();
});

test("a session that is revoked loses its sockets at every gateway within 2 s", async () => {
  const leaving = await admin.addUser("viewer");
  const open = [await on(0, leaving), await on(1, leaving), await on(1, leaving)];
  const start = performance.now();
  expect((await leaving.post("/auth/logout")).status).toBe(204);
  await Promise.all(open.map((socket) => socket.ended()));
  expect(performance.now() - start).toBeLessThan(2_000);
  for (const socket of open) expect(received(socket, "session.revoked")).toEqual([{ reason: "revoked" }]);
});

test("after FLUSHALL everybody is there again", async () => {
  const [one, two] = [await on(0, admin), await on(1, manager)];
  await one.send("presence", { status: "online" });
  await two.send("presence", { status: "away" });
  await Promise.all(redis.clients().map((client) => client.flushall().catch(() => undefined)));
  await eventually(async () => (await present(one)).length === 2, 20_000);
  await eventually(async () => (await present(two)).length === 2, 20_000);
  await typingReaches(one, two);
});

test("a killed master costs a few seconds", async () => {
  const [one, two] = [await on(0, admin), await on(1, manager)];
  await one.send("presence", { status: "online" });
  await typingReaches(one, two);
  // the channel of those who see all leads, then everybody's presence
  const prefix = "sangam:redis-test:";
  await redis.killMaster(`${prefix}socket.io#/#org:${admin.organizationId}:lead#`);
  const typingMs = await typingReaches(one, two, 30_000);
  await typingReaches(two, one, 30_000);
  await two.send("presence", { status: "online" });
  await eventually(() => lastSaid(one, manager.userId) === "online", 20_000);
  console.log(`Typing crossed again ${(typingMs / 1000).toFixed(1)} s after its master was killed`);
}, 90_000);

test("without any Redis the feed, REST and sign-in go on; when it is back, so are presence and typing", async () => {
  const [one, two] = [await on(0, admin), await on(1, manager)];
  await two.send("subscribe", {});
  await one.send("presence", { status: "online" });
  await redis.stop();
  for (let turn = 0; turn < 20; turn++) {
    const start = performance.now();
    expect((await admin.post("/leads", { firstName: `Offline ${turn}` })).status).toBe(201);
    expect(performance.now() - start).toBeLessThan(1_000);
  }
  await eventually(() => two.events.filter(({ type }) => type === "lead.created").length === 20);
  await admin.addUser("sales_rep");
  // parts are asked once a second
  await eventually(async () => {
    const health = await admin.get(`${gateways[0]!.origin}/health`);
    expect(health).toMatchObject({
      status: 200,
      body: { status: "ok", checks: { redis: { status: "down" } } },
    });
    return true;
  });
  const [here, same] = [await on(0, manager), await on(0, admin)];
  expect(await here.send("presence", { status: "away" })).toMatchObject({ ok: true });
  await eventually(() => lastSaid(same, manager.userId) === "away");
  await typingReaches(same, here);

  await redis.start();
  const start = performance.now();
  await eventually(async () => (await present(two)).length === 2, 30_000);
  const presenceMs = performance.now() - start;
  await typingReaches(one, two, 30_000);
  console.log(
    `Presence was whole ${(presenceMs / 1000).toFixed(1)} s after Redis came back, typing crossed after ${((performance.now() - start) / 1000).toFixed(1)} s`,
  );
  for (const gateway of gateways)
    expect(
      gateway
        .output()
        .split("\n")
        .filter((line) => line.includes("redis")).length,
    ).toBeLessThan(30);
}, 120_000);
