import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { eventually } from "../support/eventually.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";

let echo: Server;
let proxy: TcpProxy;
let received: string;
const clients: TestClient[] = [];

interface TestClient {
  socket: Socket;
  answered: string;
  isClosed: boolean;
}
const open = async (): Promise<TestClient> => {
  const client: TestClient = { socket: connect(proxy.port, "127.0.0.1"), answered: "", isClosed: false };
  clients.push(client);
  client.socket.on("data", (chunk) => (client.answered += chunk.toString()));
  client.socket.on("error", () => undefined);
  client.socket.on("close", () => (client.isClosed = true));
  await new Promise((done) => client.socket.once("connect", done).once("close", done));
  return client;
};

beforeEach(async () => {
  received = "";
  echo = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      received += chunk.toString();
      socket.write(chunk);
    });
  });
  await new Promise<void>((done) => echo.listen(0, "127.0.0.1", done));
  proxy = await TcpProxy.listen((echo.address() as AddressInfo).port);
});
afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.destroy();
  await proxy.close();
  await new Promise((done) => echo.close(done));
});

test("forwards both ways, and ends the one side with the other", async () => {
  const client = await open();
  client.socket.write("hello");
  await eventually(() => client.answered === "hello");
  client.socket.end();
  await eventually(() => client.isClosed && proxy.connections === 0);
});

test("holds back while it is paused, and loses nothing", async () => {
  const client = await open();
  proxy.pause();
  client.socket.write("one");
  client.socket.write("two");
  await new Promise((done) => setTimeout(done, 50));
  expect(received).toBe("");
  proxy.resume();
  await eventually(() => client.answered === "onetwo");
});

test("cuts what is open, and takes new connections", async () => {
  const client = await open();
  await eventually(() => proxy.connections === 1);
  proxy.cut();
  await eventually(() => client.isClosed);
  const next = await open();
  next.socket.write("again");
  await eventually(() => next.answered === "again");
});

test("refuses everybody until it is resumed", async () => {
  const client = await open();
  proxy.refuse();
  await eventually(() => client.isClosed);
  const refused = await open();
  await eventually(() => refused.isClosed);
  proxy.resume();
  const next = await open();
  next.socket.write("again");
  await eventually(() => next.answered === "again");
});

test("swallows what goes in one direction only", async () => {
  const client = await open();
  proxy.blackhole("down");
  client.socket.write("heard");
  await eventually(() => received === "heard");
  expect(client.answered).toBe("");
  proxy.resume();
  client.socket.write(" and answered");
  await eventually(() => client.answered === " and answered");
  expect(client.isClosed).toBe(false);
});

test("delivers later", async () => {
  const client = await open();
  proxy.delay(50);
  const start = performance.now();
  client.socket.write("slow");
  await eventually(() => client.answered === "slow");
  expect(performance.now() - start).toBeGreaterThan(95);
});
