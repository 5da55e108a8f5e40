import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import pg from "pg";
import { startEmbeddedPostgres, type EmbeddedServer } from "../../mixins/database/embedded-postgres.ts";
import { migrate } from "../../mixins/database/migrate.ts";
import { freePort } from "../../mixins/process/ports.ts";
import { startNats, type NatsServer } from "../support/nats.ts";
import { startRedisCluster, type RedisCluster } from "../support/redis.ts";
import { eventually } from "../support/eventually.ts";
import { startProcess, type NodeProcess } from "../support/process.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";
import { witnessTables } from "./witness.ts";

export type Role = "gateway" | "core" | "worker" | "cron";
const servicesOf: Record<Role, string> = {
  gateway: "service:gateway",
  core: "core",
  worker: "worker",
  cron: "cron",
};
/** How many processes of each role. */
export type Size = Record<Role, number>;

/** One place in the cluster: a process, which may die and be followed by another. */
export interface Member {
  role: Role;
  name: string;
  process: NodeProcess;
  /** Between its processes and the servers: a fault of the network of this place alone. */
  postgres: TcpProxy;
  nats: TcpProxy;
  settings: Record<string, string>;
  /** What its processes run. */
  program: string;
  starts: number;
}

/** Everything of one installation on the loopback, in processes of its own. */
export class Cluster {
  readonly members: Member[] = [];
  readonly folder: string;
  /** Undefined in a cluster without. */
  readonly redis: RedisCluster | undefined;
  #server: EmbeddedServer;
  #nats: NatsServer;
  #pool: pg.Pool;
  /** Of processes that are gone. */
  readonly #outputs: { name: string; output: string }[] = [];

  private constructor(
    folder: string,
    servers: { server: EmbeddedServer; nats: NatsServer; redis: RedisCluster | undefined },
  ) {
    this.folder = folder;
    this.redis = servers.redis;
    this.#server = servers.server;
    this.#nats = servers.nats;
    this.#pool = openPool(this.#server);
  }

