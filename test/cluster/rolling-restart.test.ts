import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";
import { Client } from "../support/client.ts";
import { createDatabase, dropDatabase } from "../support/database.ts";
import { startNats, type NatsServer } from "../support/nats.ts";
import { startNginx, type Nginx } from "../support/nginx.ts";
import { eventually } from "../support/eventually.ts";
import { metric, startProcess, type NodeProcess } from "../support/process.ts";

let nats: NatsServer;
let nginx: Nginx;
let databases: string[];
const gateways: NodeProcess[] = [];
const cores: NodeProcess[] = [];
let admin: Client;
let starts = 0;

const start = (services: string, ports: Record<string, string> = {}) =>
  startProcess(`${services.replace("service:", "")}-${starts++}`, {
    NATS_URL: nats.url,
    DATABASE_URL: databases[0] as string,
    NAMESPACE: "rolling",
    SERVICES: services,
    // longer than nginx keeps an idle connection: see startNginx
    DRAIN_SECONDS: "2",
    ...ports,
  });

beforeAll(async () => {
  nats = await startNats();
  databases = [await createDatabase()];
  gateways.push(...(await Promise.all([start("service:gateway"), start("service:gateway")])));
  cores.push(...(await Promise.all([start("core"), start("core")])));
  nginx = await startNginx(gateways.map(({ origin }) => new URL(origin).host));
  admin = await eventually(() => new Client(nginx.origin).register("Rolling"));
}, 120_000);
afterAll(async () => {
  await Promise.all([...gateways, ...cores].map((process) => process.stop()));
  await nginx.stop();
  await nats.stop();
  for (const url of databases) await dropDatabase(url);
}, 60_000);

/** Sends captures and reads over kept connections until `stop`; answers how each ended. */
function load(lanes: number): { stop(): Promise<string[]> } {
  const agent = new Agent({ keepAlive: true });
  const { hostname, port } = new URL(nginx.origin);
  const headers = { authorization: `Bearer ${admin.token}`, "content-type": "application/json" };
  const send = (method: string, body?: object) =>
    new Promise<string>((done) => {
      const sent = request({ agent, hostname, port, method, path: "/api/v1/leads", headers }, (answer) => {
        let text = "";
        answer.on("data", (chunk) => (text += String(chunk)));
        answer.on("end", () =>
          done(
            answer.statusCode === 200 || answer.statusCode === 201 ? "ok" : `${answer.statusCode} ${text}`,
          ),
        );
      });
      sent.on("error", (error) => done(error.message));
      sent.end(body && JSON.stringify(body));
    });
  let isOver = false;
  const outcomes: string[] = [];
  const running = Promise.all(
    Array.from({ length: lanes }, async (_, lane) => {
      for (let turn = 0; !isOver; turn++)
        outcomes.push(await send("POST", { lastName: `${lane}-${turn}` }), await send("GET"));
    }),
  );
  return {
    async stop() {
      isOver = true;
      await running;
      agent.destroy();
      return outcomes;
    },
  };
}

test("every core and gateway is replaced under load behind nginx, and no request fails", async () => {
  const running = load(6);
  for (let index = 0; index < 2; index++) {
    cores.push(await start("core"));
    expect(await (cores.shift() as NodeProcess).stop()).toBe(0);
  }
  for (let index = 0; index < 2; index++) {
    const old = gateways.shift() as NodeProcess;
    const { port } = new URL(old.origin);
    expect(await old.stop()).toBe(0);
    const next = await start("service:gateway", { PORT: port });
    gateways.push(next);
    // nginx leaves one that refused it alone for a while (fail_timeout); until then the other must not go
    await eventually(async () => (await metric(next, "http_request_duration_seconds_count")) > 0);
  }
  const outcomes = await running.stop();
  expect(outcomes.filter((outcome) => outcome !== "ok")).toEqual([]);
  expect(outcomes.length).toBeGreaterThan(100);
}, 120_000);

test("a gateway that stops sends its sockets away, is not ready, and answers what is in flight", async () => {
  const gateway = await start("gateway");
  const socket = io(gateway.origin, {
    auth: { token: admin.token },
    transports: ["websocket"],
    reconnection: false,
  });
  await new Promise((done) => socket.once("connect", () => done(undefined)));
  const gone = new Promise((done) => socket.once("disconnect", done));
  // a connection that is already open: new ones are refused from the first moment on
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = (path: string) =>
    new Promise<{ status?: number; connection?: string }>((done, fail) => {
      request(gateway.origin + path, { agent }, (answer) => {
        answer.resume();
        answer.on("end", () => done({ status: answer.statusCode, connection: answer.headers.connection }));
      })
        .on("error", fail)
        .end();
    });
  expect(await ask("/health/ready")).toMatchObject({ status: 200, connection: "keep-alive" });
  const stopping = gateway.stop();
  await gone;
  expect(await ask("/health/ready")).toEqual({ status: 503, connection: "close" });
  await expect(fetch(gateway.origin)).rejects.toThrow();
  expect(await stopping).toBe(0);
  agent.destroy();
}, 60_000);

test("a second SIGTERM, later than npm passes on the first, ends a process at once", async () => {
  const gateway = await start("gateway", { DRAIN_SECONDS: "15" });
  const agent = new Agent({ keepAlive: true });
  await new Promise((done) => request(`${gateway.origin}/health`, { agent }, done).end());
  gateway.kill("SIGTERM");
  await eventually(() =>
    fetch(`${gateway.metricsOrigin}/health/ready`).then((answer) => answer.status === 503),
  );
  await sleep(1_100);
  const asked = performance.now();
  expect(await gateway.stop()).toBe(1);
  expect(performance.now() - asked).toBeLessThan(5_000);
  agent.destroy();
}, 60_000);
