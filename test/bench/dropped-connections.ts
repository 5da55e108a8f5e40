import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Server } from "socket.io";
import { io } from "socket.io-client";
import { Seeded } from "../chaos/seeded.ts";
import { Client } from "../support/client.ts";
import { ResumingClient } from "../support/resuming-client.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";
import { feedOf, headOf } from "./feeds.ts";
import { printVerdicts } from "./report.ts";
import { onStage, tokensFor, type Stage } from "./stage.ts";

const usage = `node test/bench/dropped-connections.ts [options]: what clients get whose connections are cut now and then
  --seed <n>      decides when, and to which gateway a client comes next (default 1)
  --clients <n>   of Sangam, and as many of a bare Socket.IO server that sends the same to a room (default 100)
  --seconds <n>   of events (default 40)
  --rate <n>      events a second (default 20)
Each client has a proxy of its own, which resets its connection every 2 to 12 s, that of its counterpart at the same moment. All
are stock Socket.IO clients with its own settings for reconnecting. Exits with 1 unless all got everything once, in order.`;

const { values: flags } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    clients: { type: "string", default: "100" },
    seconds: { type: "string", default: "40" },
    rate: { type: "string", default: "20" },
    help: { type: "boolean", default: false },
  },
});
const clientCount = Number(flags.clients);
const eventCount = Number(flags.rate) * Number(flags.seconds);
const pauseMs = { least: 2_000, most: 12_000 };
const patienceMs = 60_000;

/** Sends what it is told to everybody in a room, once: what Socket.IO does by itself. */
class BareRoom {
  readonly #http = createServer();
  readonly #io = new Server(this.#http);
  readonly #seen: Set<number>[] = [];
  readonly #close: (() => void)[] = [];

  async listen(): Promise<number> {
    this.#io.on("connection", (socket) => void socket.join("room"));
    await new Promise<void>((done) => this.#http.listen(0, "127.0.0.1", done));
    return (this.#http.address() as AddressInfo).port;
  }

  async connect(port: number): Promise<void> {
    const seen = new Set<number>();
    this.#seen.push(seen);
    const socket = io(`http://127.0.0.1:${port}`, { transports: ["websocket"], forceNew: true });
    socket.on("event", (index: number) => seen.add(index));
    this.#close.push(() => socket.disconnect());
    await new Promise<void>((done) => socket.once("connect", done));
  }

  send(index: number): void {
    this.#io.to("room").emit("event", index);
  }

  /** How many of the messages came to each client, together. */
  get delivered(): number {
    return this.#seen.reduce((sum, { size }) => sum + size, 0);
  }

  async close(): Promise<void> {
    for (const close of this.#close) close();
    await this.#io.close();
  }
}

async function run({ gateways }: Stage): Promise<boolean> {
  const seeded = new Seeded(Number(flags.seed));
  const ports = gateways.map(({ origin }) => Number(new URL(origin).port));
  const admin = await new Client(gateways[0].origin).register("Drops");
  const tokens = await tokensFor(admin, clientCount);
  const since = await headOf(admin);
  const room = new BareRoom();
  const barePort = await room.listen();
  const proxies = await Promise.all(
    tokens.map(async (_, index) => ({
      ours: await TcpProxy.listen(ports[index % ports.length] as number),
      bare: await TcpProxy.listen(barePort),
    })),
  );
  const refusals = new Map<string, number>();
  const clients = tokens.map((each, index) => {
    const url = `http://127.0.0.1:${proxies[index]?.ours.port}`;
    const onRefusal = (why: string) => refusals.set(why, (refusals.get(why) ?? 0) + 1);
    return new ResumingClient(url, { token: each, since, onRefusal });
  });
  try {
    await Promise.all(proxies.map(({ bare }) => room.connect(bare.port)));
    while (!clients.every(({ isSubscribed }) => isSubscribed)) await sleep(20);

    let isOver = false;
    const drops = proxies.map(async ({ ours, bare }) => {
      for (;;) {
        await sleep(seeded.between(pauseMs.least, pauseMs.most));
        if (isOver) return;
        ours.forwardTo(seeded.pick(ports));
        ours.cut();
        bare.cut();
      }
    });
    const begin = performance.now();
    const posts: Promise<void>[] = [];
    let created = 0;
    for (let index = 0; index < eventCount; index++) {
      const early = begin + (index * 1000) / Number(flags.rate) - performance.now();
      if (early > 0) await sleep(early);
      const post = async () => {
        const { status } = await admin.post("/leads", { firstName: `Lead ${index}` });
        if (status === 201) created++;
        room.send(index);
      };
      posts.push(post());
    }
    await Promise.all(posts);
    isOver = true;
    await Promise.all(drops);

    await sleep(1_000); // the last events get their places
    const feed = await feedOf({ origin: admin.origin, token: tokens[0] ?? "" }, since);
    const deadline = performance.now() + patienceMs;
    while (!clients.every(({ last }) => last >= (feed.at(-1) ?? 0)) && performance.now() < deadline)
      await sleep(50);

    const judged = clients.map((client) => client.judge(feed));
    const sum = (of: (one: (typeof judged)[number]) => number) =>
      judged.reduce((total, one) => total + of(one), 0);
    const [missed, doubled, outOfOrder] = [
      sum((one) => one.missed),
      sum((one) => one.doubled),
      sum((one) => one.outOfOrder),
    ];
    const drop = clients.reduce((total, { disconnects }) => total + disconnects, 0);
    const due = feed.length * clients.length;
    const bareDue = eventCount * clients.length;
    console.log(
      `Seed ${flags.seed}: ${created} leads made, ${feed.length} events, ${clients.length} clients at two gateways, their connections cut ${drop} times; ${[...refusals].map(([why, count]) => `${why} ${count}`).join(", ") || "nothing refused"}`,
    );
    console.log(
      `  with since: ${percent(due - missed, due)} delivered, ${missed} missed, ${doubled} doubled, ${outOfOrder} out of order`,
    );
    console.log(`  bare Socket.IO: ${percent(room.delivered, bareDue)} delivered`);
    const isWhole = missed + doubled + outOfOrder === 0 && feed.length >= eventCount;
    printVerdicts([
      {
        aim: "through cut connections every event comes to every client once, in order",
        reached: percent(due - missed, due),
        met: isWhole,
      },
    ]);
    return isWhole;
  } finally {
    for (const client of clients) client.close();
    await room.close();
    await Promise.all(proxies.flatMap(({ ours, bare }) => [ours.close(), bare.close()]));
  }
}

const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(2)} %`;

if (flags.help) console.log(usage);
else {
  let isWhole = false;
  await onStage({ hasCore: true }, async (stage) => {
    isWhole = await run(stage);
  });
  process.exit(isWhole ? 0 : 1); // clients that were cut amid a connection keep timers
}