  /**
   * @param options.hasRedis whether a Redis Cluster belongs to it; @param options.settings of every process
   * @param options.program what every process runs; default the product with the witness in it
   */
  static async start(
    size: Size,
    options: { hasRedis: boolean; settings: Record<string, string>; program?: string },
  ): Promise<Cluster> {
    const { program = "test/chaos/node.ts" } = options;
    const folder = mkdtempSync(join(tmpdir(), "sangam-chaos-"));
    chmodSync(folder, 0o755); // PostgreSQL runs as a user of its own when the tests run as root
    const [server, nats, redis] = await Promise.all([
      startEmbeddedPostgres(folder, () => undefined),
      startNats(),
      options.hasRedis ? startRedisCluster() : undefined,
    ]);
    const cluster = new Cluster(folder, { server, nats, redis });
    const settings = { ...options.settings, ...(redis && { REDIS_URL: redis.url }) };
    // a test that is broken off leaves nothing running
    process.once("exit", cluster.#killAll);
    try {
      await server.createDatabase("sangam");
      await migrate(server.url("sangam"), { control: true });
      await cluster.query(witnessTables);
      const places = (Object.keys(size) as Role[]).flatMap((role) =>
        Array.from({ length: size[role] }, (_, index) => ({ role, name: `${role}-${index}` })),
      );
      await Promise.all(places.map(({ role, name }) => cluster.#add(role, name, { settings, program })));
      // in an order that a seed can choose from again
      cluster.members.sort((a, b) => a.name.localeCompare(b.name));
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  of(role: Role): Member[] {
    return this.members.filter((member) => member.role === role);
  }
  /** Of the database, past every place's proxy; another one after a restart of PostgreSQL. */
  get databaseUrl(): string {
    return this.#server.url("sangam");
  }
  get natsUrl(): string {
    return this.#nats.url;
  }
  get origins(): string[] {
    return this.of("gateway").map((member) => member.process.origin);
  }

  /** Rows as the owner sees them, past row-level security. */
  async query<T extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<T[]> {
    return (await this.#pool.query<T>(text, values)).rows;
  }

  /** The place that leads the scheduled work. @throws when none does */
  async leader(): Promise<Member> {
    const [row] = await this.query<{ node_id: string }>(
      "SELECT node_id FROM control.leaders WHERE name = 'cron' AND expires_at > clock_timestamp()",
    );
    const leader = this.members.find((member) => nodeId(member) === row?.node_id);
    if (!leader) throw new Error("Nobody leads");
    return leader;
  }

  /** Starts the next process of a place whose last one has ended. @param settings of this process alone */
  async revive(member: Member, settings: Record<string, string> = {}): Promise<void> {
    this.#outputs.push({ name: nodeId(member), output: member.process.output() });
    member.starts++;
    member.process = await start(member, settings);
  }

  /** @param how `stop` rolls back what runs and writes everything down; `crash` is kill -9 of the server */
  async restartPostgres(how: "stop" | "crash", pauseMs: number): Promise<void> {
    if (how === "stop") await this.#server.stop();
    else process.kill(this.#postmaster() ?? 0, "SIGKILL");
    await this.#pool.end();
    await setTimeout(pauseMs);
    // after a crash the server's other processes hold its memory for a moment
    this.#server = await eventually(() => startEmbeddedPostgres(this.folder, () => undefined), 30_000);
    const port = Number(new URL(this.#server.url("sangam")).port);
    for (const { postgres } of this.members) postgres.forwardTo(port);
    this.#pool = openPool(this.#server);
  }

  async restartNats(pauseMs: number): Promise<void> {
    await this.#nats.stop("SIGKILL");
    await setTimeout(pauseMs);
    this.#nats = await startNats(this.#nats.port);
  }

  /** Writes what every process said into a folder; answers it. */
  saveOutputs(): string {
    const folder = mkdtempSync(join(tmpdir(), "sangam-chaos-logs-"));
    const running = this.members.map((member) => ({
      name: nodeId(member),
      output: member.process.output(),
    }));
    for (const { name, output } of [...this.#outputs, ...running])
      writeFileSync(join(folder, `${name}.log`), output);
    return folder;
  }

  /** The errors that its processes have logged. */
  errors(): string[] {
    return this.members.flatMap((member) =>
      member.process
        .output()
        .split("\n")
        .filter((line) => line.includes('"level":50')),
    );
  }

  async stop(): Promise<void> {
    process.removeListener("exit", this.#killAll);
    for (const { process } of this.members) process.kill("SIGCONT");
    await Promise.all(this.members.map(({ process }) => process.stop()));
    await Promise.all(this.members.flatMap(({ postgres, nats }) => [postgres.close(), nats.close()]));
    await this.#pool.end();
    await Promise.all([this.#nats.stop(), this.#server.stop(), this.redis?.stop()]);
    rmSync(this.folder, { recursive: true, force: true });
  }

  readonly #killAll = (): void => {
    for (const { process } of this.members) process.kill("SIGKILL");
    void this.#nats.stop("SIGKILL");
    this.redis?.signal("SIGKILL");
    const postmaster = this.#postmaster();
    if (postmaster !== undefined) process.kill(postmaster, "SIGINT");
  };

  /** Process id of PostgreSQL, while it runs. */
  #postmaster(): number | undefined {
    const file = join(this.folder, "postgres/postmaster.pid");
    return existsSync(file) ? Number.parseInt(readFileSync(file, "utf8")) : undefined;
  }

  async #add(
    role: Role,
    name: string,
    { settings, program }: Pick<Member, "settings" | "program">,
  ): Promise<void> {
    const [postgres, nats, port] = await Promise.all([
      TcpProxy.listen(Number(new URL(this.#server.url("sangam")).port)),
      TcpProxy.listen(this.#nats.port),
      freePort(),
    ]);
    const member = {
      role,
      name,
      postgres,
      nats,
      program,
      starts: 0,
      settings: {
        ...settings,
        SERVICES: servicesOf[role],
        DATABASE_URL: postgres.through(this.#server.url("sangam")),
        DATABASE_POOL_SIZE: "4",
        NATS_URL: nats.through(this.#nats.url),
        PORT: String(port),
      },
    };
    this.members.push({ ...member, process: await start(member) });
  }
}

const openPool = (server: EmbeddedServer): pg.Pool => {
  const pool = new pg.Pool({ connectionString: server.url("sangam"), max: 4 });
  pool.on("error", () => undefined);
  return pool;
};

/** A place's processes have names of their own, as pods do. */
const nodeId = ({ name, starts }: Pick<Member, "name" | "starts">): string => `${name}.${starts}`;

const start = (member: Omit<Member, "process">, settings: Record<string, string> = {}) =>
  startProcess(nodeId(member), { ...member.settings, ...settings }, member.program);
