import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import { setTimeout } from "node:timers/promises";
import { Seeded } from "../chaos/seeded.ts";
import { appendMany } from "../support/feed.ts";
import { eventually } from "../support/eventually.ts";
import { startTestNode, type TestNode } from "../support/node.ts";
import { RealtimeServer, SocketClient, buildClaims, tokenOf } from "../support/realtime.ts";
import { ResumingClient } from "../support/resuming-client.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";

let node: TestNode;
let server: RealtimeServer;
const opened: { close(): unknown }[] = [];
beforeAll(async () => {
  node = await startTestNode({ SERVICES: "events" });
  server = await RealtimeServer.listen(node);
});
afterEach(async () => {
  for (const each of opened.splice(0)) await each.close();
});
afterAll(async () => {
  await server.close();
  await node.stop();
});

test.each([1, 2])(
  "connections cut at random moments lose nothing where clients resume by since, and something where they do not (seed %i)",
  async (seed) => {
    const seeded = new Seeded(seed);
    const claims = buildClaims();
    const token = tokenOf(claims);
    const count = 250;
    const socket = { reconnectionDelay: 60, reconnectionDelayMax: 200 };
    const proxies = await Promise.all(
      Array.from({ length: 16 }, () => TcpProxy.listen(Number(new URL(server.url).port))),
    );
    const urls = proxies.map((proxy) => proxy.through(server.url));
    const resuming = urls.slice(0, 8).map((url) => new ResumingClient(url, { token, since: 0, socket }));
    const live = urls.slice(8).map((url) => new SocketClient(url, token, { reconnection: true, ...socket }));
    opened.push(...resuming, ...live, ...proxies);
    for (const client of live) client.socket.on("connect", () => client.socket.emit("subscribe", {}));
    await eventually(() => resuming.every(({ isSubscribed }) => isSubscribed));

    let isOver = false;
    const drops = proxies.map(async (proxy) => {
      while (!isOver) {
        await setTimeout(seeded.between(100, 600));
        proxy.cut();
      }
    });
    await appendMany(node.runtime, claims.organizationId, count);
    isOver = true;
    await Promise.all(drops);
    await eventually(() => resuming.every(({ last }) => last === count), 10_000);

    const feed = Array.from({ length: count }, (_, index) => index + 1);
    for (const client of resuming) expect(client.seqs).toEqual(feed);
    expect(resuming.every(({ disconnects }) => disconnects > 0)).toBe(true);
    const lost = live.reduce((sum, { seqs }) => sum + count - new Set(seqs).size, 0);
    expect(lost).toBeGreaterThan(0);
  },
);
