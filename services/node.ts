import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ServiceBroker, type ServiceSchema } from "moleculer";
import { Access } from "../mixins/access/access.ts";
import { ActorClient } from "../mixins/actors/client.ts";
import type { Contract } from "../mixins/contract/contract.ts";
import { Database } from "../mixins/database/database.ts";
import { startEmbeddedPostgres } from "../mixins/database/embedded-postgres.ts";
import { OrganizationKeys } from "../mixins/encryption/organization-keys.ts";
import type { Env } from "../mixins/process/env.ts";
import { FeedHints } from "../mixins/events/feed-hints.ts";
import { Organizations } from "../mixins/organizations/organizations.ts";
import { OutboundHttp } from "../mixins/outbound/http.ts";
import { OutboundPolicy } from "../mixins/outbound/policy.ts";
import { declarePlatformTasks } from "../mixins/jobs/platform-tasks.ts";
import { createMailer } from "../mixins/mail/mail.ts";
import { Health } from "../mixins/process/health.ts";
import { requireFreePort } from "../mixins/process/ports.ts";
import { ThrottledLog } from "../mixins/process/throttled-log.ts";
import { RedisConnections } from "../mixins/redis/connections.ts";
import { OpsServer } from "../mixins/process/ops-server.ts";
import { SealedBox } from "../mixins/encryption/sealed-box.ts";
import type { Runtime } from "../mixins/contract/service.ts";
import { brokerOptions } from "../moleculer.config.ts";
import packageJson from "../package.json" with { type: "json" };
import { contracts } from "./contracts.ts";
import { healthChecks } from "./health-checks.ts";
import { mirrorContract } from "./mirror/mirror.contract.ts";
import { chooseServices } from "./roles.ts";

export type { Runtime };
/** A service file exports by default what makes its schema. */
export type ServiceFactory = (runtime: Runtime) => ServiceSchema;
/** A service that is not in this folder. */
export interface ExtraService {
  contract: Contract;
  factory: ServiceFactory;
}

/** A running process of Sangam. */
export interface Node {
  broker: ServiceBroker;
  runtime: Runtime;
  services: string[];
  /** Port of /metrics and /health. */
  metricsPort: number;
  /**
   * Drains and stops everything, in order: readiness, HTTP and sockets, broker with what its services run, database,
   * embedded PostgreSQL. Safe to call twice.
   */
  stop(): Promise<void>;
}

/**
 * Starts what `env` configures: the database (embedded if none is named), a broker and the chosen services.
 * @param extras further services to host; every node of a cluster must know the same contracts
 */
