import { EventEmitter } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Logger, run, type Runner, type WorkerEvents } from "graphile-worker";
import pg from "pg";
import type { Database } from "../database/database.ts";
import type { Shard } from "../database/unit-of-work.ts";
import { errorType, type FieldError } from "../errors.ts";
import { jobDuration, secondsSince } from "../metrics.ts";
import { queues, type QueueName, type StoredJob } from "./job-spec.ts";
import { surviveStrayRejections } from "./stray-rejections.ts";
import { WorkerLeases } from "./worker-leases.ts";

/** Runs one job; rejects when it failed. */
export type JobRunner = (task: string, job: StoredJob) => Promise<void>;

const restartAfterMs = 1000;
/** Longest wait for a job whose notification was lost. */
const pollEveryMs = 1000;
/** A job that still runs this long after the node was told to stop counts as failed and is tried elsewhere. */
const drainMs = 20_000;
const batchDelayMs = 5;
/** A pool that ends by itself, because PostgreSQL was away, is given up after this long: some never come to their end. */
const longestEndMs = 5_000;

/**
 * The workers of this process: for each shard and queue that has tasks here, a pool of Graphile Worker. Each pool
 * holds a lease in the shard; the jobs of a pool whose lease ends go back to the others within 15 s.
 */
export class WorkerPools {
  readonly #pools: WorkerPool[] = [];
  readonly #leases: WorkerLeases[] = [];
  readonly #connections: pg.Pool[] = [];
  readonly #onError: (error: Error) => void;
  #dieAgain: (() => void) | undefined;

  /**
   * @param tasks names of the tasks this process can run, by queue
   * @param options.run runs one of them
   */
  constructor(
    database: Database,
    tasks: ReadonlyMap<QueueName, readonly string[]>,
    options: { nodeId: string; run: JobRunner; onError: (error: Error) => void },
  ) {
    this.#onError = options.onError;
    for (const shard of database.shards) {
      const connections = new pg.Pool({
        connectionString: shard.url,
        // each pool listens on one; fetching and completing share the rest
        max: tasks.size + 3,
        application_name: `sangam-worker-${options.nodeId}`.slice(0, 63),
        connectionTimeoutMillis: 10_000,
      });
      connections.on("error", (error) => options.onError(error));
      connections.on("connect", (client) => client.on("error", () => undefined));
      this.#connections.push(connections);
      const leases = new WorkerLeases(database, shard, options.nodeId, options.onError);
      this.#leases.push(leases);
      for (const [queue, names] of tasks)
        this.#pools.push(new WorkerPool({ shard, queue, names, connections, leases, ...options }));
    }
  }

  async start(): Promise<void> {
    this.#dieAgain ??= surviveStrayRejections(this.#onError);
    await Promise.all(this.#leases.map((leases) => leases.start()));
    await Promise.all(this.#pools.map((pool) => pool.start()));
  }

  /** Takes no more jobs, waits for those that run, at most 20 s, and gives the rest back. */
  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }
  #stopped: Promise<void> | undefined;

  async #stop(): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.stop()));
    await Promise.all(this.#leases.map((leases) => leases.stop()));
    await Promise.all(this.#connections.map((connections) => connections.end()));
    this.#dieAgain?.();
  }
}

interface PoolOptions {
  shard: Shard;
  queue: QueueName;
  names: readonly string[];
  connections: pg.Pool;
  leases: WorkerLeases;
  run: JobRunner;
  onError: (error: Error) => void;
}

/** One pool of Graphile Worker, started anew when it ends by itself or has lost its lease. */
class WorkerPool {
  readonly #options: PoolOptions;
  #runner: Runner | undefined;
  #isStopping = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { queue, names, connections, leases, onError } = this.#options;
    const { atOnce, prefetch } = queues[queue];
    const events = new EventEmitter() as WorkerEvents;
    let workerId = "";
    let hold = Promise.resolve();
    events.on("pool:create", ({ workerPool }) => {
      workerId = workerPool.id;
      hold = leases.hold(workerId);
      hold.catch(() => undefined); // awaited by each job
    });
    const { promise: ending, resolve: end } = Promise.withResolvers<void>();
    events.on("pool:gracefulShutdown", () => {
      if (!this.#isStopping) end();
    });
    const runner = await run({
      pgPool: connections,
      noHandleSignals: true,
      logger: graphileLogger(onError),
      events,
      taskList: Object.fromEntries(
        names.map((task) => [
          task,
          async (job: unknown) => {
            await hold;
            await leases.require(workerId);
            await this.#run(task, job as StoredJob);
          },
        ]),
      ),
      preset: {
        worker: {
          concurrentJobs: atOnce,
          pollInterval: pollEveryMs,
          // in batches everywhere: nobody hears of a single completion that fails, and its job stays locked (0.18.0)
          completeJobBatchDelay: batchDelayMs,
          failJobBatchDelay: batchDelayMs,
          ...(prefetch > 0 ? { localQueue: { size: prefetch, ttl: 2000 } } : {}),
        },
      },
      crontab: "",
    });
    this.#runner = runner;
    // the lease may not have begun yet, or never will
    const lost = hold
      .then(() => leases.whenLost(workerId))
      .catch(onError)
      .then(() => runner.kill("its lease was lost"));
    const givenUp = ending.then(() => sleep(longestEndMs, undefined, { ref: false }));
    Promise.race([runner.promise, lost, givenUp])
      .catch((error: unknown) => onError(new Error(`workers of ${queue} ended`, { cause: error })))
      .finally(() => {
        leases.release(workerId);
        if (!this.#isStopping) this.#restart();
      });
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    const runner = this.#runner;
    if (!runner) return;
    const drained = runner.stop("the node stops").catch(() => undefined);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((done) => (timer = setTimeout(() => done("late"), drainMs)));
    const isLate = (await Promise.race([drained, late])) === "late";
    clearTimeout(timer);
    if (isLate) await runner.kill("the node stops").catch(() => undefined);
  }

  #restart(): void {
    setTimeout(() => {
      if (this.#isStopping) return;
      this.start().catch((error: Error) => {
        this.#options.onError(error);
        this.#restart();
      });
    }, restartAfterMs);
  }

  async #run(task: string, job: StoredJob): Promise<void> {
    const start = performance.now();
    let outcome = "ok";
    try {
      await this.#options.run(task, job);
    } catch (error) {
      outcome = "error";
      throw new Error(explain(error), { cause: error });
    } finally {
      jobDuration.labels(task, outcome).observe(secondsSince(start));
    }
  }
}

/** Graphile Worker tells every job's story; what failed is kept with the job, so only its warnings count here. */
const graphileLogger = (onError: (error: Error) => void): Logger =>
  new Logger(() => (level, message) => {
    // one pool of connections serves every queue of a shard: it is meant to be smaller than their workers
    if (message.includes("maxPoolSize")) return;
    if (level === "error" || level === "warning") onError(new Error(message.split("\n")[0]));
  });

/** What is kept as the last error of a job, and shown to admins. */
function explain(error: unknown): string {
  const { message, data } = error as { message: string; data?: { errors?: FieldError[] } };
  const fields = data?.errors?.map((field) => `${field.path}: ${field.message}`) ?? [];
  return [errorType(error), message, ...fields].filter((part) => part !== undefined).join(" ");
}
