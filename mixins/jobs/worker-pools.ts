import { EventEmitter } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Logger, run, type JobHelpers, type Runner, type WorkerEvents } from "graphile-worker";
import type { Database } from "../database/database.ts";
import type { Shard } from "../database/shard.ts";
import { errorType, type FieldError } from "../contract/errors.ts";
import { jobDuration, secondsSince } from "../process/metrics.ts";
import { organizationSuspended } from "../organizations/organizations.ts";
import { within } from "../concurrency/within.ts";
import { queues, type QueueName, type StoredJob } from "./job-spec.ts";
import { surviveStrayRejections } from "./stray-rejections.ts";
import { WorkerConnections } from "./worker-connections.ts";
import { WorkerLeases } from "./worker-leases.ts";

/** Whether a job must wait, because its organization is suspended. */
export type IsPaused = (task: string, job: StoredJob) => Promise<boolean>;
/** Runs one job; rejects when it failed. */
export type JobRunner = (task: string, job: StoredJob) => Promise<void>;

const restartAfterMs = 1000;
const longestStartMs = 30_000;
/** Longest wait for a job whose notification was lost. */
const pollEveryMs = 1000;
/** A job that still runs this long after the node was told to stop counts as failed and is tried elsewhere. */
const drainMs = 20_000;
const batchDelayMs = 5;
/** A job of a queue without prefetch that was taken while all its hands were busy is given back after this long. */
const longestTakenMs = 100;
/** A pool that ends, because PostgreSQL was away or it was told to, is given up after this long: some never come to it. */
const longestEndMs = 5_000;

/**
 * The workers of this process: for each shard and queue that has tasks here, a pool of Graphile Worker. Each pool
 * holds a lease in the shard; the jobs of a pool whose lease ends go back to the others within 15 s.
 */
export class WorkerPools {
  readonly #pools: WorkerPool[] = [];
  readonly #leases: WorkerLeases[] = [];
  readonly #onError: (error: Error) => void;
  #dieAgain: (() => void) | undefined;

  /**
   * @param tasks names of the tasks this process can run, by queue
   * @param options.run runs one of them
   */
  constructor(
    database: Database,
    tasks: ReadonlyMap<QueueName, readonly string[]>,
    options: { nodeId: string; run: JobRunner; isPaused: IsPaused; onError: (error: Error) => void },
  ) {
    this.#onError = options.onError;
    for (const shard of database.shards) {
      const leases = new WorkerLeases(database, shard, options.nodeId, options.onError);
      this.#leases.push(leases);
      for (const [queue, names] of tasks)
        this.#pools.push(new WorkerPool({ database, shard, queue, names, leases, ...options }));
    }
  }

  start(): void {
    if (this.#stopped) return;
    this.#dieAgain ??= surviveStrayRejections(this.#onError);
    for (const leases of this.#leases) leases.start();
    for (const pool of this.#pools) pool.start();
  }

  /** Takes no more jobs, waits for those that run, at most 20 s, and gives the rest back. */
  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }
  #stopped: Promise<void> | undefined;

  async #stop(): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.stop()));
    await Promise.all(this.#leases.map((leases) => leases.stop()));
    this.#dieAgain?.();
  }
}

interface PoolOptions {
  database: Database;
  shard: Shard;
  queue: QueueName;
  names: readonly string[];
  leases: WorkerLeases;
  nodeId: string;
  run: JobRunner;
  isPaused: IsPaused;
  onError: (error: Error) => void;
}

/** One pool of Graphile Worker, run anew when it ends by itself or has lost its lease. */
class WorkerPool {
  readonly #options: PoolOptions;
  readonly #stopping = new AbortController();
  #ended: Promise<void> | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  start(): void {
    this.#ended ??= this.#keepRunning(this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#ended;
  }

  async #keepRunning(stopping: AbortSignal): Promise<void> {
    const { queue, onError } = this.#options;
    while (!stopping.aborted) {
      try {
        await this.#runOnce(stopping);
      } catch (error) {
        onError(new Error(`workers of ${queue} ended`, { cause: error }));
      }
      await sleep(restartAfterMs, undefined, { signal: stopping }).catch(() => undefined);
    }
  }

