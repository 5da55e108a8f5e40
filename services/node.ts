import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ServiceBroker, type ServiceSchema } from "moleculer";
import { Access } from "../mixins/access/access.ts";
import { clockWatch } from "../mixins/concurrency/clock-watch.ts";
import { ActorClient } from "../mixins/actors/client.ts";
import type { Contract } from "../mixins/contract/contract.ts";
import { Database } from "../mixins/database/database.ts";
import { startEmbeddedPostgres, type EmbeddedServer } from "../mixins/database/embedded-postgres.ts";
import type { AnyKind } from "../mixins/records/kind/kind.ts";
import { declareKinds } from "../mixins/records/kind/kinds.ts";
import { RecordQuota } from "../mixins/records/writing/quota.ts";
import { Definitions } from "../mixins/records/custom/definitions.ts";
import { OrganizationKeys } from "../mixins/encryption/organization-keys.ts";
import type { Env } from "../mixins/process/env.ts";
import { FeedHints } from "../mixins/events/feed-hints.ts";
import { Organizations } from "../mixins/organizations/organizations.ts";
import { OutboundHttp } from "../mixins/outbound/http.ts";
import { OutboundPolicy } from "../mixins/outbound/policy.ts";
import { declarePlatformTasks } from "../mixins/jobs/platform-tasks.ts";
import { createMailer } from "../mixins/mail/mail.ts";
import { writeOwnFile } from "../mixins/process/own-file.ts";
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
  /** The kind of record that it keeps, if it keeps one; its contract has the kind's plural as name. */
  kind?: AnyKind;
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
  /** Resolves with the reason when the process can do nothing any more, and should be stopped; else never. */
  failed: Promise<Error>;
  /**
   * Drains and stops everything, in order: readiness, HTTP and sockets, broker with what its services run, database,
   * embedded PostgreSQL. Safe to call twice.
   */
  stop(): Promise<void>;
}

/**
 * Starts what `env` configures: the database (embedded if none is named), a broker and the chosen services.
 * @param extras further services to host; every node of a cluster must know the same contracts
 * @param options.signal ends a start that is under way; what it has started is stopped before its reason is thrown
 * @param options.log where the log goes, JSON lines; default standard output
 */
export async function startNode(
  env: Env,
  extras: readonly ExtraService[] = [],
  { signal, log }: { signal?: AbortSignal; log?: { write(line: string): void } } = {},
): Promise<Node> {
  declareKinds(extras.flatMap(({ kind }) => kind ?? []));
  const services = chooseServices(env.SERVICES).filter(
    (name) => name !== mirrorContract.name || env.JETSTREAM_MIRROR,
  );
  const closers: (() => Promise<void>)[] = [];
  const closeAll = async () => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  await requireFreePort("METRICS_PORT", env.METRICS_PORT, env.HOST);
  if (services.includes("gateway")) await requireFreePort("PORT", env.PORT, env.HOST);
  const options = brokerOptions(env, log);
  let draining: Promise<void> | undefined;
  const drainGateway = async () => {
    health.stop();
    const gateway = broker.getLocalService("gateway") as unknown as { drain?(): Promise<void> } | undefined;
    await gateway?.drain?.();
  };
  const drain = () => (draining ??= drainGateway());
  const broker = new ServiceBroker({
    ...options,
    // of use where the broker itself is told to stop, as the REPL does
    middlewares: [...(options.middlewares ?? []), { name: "Drain", stopping: drain }],
    stopped: closeAll,
  });
  const healthLog = broker.getLogger("health");
  const health = new Health((line, isVital) => (isVital ? healthLog.error(line) : healthLog.warn(line)));
  health.add({
    ...{ name: "process", isVital: true, isInstant: true },
    ask() {
      if (draining !== undefined) throw new Error("stopping");
    },
  });
  let stopping: Promise<void> | undefined;
  clockWatch.start();
  const stopAll = async () => {
    await drain();
    // without NATS the broker cannot say goodbye and skips its stopped hook
    await broker.stop().catch((error: Error) => broker.logger.warn(`stopping: ${error.message}`));
    await closeAll();
  };
  const stop = () => (stopping ??= stopAll());
  const failed = Promise.withResolvers<Error>();
  try {
    const ops = await OpsServer.listen(env.METRICS_PORT, env.HOST);
    closers.push(() => ops.close());
    ops.watch(() => health.report());
    let server: EmbeddedServer | undefined;
    if (env.DATABASE_URL === undefined) {
      const serverLog = broker.getLogger("postgres");
      server = await startEmbeddedPostgres(env.DATA_DIR, (line) => serverLog.debug(line), {
        warn: (line) => serverLog.warn(line),
        onGivenUp: failed.resolve,
        signal,
      });
      const started = server;
      closers.push(() => started.stop());
      await server.createDatabase("sangam");
      signal?.throwIfAborted();
    }
    const databaseLog = broker.getLogger("database");
    const lostConnections = new ThrottledLog((line) => databaseLog.warn(line));
    const opening = Database.open(
      [server?.url("sangam") ?? env.DATABASE_URL ?? "", ...(env.DATABASE_SHARDS ?? [])],
      {
        logicalShards: env.LOGICAL_SHARDS,
        poolSize: env.DATABASE_POOL_SIZE,
        appUrls: env.DATABASE_APP_URLS,
        migrate: env.MIGRATE,
        acceptsNewer: env.ACCEPT_NEWER_SCHEMA,
        onError: (error) => lostConnections.warn(`connection lost: ${error.message}`),
        outage: () => server?.outage(),
      },
    );
    // it may wait long, for another node that migrates
    const database = await unlessAborted(opening, signal);
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
      definitions: new Definitions(database),
      organizations,
      recordQuota: new RecordQuota(database, organizations),
      health,
      mailer: createMailer(env, database),
      checkResults: env.CHECK_RESULTS,
      contracts: [
        ...contracts,
        ...(env.JETSTREAM_MIRROR ? [mirrorContract] : []),
        ...extras.map(({ contract }) => contract),
      ],
      onEvents: (organizationId) => hints.hint(database.shardOf(organizationId).name, organizationId),
    };
    await declarePlatformTasks(database, runtime.contracts);
    for (const name of services) {
      const module = (await import(`./${name}/${name}.service.ts`)) as { default: ServiceFactory };
      broker.createService(module.default(runtime));
    }
    for (const { factory } of extras) broker.createService(factory(runtime));
    signal?.throwIfAborted();
    for (const check of healthChecks(runtime, broker, services)) health.add(check);
    const watching = health.start();
    await broker.start();
    // what was missing while this node started may be there by now
    await watching;
    await health.start();
    ops.started();
    return { broker, runtime, services, metricsPort: ops.port, failed: failed.promise, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** What `promise` answers. @throws the signal's reason, at once when it is aborted, whatever becomes of the promise */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return await promise;
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason as Error);
  signal.addEventListener("abort", abort, { once: true });
  promise.catch(() => undefined); // its end may come when nobody waits for it any more
  try {
    signal.throwIfAborted();
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** The key of an embedded installation, made at its first start. */
function embeddedMasterKey(folder: string): string[] {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, "master.key");
  if (!existsSync(file)) writeOwnFile(file, randomBytes(32).toString("base64"));
  return [readFileSync(file, "utf8").trim()];
}
