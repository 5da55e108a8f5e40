import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { startEmbeddedPostgres } from "../../mixins/database/embedded-postgres.ts";
import { migrate } from "../../mixins/database/migrate.ts";
import { Client } from "../support/client.ts";
import { inspect } from "../support/database.ts";
import { startRedis, startRedisCluster } from "../support/redis.ts";
import { freePort } from "../../mixins/process/ports.ts";
import { cpuMs, postgresOf, residentMiB, start, stopAll, untilReady, type Child } from "./processes.ts";
import { median, printVerdicts, type Verdict } from "./report.ts";
import { machineMs, type Ask, type Told } from "./socket-clients.ts";

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
/** Sockets a user may have at one gateway. */
const socketsOfUser = 50;

interface Gateway {
  origin: string;
  child: Child;
}
interface Stage {
  folder: string;
  databaseUrl: string;
  gateways: [Gateway, Gateway];
  /** A single Redis, for the bare servers. */
  bareRedisUrl: string;
}

/** A process full of sockets. */
class Crowd {
  readonly #child: Child;

  constructor(folder: string, name: string) {
    const file = join(import.meta.dirname, "socket-clients.ts");
    this.#child = start(name, process.execPath, [file], { folder, ipc: true });
  }

  async connect(...connect: Extract<Ask, { connect: unknown }>["connect"]): Promise<void> {
    await this.#ask({ connect });
  }

  /** What was heard since the last report. */
  async report(): Promise<Extract<Told, { heard: unknown }>> {
    const told = await this.#ask({ report: true });
    return "heard" in told ? told : { heard: [], lags: [] };
  }

  stop = () => this.#child.stop();
  cpuMs = () => cpuMs(this.#child);

  async #ask(ask: Ask): Promise<Told> {
    const answered = once(this.#child.process, "message");
    const ended = once(this.#child.process, "exit").then(() => {
      throw new Error("A process of sockets ended; see its log");
    });
    this.#child.process.send(ask);
    const [told] = (await Promise.race([answered, ended])) as [Told];
    return told;
  }
}

const percentile = (values: number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? NaN;
const ms = (value: number): string => `${value.toFixed(1)} ms`;

/** Tokens for `count` sockets of an organization at one gateway, of as many users as that takes. */
async function tokensFor(admin: Client, count: number): Promise<string[]> {
  const tokens: string[] = [];
  while (tokens.length < count) {
    const users = await Promise.all([1, 2, 3, 4].map(() => admin.addUser("manager")));
    for (const { token } of users) tokens.push(...new Array<string>(socketsOfUser).fill(token ?? ""));
  }
  return tokens.slice(0, count);
}

async function measureIdle({ folder, databaseUrl, gateways: [gateway] }: Stage): Promise<Verdict> {
  const admins = [
    await new Client(gateway.origin).register("One"),
    await new Client(gateway.origin).register("Two"),
  ];
  // a trial has too few users for so many sockets; processes see the change within a second
  await inspect(databaseUrl, "UPDATE control.organizations SET plan = 'enterprise', updated_at = now()");
  await sleep(2_000);
  const each = Math.ceil(idleSockets / 2);
  const tokens: string[][] = [];
  for (const admin of admins) tokens.push(await tokensFor(admin, each));
  await sleep(3_000);
  const before = residentMiB(gateway.child);
  const crowds = await Promise.all(
    tokens.map(async (list, index) => {
      const crowd = new Crowd(folder, `idle-${index}`);
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
async function fill(crowd: Crowd, origins: string[], tokens: string[], plain: boolean): Promise<void> {
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
async function fanOut(crowd: Crowd, marks: string[], send: (mark: string) => void): Promise<number[]> {
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

async function measureRoom({ folder, gateways, bareRedisUrl }: Stage): Promise<Verdict> {
  const [{ origin }] = gateways;
  const admin = await new Client(origin).register("Room");
  const made = await admin.post("/leads/bulk", {
    items: Array.from({ length: messagesOfRound }, (_, index) => ({ firstName: `Lead ${index}` })),
  });
  const marks = (made.body as { results: { id: string }[] }).results.map(({ id }) => id);
  const ours = new Crowd(folder, "room");
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
  const bare = new Crowd(folder, "bare-room");
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
  const crowd = new Crowd(folder, "feed");
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

async function startGateway(
  folder: string,
  name: string,
  settings: Record<string, string>,
): Promise<Gateway> {
  const [port, metricsPort] = [await freePort(), await freePort()];
  const env = {
    HOST: "127.0.0.1",
    PORT: String(port),
    METRICS_PORT: String(metricsPort),
    MASTER_KEY: Buffer.alloc(32, 1).toString("base64"),
    RATE_LIMIT_PER_MINUTE: "100000000",
    SEED_DEMO: "false",
    NODE_ID: name,
    SERVICES: "gateway",
    ...settings,
  };
  const file = resolve(import.meta.dirname, "../../services/start.ts");
  const child = start(name, process.execPath, ["--max-semi-space-size=16", file], { folder, env });
  await untilReady(child, `http://127.0.0.1:${metricsPort}/health/ready`, folder);
  return { origin: `http://127.0.0.1:${port}`, child };
}

async function run(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "sangam-bench-"));
  chmodSync(folder, 0o755); // PostgreSQL runs as a user of its own when this runs as root
  const closers: (() => Promise<unknown>)[] = [() => stopAll()];
  try {
    const server = await startEmbeddedPostgres(folder, () => undefined);
    closers.push(() => server.stop());
    await server.createDatabase("bench");
    await migrate(server.url("bench"), { control: true });
    const [cluster, single] = [await startRedisCluster(), await startRedis()];
    closers.push(
      () => cluster.stop(),
      () => single.stop(),
    );
    const natsPort = await freePort();
    start("nats", "nats-server", ["-a", "127.0.0.1", "-p", String(natsPort)], { folder });
    const settings = {
      DATABASE_URL: server.url("bench"),
      NATS_URL: `nats://127.0.0.1:${natsPort}`,
      REDIS_URL: cluster.url,
    };
    const gateways: [Gateway, Gateway] = [
      await startGateway(folder, "one", settings),
      await startGateway(folder, "two", settings),
    ];
    const stage = { folder, databaseUrl: server.url("bench"), gateways, bareRedisUrl: single.url };
    const parts = { room: measureRoom, feed: measureFeed, idle: measureIdle };
    const verdicts: Verdict[] = [];
    for (const [name, measure] of Object.entries(parts))
      if (name === (flags.only ?? name)) verdicts.push(await measure(stage));
    printVerdicts(verdicts);
  } finally {
    for (const close of closers) await close();
    rmSync(folder, { recursive: true, force: true });
  }
}

if (flags.help) console.log(usage);
else await run();