  /** From the start of a pool to its end, by itself or because the node stops. */
  async #runOnce(stopping: AbortSignal): Promise<void> {
    const { shard, leases, onError } = this.#options;
    const events = new EventEmitter() as WorkerEvents;
    let workerId = "";
    let hold = Promise.resolve();
    events.on("pool:create", ({ workerPool }) => {
      workerId = workerPool.id;
      hold = leases.hold(workerId);
      hold.catch(() => undefined); // awaited by each job
    });
    const ending = new Promise<void>((end) => {
      events.on("pool:gracefulShutdown", () => {
        if (!stopping.aborted) end();
      });
    });
    const connections = new WorkerConnections(shard.url, this.#options);
    try {
      const runner = await within(
        longestStartMs,
        this.#startRunner(connections, events, async () => {
          await hold;
          await leases.require(workerId);
        }),
        () => {
          throw new Error(`they did not start in ${longestStartMs} ms`);
        },
      );
      // the lease may not have begun yet, or never will
      const lost = hold
        .then(() => leases.whenLost(workerId))
        .catch(onError)
        .then(() => kill(runner, "its lease was lost"));
      const givenUp = ending.then(() => sleep(longestEndMs, undefined, { ref: false }));
      const told = whenAborted(stopping).then(() => drain(runner));
      await Promise.race([runner.promise, lost, givenUp, told]);
    } finally {
      await connections.close();
      if (workerId !== "") leases.release(workerId);
    }
  }

  /** @param mayRun what each job waits for; it rejects when the job may not begin */
  #startRunner(
    connections: WorkerConnections,
    events: WorkerEvents,
    mayRun: () => Promise<void>,
  ): Promise<Runner> {
    const { queue, names, onError } = this.#options;
    const { atOnce, prefetch, restMs } = queues[queue];
    claimAfterRest(events);
    return run({
      pgPool: connections.pool,
      noHandleSignals: true,
      logger: graphileLogger(onError),
      events,
      taskList: Object.fromEntries(
        names.map((task) => [
          task,
          async (job: unknown, { job: { id } }: JobHelpers) => {
            await mayRun();
            await this.#postponeIfPaused(task, job as StoredJob, id);
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
          localQueue: {
            size: Math.max(prefetch, atOnce),
            ttl: prefetch > 0 ? 2000 : longestTakenMs,
            refetchDelay: { durationMs: restMs, threshold: atOnce, maxAbortThreshold: Infinity },
          },
        },
      },
      crontab: "",
    });
  }

  /** Fails a paused job in such a way that it costs no attempt, and is found again when the pause ends. */
  async #postponeIfPaused(task: string, job: StoredJob, id: string): Promise<void> {
    const { database, shard, isPaused } = this.#options;
    if (!(await isPaused(task, job))) return;
    await database.transaction({ platform: shard }, (tx) =>
      tx.query({ name: "postpone_job", text: "SELECT postpone_job($1)", values: [id] }),
    );
    throw new Error(organizationSuspended);
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

/** Has jobs claimed as soon as a rest ends in which they were added: Graphile Worker 0.18.0 would wait for its next poll. */
function claimAfterRest(events: WorkerEvents): void {
  let isWoken = false;
  events.on("pool:listen:notification", () => (isWoken = true));
  events.on("localQueue:refetchDelay:expired", ({ localQueue }) => {
    if (!isWoken) return;
    isWoken = false;
    // after it has done what it does itself
    queueMicrotask(() => localQueue.pulse(0));
  });
}

const kill = (runner: Runner, why: string): Promise<unknown> =>
  within(
    longestEndMs,
    runner.kill(why).catch(() => undefined),
    () => undefined,
  );

/** Waits for the jobs that run, and gives the others back. */
const drain = (runner: Runner): Promise<unknown> =>
  within(
    drainMs,
    runner.stop("the node stops").catch(() => undefined),
    () => kill(runner, "the node stops"),
  );

const whenAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((done) => {
    if (signal.aborted) done();
    else signal.addEventListener("abort", () => done(), { once: true });
  });

/** Graphile Worker tells every job's story; what failed is kept with the job, so only its warnings count here. */
const graphileLogger = (onError: (error: Error) => void): Logger =>
  new Logger(() => (level, message) => {
    // one pool of connections serves every queue of a shard: it is meant to be smaller than their workers
    if (message.includes("maxPoolSize") || message.includes(organizationSuspended)) return;
    if (level === "error" || level === "warning") onError(new Error(message.split("\n")[0]));
  });

/** What is kept as the last error of a job, and shown to admins. */
function explain(error: unknown): string {
  const { message, data } = error as { message: string; data?: { errors?: FieldError[] } };
  const fields = data?.errors?.map((field) => `${field.path}: ${field.message}`) ?? [];
  return [errorType(error), message, ...fields].filter((part) => part !== undefined).join(" ");
}