export async function startNode(env: Env, extras: readonly ExtraService[] = []): Promise<Node> {
  const services = chooseServices(env.SERVICES).filter(
    (name) => name !== mirrorContract.name || env.JETSTREAM_MIRROR,
  );
  const closers: (() => Promise<void>)[] = [];
  const closeAll = async () => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  await requireFreePort("METRICS_PORT", env.METRICS_PORT, env.HOST);
  if (services.includes("gateway")) await requireFreePort("PORT", env.PORT, env.HOST);
  const broker = new ServiceBroker({ ...brokerOptions(env), stopped: closeAll });
  let stopping: Promise<void> | undefined;
  const healthLog = broker.getLogger("health");
  const health = new Health((line, isVital) => (isVital ? healthLog.error(line) : healthLog.warn(line)));
  health.add({
    ...{ name: "process", isVital: true, isInstant: true },
    ask() {
      if (stopping !== undefined) throw new Error("stopping");
    },
  });
  const stopAll = async () => {
    health.stop();
    const gateway = broker.getLocalService("gateway") as unknown as { drain?(): Promise<void> } | undefined;
    await gateway?.drain?.();
    // without NATS the broker cannot say goodbye and skips its stopped hook
    await broker.stop().catch((error: Error) => broker.logger.warn(`stopping: ${error.message}`));
    await closeAll();
  };
  const stop = () => (stopping ??= stopAll());
  try {
    const ops = await OpsServer.listen(env.METRICS_PORT, env.HOST);
    closers.push(() => ops.close());
    ops.watch(() => health.report());
    let urls = [env.DATABASE_URL ?? "", ...(env.DATABASE_SHARDS ?? [])];
    if (env.DATABASE_URL === undefined) {
      const log = broker.getLogger("postgres");
      const server = await startEmbeddedPostgres(env.DATA_DIR, (line) => log.debug(line));
      closers.push(() => server.stop());
      await server.createDatabase("sangam");
      urls = [server.url("sangam"), ...(env.DATABASE_SHARDS ?? [])];
    }
    const databaseLog = broker.getLogger("database");
    const lostConnections = new ThrottledLog((line) => databaseLog.warn(line));
    const database = await Database.open(urls, {
      logicalShards: env.LOGICAL_SHARDS,
      poolSize: env.DATABASE_POOL_SIZE,
      appUrls: env.DATABASE_APP_URLS,
      migrate: env.MIGRATE,
      acceptsNewer: env.ACCEPT_NEWER_SCHEMA,
      onError: (error) => lostConnections.warn(`connection lost: ${error.message}`),
    });
    closers.push(() => database.close());
    const homes = database.homes.follower((error) => databaseLog.warn(error.message));
    homes.start();
    closers.push(() => homes.stop());
    const redisLog = broker.getLogger("redis");
    const redis =
      env.REDIS_URL
      && (await RedisConnections.open(env.REDIS_URL, {
        namespace: env.NAMESPACE,
        log: (line) => redisLog.debug(line),
      }));
    if (redis) closers.push(() => redis.close());
    const sealedBox = new SealedBox(env.MASTER_KEY ?? embeddedMasterKey(env.DATA_DIR));
    const organizations = new Organizations(database, (error) => databaseLog.warn(error.message));
    organizations.start();
    closers.push(() => organizations.stop());
    const outbound = new OutboundHttp(new OutboundPolicy(env.OUTBOUND_ALLOW));
    closers.push(() => outbound.close());
    const hints = new FeedHints((organizationId) => {
      // a hint that is lost costs the sequencer's next poll, nothing else
      broker.emit("events.appended", { organizationId }).catch(() => undefined);
    });
    const runtime: Runtime = {
      env,
      version: packageJson.version,
      database,
      access: new Access(database),
      redis,
      actors: new ActorClient(broker, database),
      outbound,
      sealedBox,
      organizationKeys: new OrganizationKeys(database, sealedBox),
      organizations,
      health,
      mailer: createMailer(env, database),
      checkResults: env.CHECK_RESULTS,
      contracts: [
        ...contracts,
        ...(env.JETSTREAM_MIRROR ? [mirrorContract] : []),
        ...extras.map(({ contract }) => contract),
      ],
      isStopping: () => stopping !== undefined,
      onEvents: (organizationId) => hints.hint(database.shardOf(organizationId).name, organizationId),
    };
    await declarePlatformTasks(database, runtime.contracts);
    for (const name of services) {
      const module = (await import(`./${name}/${name}.service.ts`)) as { default: ServiceFactory };
      broker.createService(module.default(runtime));
    }
    for (const { factory } of extras) broker.createService(factory(runtime));
    for (const check of healthChecks(runtime, broker, services)) health.add(check);
    const watching = health.start();
    await broker.start();
    // what was missing while this node started may be there by now
    await watching;
    await health.start();
    ops.started();
    return { broker, runtime, services, metricsPort: ops.port, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The key of an embedded installation, made at its first start. */
function embeddedMasterKey(folder: string): string[] {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, "master.key");
  if (!existsSync(file)) writeFileSync(file, randomBytes(32).toString("base64"), { mode: 0o600 });
  return [readFileSync(file, "utf8").trim()];
}
