import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { freePort } from "../../mixins/process/ports.ts";
import { Client } from "../support/client.ts";
import { startRedis } from "../support/redis.ts";
import { Crowd, machineMs } from "./crowd.ts";
import { cpuMs, postgresOf, residentMiB, start } from "./processes.ts";
import { median, printVerdicts, type Verdict } from "./report.ts";
import type { Ask, Told } from "./socket-clients.ts";
import { makeEnterprises, ms, onStage, percentile, tokensFor, type Stage } from "./stage.ts";

const usage = `node test/bench/sockets.ts [options]: what sockets cost, and how soon they hear
  --sockets <n>  idle sockets of the first part (default 10000)
  --rounds <n>   rounds of the fan-out (default 5)
  --only <part>  idle, room or feed; default all`;

const { values: flags } = parseArgs({
  options: {
    sockets: { type: "string", default: "10000" },
    rounds: { type: "string", default: "5" },
    only: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
const idleSockets = Number(flags.sockets);
const rounds = Number(flags.rounds);
const roomSockets = 1_000;
const messagesOfRound = 50;
/** A socket may send twenty messages a second. */
const messageEveryMs = 60;
const feedOrganizations = 20;
const eventsPerSecond = 200;
const feedSeconds = 10;

/** A single Redis, for the bare servers. */
interface Redis {
  bareRedisUrl: string;
}

/** Sockets that only listen. */
class Listeners extends Crowd<Ask, Told> {
  constructor(folder: string, name: string) {
    super(folder, name, "socket-clients.ts");
  }

  async connect(...connect: Extract<Ask, { connect: unknown }>["connect"]): Promise<void> {
    await this.ask({ connect });
  }

  /** What was heard since the last report. */
  async report(): Promise<Extract<Told, { heard: unknown }>> {
    const told = await this.ask({ report: true });
    return "heard" in told ? told : { heard: [], lags: [] };
  }
}

async function measureIdle({ folder, databaseUrl, gateways: [gateway] }: Stage): Promise<Verdict> {
  const admins = [
    await new Client(gateway.origin).register("One"),
    await new Client(gateway.origin).register("Two"),
  ];
  await makeEnterprises(databaseUrl);
  const each = Math.ceil(idleSockets / 2);
  const tokens: string[][] = [];
  for (const admin of admins) tokens.push(await tokensFor(admin, each));
  await sleep(3_000);
  const before = residentMiB(gateway.child);
  const crowds = await Promise.all(
    tokens.map(async (list, index) => {
      const crowd = new Listeners(folder, `idle-${index}`);
      await crowd.connect({ url: gateway.origin, tokens: list, subscribe: true, plain: false });
      return crowd;
    }),
  );
  await sleep(5_000);
  const kibibytes = ((residentMiB(gateway.child) - before) * 1024) / (2 * each);
  await Promise.all(crowds.map((crowd) => crowd.stop()));
  console.log(
    `Idle: ${2 * each} sockets of 2 organizations, subscribed; the process had ${before.toFixed(0)} MiB before`,
  );
  return {
    aim: "resident memory of an idle socket at most 30 KiB",
    reached: `${kibibytes.toFixed(1)} KiB`,
    met: kibibytes <= 30,
  };
}

/** Half of the room's sockets at each of two servers. */
async function fill(crowd: Listeners, origins: string[], tokens: string[], plain: boolean): Promise<void> {
  const half = tokens.length / 2;
  await crowd.connect(
    ...origins.map((url, index) => ({
      url,
      tokens: tokens.slice(index * half, (index + 1) * half),
      subscribe: false,
      plain,
    })),
  );
}

/** Sends a message a mark; answers the milliseconds each took to each socket. */
async function fanOut(crowd: Listeners, marks: string[], send: (mark: string) => void): Promise<number[]> {
  const sentAt = new Map<string, number>();
  for (const mark of marks) {
    sentAt.set(mark, machineMs());
    send(mark);
    await sleep(messageEveryMs);
  }
  await sleep(500);
  const { heard } = await crowd.report();
  return heard.flatMap(([mark, times]) => times.map((time) => time - (sentAt.get(mark) ?? NaN)));
}

async function measureRoom({ folder, gateways, bareRedisUrl }: Stage & Redis): Promise<Verdict> {
  const [{ origin }] = gateways;
  const admin = await new Client(origin).register("Room");
  const made = await admin.post("/leads/bulk", {
    items: Array.from({ length: messagesOfRound }, (_, index) => ({ firstName: `Lead ${index}` })),
  });
  const marks = (made.body as { results: { id: string }[] }).results.map(({ id }) => id);
  const ours = new Listeners(folder, "room");
  await fill(
    ours,
    gateways.map((gateway) => gateway.origin),
    await tokensFor(admin, roomSockets),
    false,
  );
  const socket = io(origin, { auth: { token: admin.token }, transports: ["websocket"] });
  await once(socket as never, "connect");

  const ports = [await freePort(), await freePort()];
  const bareOrigins = ports.map((port) => `http://127.0.0.1:${port}`);
  for (const [index, port] of ports.entries()) {
    const env = { BARE_PORT: String(port), BARE_REDIS_URL: bareRedisUrl };
    start(`bare-${index}`, process.execPath, [join(import.meta.dirname, "bare-rooms.ts")], { folder, env });
  }
  const bare = new Listeners(folder, "bare-room");
  await sleep(1_500);
  await fill(bare, bareOrigins, new Array<string>(roomSockets).fill(""), true);
  const plain = new WebSocket(bareOrigins[0]!.replace("http", "ws"), { perMessageDeflate: false });
  await once(plain, "open");

  const messageOf = (id: string) => ({ entity: { kind: "lead", id }, isTyping: true });
  const typing = (mark: string) => void socket.emit("typing", messageOf(mark));
  const bareTyping = (mark: string) =>
    plain.send(`2${JSON.stringify(["typing", { ...messageOf(mark), userId: admin.userId }])}`);
  const p95 = { ours: [] as number[], bare: [] as number[] };
  let heard = 0;
  for (let round = -1; round < rounds; round++) {
    const ourTimes = await fanOut(ours, marks, typing);
    const bareTimes = await fanOut(bare, marks, bareTyping);
    if (round < 0) continue;
    heard += ourTimes.length;
    p95.ours.push(percentile(ourTimes, 0.95));
    p95.bare.push(percentile(bareTimes, 0.95));
  }
  socket.disconnect();
  plain.close();
  await Promise.all([ours.stop(), bare.stop()]);
  const [mine, least] = [median(p95.ours), median(p95.bare)];
  const share = heard / (rounds * messagesOfRound * roomSockets);
  console.log(
    `Room: ${roomSockets} sockets at two gateways, medians of ${rounds} rounds: p95 ${ms(mine)}, bare ws ${ms(least)}; ${(100 * share).toFixed(2)} % of the messages arrived`,
  );
  return {
    aim: "fan-out p95 at most 1.5 times that of bare ws",
    reached: (mine / least).toFixed(2),
    met: mine / least <= 1.5,
  };
}

async function measureFeed({ folder, gateways }: Stage): Promise<Verdict> {
  const [first] = gateways;
  const admins: Client[] = [];
  for (let index = 0; index < feedOrganizations; index++)
    admins.push(await new Client(first.origin).register(`Feed${index}`));
  const crowd = new Listeners(folder, "feed");
  const each = 1_000 / feedOrganizations / gateways.length;
  await crowd.connect(
    ...gateways.map(({ origin }) => ({
      url: origin,
      tokens: admins.flatMap(({ token }) => new Array<string>(each).fill(token ?? "")),
      subscribe: true,
      plain: false,
    })),
  );
  const count = eventsPerSecond * feedSeconds;
  const used = () => [...gateways.map(({ child }) => cpuMs(child)), crowd.cpuMs(), cpuMs(postgresOf(folder))];
  let created = 0;
  /** Answers the events a second that the machine kept up with. */
  const load = async (seconds: number) => {
    const begin = performance.now();
    const posts: Promise<void>[] = [];
    for (let index = 0; index < eventsPerSecond * seconds; index++) {
      const early = begin + (index * 1000) / eventsPerSecond - performance.now();
      if (early > 0) await sleep(early);
      const admin = admins[index % feedOrganizations] as Client;
      const post = async () => {
        const { status } = await admin.post("/leads", { firstName: `Lead ${index}` });
        if (status === 201) created++;
      };
      posts.push(post());
    }
    await Promise.all(posts);
    return (posts.length * 1000) / (performance.now() - begin);
  };
  await load(2);
  await sleep(500);
  await crowd.report();
  created = 0;
  const before = used();
  const perSecond = await load(feedSeconds);
  await sleep(1_500);
  const { lags } = await crowd.report();
  const cores = used().map((cpu, index) => (cpu - (before[index] as number)) / 1000 / (count / perSecond));
  await crowd.stop();
  const p95 = percentile(lags, 0.95);
  const isValid = created === count && perSecond > 0.95 * eventsPerSecond;
  console.log(
    `Feed: 1000 sockets of ${feedOrganizations} organizations at two gateways, ${perSecond.toFixed(0)} events/s${isValid ? "" : " (INVALID: the machine did not keep up)"}: from the event's transaction to a socket p50 ${ms(percentile(lags, 0.5))}, p95 ${ms(p95)}; ${lags.length} of ${(count * 1_000) / feedOrganizations} heard; of a core: gateways ${cores[0]?.toFixed(2)} and ${cores[1]?.toFixed(2)}, clients ${cores[2]?.toFixed(2)}, PostgreSQL ${cores[3]?.toFixed(2)}`,
  );
  return { aim: "commit to socket p95 below 50 ms", reached: ms(p95), met: isValid ? p95 < 50 : undefined };
}

async function run(): Promise<void> {
  const single = await startRedis();
  try {
    await onStage({ hasCore: false }, async (stage) => {
      const verdicts: Verdict[] = [];
      for (const [name, measure] of Object.entries({
        room: measureRoom,
        feed: measureFeed,
        idle: measureIdle,
      }))
        if (name === (flags.only ?? name))
          verdicts.push(await measure({ ...stage, bareRedisUrl: single.url }));
      printVerdicts(verdicts);
    });
  } finally {
    await single.stop();
  }
}

if (flags.help) console.log(usage);
else await run();
