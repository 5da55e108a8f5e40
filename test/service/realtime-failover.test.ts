/** @jest-environment ./test/support/environment.mjs */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { append, appendMany } from "../support/feed.ts";
import { startNats, type NatsServer } from "../support/nats.ts";
import { eventually } from "../support/eventually.ts";
import { type Node, startNode, startTestNode, testEnv, type TestNode } from "../support/node.ts";
import { RealtimeServer, SocketClient, buildClaims, tokenOf } from "../support/realtime.ts";

let nats: NatsServer;
let nodeA: TestNode;
let nodeB: Node;
beforeAll(async () => {
  nats = await startNats();
  const settings = { SERVICES: "events", NATS_URL: nats.url };
  nodeA = await startTestNode(settings);
  nodeB = await startNode(testEnv(nodeA.databases, settings));
});
afterAll(async () => {
  await nodeB.stop();
  await nodeA.stop();
  await nats.stop();
});
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

test("a client whose gateway stops resumes at another and has every event exactly once, in order", async () => {
  const [gatewayA, gatewayB] = [await RealtimeServer.listen(nodeA), await RealtimeServer.listen(nodeB)];
  const claims = buildClaims();
  const first = await new SocketClient(gatewayA.url, tokenOf(claims)).connected();
  await first.send("subscribe", { since: 0 });
  const writing = Promise.all(
    [nodeA, nodeB, nodeA, nodeB].map(({ runtime }) => appendMany(runtime, claims.organizationId, 125)),
  );
  await first.reaches(150);
  await gatewayA.close();
  await first.ended();
  expect(first.others).toEqual([["disconnect", "transport close"]]);
  const second = await new SocketClient(gatewayB.url, tokenOf(claims)).connected();
  expect(await second.send("subscribe", { since: first.seqs.at(-1) })).toMatchObject({ ok: true });
  await writing;
  await second.reaches(500);
  expect(first.seqs.length).toBeLessThan(500);
  expect([...first.seqs, ...second.seqs]).toEqual(range(1, 500));
  second.close();
  await gatewayB.close();
});

test("a client that reconnects by itself finds its way back and resumes", async () => {
  const gateway = await RealtimeServer.listen(nodeB);
  const claims = buildClaims();
  const client = new SocketClient(gateway.url, tokenOf(claims), {
    reconnection: true,
    reconnectionDelay: 10,
  });
  client.socket.on("connect", () => void client.send("subscribe", { since: client.seqs.at(-1) ?? 0 }));
  const writing = appendMany(nodeA.runtime, claims.organizationId, 300);
  for (const seq of [50, 100, 150]) {
    await client.reaches(seq);
    (
      client.socket.io.engine as unknown as { transport: { ws: { terminate(): void } } }
    ).transport.ws.terminate();
  }
  await writing;
  await client.reaches(300);
  expect(client.seqs).toEqual(range(1, 300));
  client.close();
  await gateway.close();
});

test("hints reach a gateway on a node that neither wrote nor sequenced", async () => {
  const gateway = await RealtimeServer.listen(nodeB);
  const claims = buildClaims();
  await nodeA.broker.waitForServices(gateway.service, 5_000, 50);
  const client = await new SocketClient(gateway.url, tokenOf(claims)).connected();
  await client.send("subscribe", {});
  const start = performance.now();
  await append(nodeA.runtime, claims.organizationId, {});
  await client.reaches(1);
  expect(performance.now() - start).toBeLessThan(500);
  client.close();
  await gateway.close();
});

test("a session's end is heard on every node", async () => {
  const gateway = await RealtimeServer.listen(nodeB);
  const claims = buildClaims();
  await nodeA.broker.waitForServices(gateway.service, 5_000, 50);
  const client = await new SocketClient(gateway.url, tokenOf(claims)).connected();
  await nodeA.broker.broadcast("session.revoked", { sessionId: claims.sessionId });
  await eventually(() => client.socket.disconnected, 1_000);
  expect(client.others[0]).toEqual(["session.revoked", { reason: "revoked" }]);
  await gateway.close();
});

test("without NATS a gateway shows events within two seconds and a bit, and at once when NATS is back", async () => {
  const gateway = await RealtimeServer.listen(nodeB);
  await nodeA.broker.waitForServices(gateway.service, 5_000, 50);
  const claims = buildClaims();
  const client = await new SocketClient(gateway.url, tokenOf(claims)).connected();
  await client.send("subscribe", {});
  await nats.stop();
  await append(nodeA.runtime, claims.organizationId, {});
  await client.reaches(1, 4_000);
  nats = await startNats(nats.port);
  await eventually(async () => {
    const start = performance.now();
    await append(nodeA.runtime, claims.organizationId, {});
    const { length } = client.seqs;
    await eventually(() => client.seqs.length > length);
    return performance.now() - start < 200;
  });
  expect(client.seqs).toEqual(range(1, client.seqs.length));
  client.close();
  await gateway.close();
});
