import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Queue, Worker } from "bullmq";
import { v7 as uuidv7 } from "uuid";
import { readEnv } from "../../mixins/process/env.ts";
import { freePort } from "../../mixins/process/ports.ts";
import { startNode, type Node } from "../../services/node.ts";
import { append } from "../support/feed.ts";
import { probe } from "../support/probe.ts";

const { values: flags } = parseArgs({
  options: { jobs: { type: "string" }, events: { type: "string" }, rounds: { type: "string" } },
});
const jobs = Number(flags.jobs ?? 10_000);
const events = Number(flags.events ?? 5_000);
const rounds = Number(flags.rounds ?? 5);
/** Jobs added in one call, to either. */
const batch = 500;
const concurrency = 16;
const listeners = 3;

let done = 0;
let heard = 0;
const count = () => void done++;
const hear = () => void heard++;
const until = async (isOver: () => boolean) => {
  while (!isOver()) await sleep(2);
};

/** Jobs a second, from the first one added to the last one done. */
async function sangam(node: Node): Promise<number> {
  const organizationId = uuidv7();
  done = 0;
  const start = performance.now();
  for (let from = 0; from < jobs; from += batch)
    await node.runtime.database.transaction({ organizationId }, (tx) => {
      for (let n = from; n < from + batch; n++)
        tx.enqueue({ task: "probe.work", payload: { n }, key: String(n) });
      return Promise.resolve();
    });
  await until(() => done === jobs);
  return jobs / ((performance.now() - start) / 1000);
}

/** The same of BullMQ: kept, tried again, each id once. */
async function bull(port: number): Promise<number> {
  const connection = { host: "127.0.0.1", port };
  const name = uuidv7();
  done = 0;
  const queue = new Queue(name, { connection });
  const worker = new Worker(
    name,
    () => {
      count();
      return Promise.resolve();
    },
    { connection, concurrency },
  );
  await worker.waitUntilReady();
  const start = performance.now();
  for (let from = 0; from < jobs; from += batch)
    await queue.addBulk(
      Array.from({ length: batch }, (_, index) => ({
        name: "work",
        data: { n: from + index },
        opts: { jobId: `n${from + index}`, attempts: 10, removeOnComplete: true },
      })),
    );
  await until(() => done === jobs);
  const rate = jobs / ((performance.now() - start) / 1000);
  await worker.close();
  await queue.close();
  return rate;
}

/** Events a second, each committed by itself, until all three listeners have heard the last. */
async function fanOut(node: Node): Promise<number> {
  const organizationId = uuidv7();
  heard = 0;
  let written = 0;
  const start = performance.now();
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      while (written++ < events) await append(node.runtime, organizationId, {});
    }),
  );
  const writing = performance.now() - start;
  await until(() => heard >= events * listeners);
  const whole = performance.now() - start;
  console.log(
    `  written in ${writing.toFixed(0)} ms, the last was heard ${(whole - writing).toFixed(0)} ms later`,
  );
  return events / (whole / 1000);
}

const median = (values: number[]) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number;

const folder = mkdtempSync(join(tmpdir(), "sangam-bench-"));
chmodSync(folder, 0o755);
const port = await freePort();
const redis = spawn(
  "redis-server",
  ["--port", String(port), "--save", "", "--appendonly", "yes", "--dir", folder],
  {
    stdio: "ignore",
  },
);
const node = await startNode(
  readEnv({
    DATA_DIR: folder,
    METRICS_PORT: "0",
    SERVICES: "service:worker,events",
    LOG_LEVEL: "error",
    SEED_DEMO: "false",
    CHECK_RESULTS: "never",
  }),
  [probe({ jobs: { work: count }, listeners: { first: hear, second: hear, everything: hear } })],
);
try {
  await sleep(2000);
  await sangam(node);
  const figures = { sangam: [] as number[], bull: [] as number[], fanOut: [] as number[] };
  for (let round = 1; round <= rounds; round++) {
    figures.sangam.push(await sangam(node));
    figures.bull.push(await bull(port));
    figures.fanOut.push(await fanOut(node));
    console.log(
      `round ${round}: Sangam ${figures.sangam.at(-1)?.toFixed(0)} jobs/s, BullMQ ${figures.bull.at(-1)?.toFixed(0)} jobs/s, ${figures.fanOut.at(-1)?.toFixed(0)} events/s to ${listeners} listeners`,
    );
  }
  const [ours, theirs, fan] = [median(figures.sangam), median(figures.bull), median(figures.fanOut)];
  console.log(`jobs: ${ours.toFixed(0)}/s, ${(ours / theirs).toFixed(2)} of BullMQ (aim 1.0, better 2.0)`);
  console.log(`events to ${listeners} listeners, end to end: ${fan.toFixed(0)}/s (aim 2000)`);
} finally {
  await node.stop();
  redis.kill();
  rmSync(folder, { recursive: true, force: true });
}
