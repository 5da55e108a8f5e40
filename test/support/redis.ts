import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { freePort } from "../../mixins/process/ports.ts";
import { eventually } from "./eventually.ts";
import { requireProgram } from "./programs.ts";

/** A Redis of the test's own, on the loopback, without persistence. */
export interface RedisServers {
  /** As REDIS_URL takes it. */
  url: string;
  ports: number[];
  /** A connection to each server that runs; each test ends with `stop`, which closes them. */
  clients(): Redis[];
  /** Sends a signal to every server: SIGSTOP makes them hang, SIGCONT wakes them. */
  signal(name: NodeJS.Signals): void;
  /** Ends the servers, empty when they start again: all of Redis is gone. */
  stop(): Promise<void>;
  /** Starts them again, on the same ports. */
  start(): Promise<void>;
}
export interface RedisCluster extends RedisServers {
  /** Kills the master that holds this key; answers its port. The failover takes about two seconds. */
  killMaster(key: string): Promise<number>;
}

const slots = 16_384;
const masters = 3;
/** After this long without an answer a node counts as lost, and its replica takes over. */
const nodeTimeoutMs = 1_000;

/** A single `redis-server`. */
export async function startRedis(): Promise<RedisServers> {
  const fleet = new Fleet([await freePort()], []);
  await fleet.start();
  return {
    url: `redis://127.0.0.1:${fleet.ports[0]}`,
    ports: fleet.ports,
    clients: () => fleet.clients,
    signal: (name) => fleet.signal(name),
    start: () => fleet.start(),
    stop: () => fleet.stop(),
  };
}

/** A Redis Cluster of three masters with a replica each. */
export async function startRedisCluster(): Promise<RedisCluster> {
  const ports: number[] = [];
  // the cluster bus listens 10,000 above, where freePort gives none
  while (ports.length < 2 * masters) ports.push(await freePort());
  const fleet = new Fleet(ports, [
    ...["--cluster-enabled", "yes", "--cluster-node-timeout", String(nodeTimeoutMs)],
    ...["--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"],
  ]);
  const start = async () => {
    await fleet.start();
    await joinAll(fleet.clients);
  };
  await start();
  return {
    url: ports.map((port) => `redis://127.0.0.1:${port}`).join(","),
    ports,
    clients: () => fleet.clients,
    signal: (name) => fleet.signal(name),
    start,
    stop: () => fleet.stop(),
    async killMaster(key) {
      const seen = await eventually(() => fleet.clients.find(({ status }) => status === "ready"));
      const slot = await seen.cluster("KEYSLOT", key);
      const ranges = await seen.cluster("SLOTS");
      const port = ranges.find(([from, to]) => from <= slot && slot <= to)?.[2]?.[1];
      if (port === undefined) throw new Error(`No node holds slot ${slot}`);
      await fleet.kill(port);
      return port;
    },
  };
}

/** Resolves when the channel whose name ends so has this many subscribers. */
export const subscribed = (redis: RedisServers, channel: string, count: number) =>
  eventually(async () => {
    let found = 0;
    for (const client of redis.clients()) {
      const names = (await client.call("PUBSUB", "SHARDCHANNELS")) as string[];
      const [name] = names.filter((each) => each.endsWith(channel));
      if (name !== undefined)
        found += ((await client.call("PUBSUB", "SHARDNUMSUB", name)) as [string, number])[1];
    }
    return found === count;
  });

/** Makes the servers one cluster: slots, acquaintance, replicas. */
async function joinAll(clients: Redis[]): Promise<void> {
  const [first] = clients as [Redis, ...Redis[]];
  const share = Math.ceil(slots / masters);
  await Promise.all(
    clients
      .slice(0, masters)
      .map((client, index) =>
        client.call(
          "CLUSTER",
          "ADDSLOTSRANGE",
          String(index * share),
          String(Math.min(slots, (index + 1) * share) - 1),
        ),
      ),
  );
  await Promise.all(
    clients.map((client, index) => client.call("CLUSTER", "SET-CONFIG-EPOCH", String(index + 1))),
  );
  for (const { options } of clients.slice(1))
    await first.cluster("MEET", "127.0.0.1", options.port as number);
  const ids = await Promise.all(clients.map(async (client) => String(await client.cluster("MYID"))));
  for (const [index, replica] of clients.slice(masters).entries())
    await eventually(async () => (await replica.cluster("REPLICATE", ids[index] as string)) === "OK");
  await eventually(async () => {
    const states = await Promise.all(
      clients.map(async (client) => {
        const [about, ranges] = await Promise.all([client.cluster("INFO"), client.cluster("SLOTS")]);
        return (
          String(about).includes("cluster_state:ok")
          && (ranges as unknown[][]).length === masters
          && (ranges as unknown[][]).every((range) => range.length === 4)
        );
      }),
    );
    return states.every(Boolean);
  }, 20_000);
}

/** Server processes and a connection to each. */
class Fleet {
  readonly ports: number[];
  clients: Redis[] = [];
  readonly #options: string[];
  readonly #running = new Map<number, ChildProcess>();
  #folder = "";

  constructor(ports: number[], options: string[]) {
    this.ports = ports;
    this.#options = options;
  }

  async start(): Promise<void> {
    requireProgram("redis-server");
    this.#folder = mkdtempSync(join(tmpdir(), "sangam-redis-"));
    for (const port of this.ports) {
      const base = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
      const files = ["--dir", this.#folder, "--cluster-config-file", `nodes-${port}.conf`];
      const child = spawn("redis-server", [...base, ...files, ...this.#options], { stdio: "ignore" });
      this.#running.set(port, child);
    }
    this.clients = this.ports.map((port) => {
      const client = new Redis(port, "127.0.0.1", { retryStrategy: () => 50, maxRetriesPerRequest: null });
      client.on("error", () => undefined);
      return client;
    });
    await eventually(async () => {
      const answers = await Promise.all(this.clients.map((client) => client.ping()));
      return answers.every((answer) => answer === "PONG");
    });
  }

  signal(name: NodeJS.Signals): void {
    for (const child of this.#running.values()) child.kill(name);
  }

  async kill(port: number): Promise<void> {
    const child = this.#running.get(port);
    if (!child) return;
    this.#running.delete(port);
    this.clients = this.clients.filter((client) => {
      if (client.options.port === port) client.disconnect();
      return client.options.port !== port;
    });
    const ended = new Promise((done) => child.once("exit", done));
    child.kill("SIGKILL");
    await ended;
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((port) => this.kill(port)));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
