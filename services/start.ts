import type { REPLServer } from "node:repl";
import { hideSecrets, readEnv } from "../mixins/process/env.ts";
import { loadEnvFile } from "../mixins/process/env-file.ts";
import { freePort } from "../mixins/process/ports.ts";
import { ReplLog, replLevel } from "../mixins/process/repl-log.ts";
import { startNode, type Node } from "./node.ts";
import { seedDemo } from "./seed.ts";

/** Longest that a stop may take, in seconds; what hangs then is ended hard, and a supervisor sees it by the exit code. */
const longestStop = 30;
/** Ctrl+C comes twice under npm: from the terminal, and passed on by npm. Somebody who means it twice takes longer. */
const sameSignalMs = 1_000;
const starting = new AbortController();
let stoppingSince: number | undefined;

/** The one way out: in order when asked once, hard when asked twice. */
async function stop(node: Promise<Node>, code: number): Promise<void> {
  if (stoppingSince !== undefined) {
    if (performance.now() - stoppingSince > sameSignalMs) process.exit(1);
    return;
  }
  stoppingSince = performance.now();
  setTimeout(() => {
    console.error(`Sangam did not stop within ${longestStop} s; it ends hard.`);
    process.exit(1);
  }, longestStop * 1000).unref();
  starting.abort(new Error("stopped while it started"));
  await (await node.catch(() => undefined))?.stop();
  process.exit(code);
}

// What `npm start` runs: one process of Sangam, until it is told to stop.
try {
  loadEnvFile((line) => console.warn(line));
  // what it prints and mails must lead to the port that it gets
  if (process.env.PORT === "0") process.env.PORT = String(await freePort());
  const env = readEnv(process.env);
  hideSecrets(process.env);
  const replLog = process.argv.includes("--repl") ? new ReplLog() : undefined;
  if (replLog) env.LOG_LEVEL = replLevel(env.LOG_LEVEL);
  const running = startNode(env, [], { signal: starting.signal, log: replLog });
  // SIGHUP: the terminal was closed
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const)
    process.on(signal, () => void stop(running, 0));
  const node = await running;
  void node.failed.then((error) => {
    console.error(`Sangam ends. ${error.message}`);
    void stop(running, 1);
  });
  const demo = env.SEED_DEMO && node.services.includes("identity") ? await seedDemo(node.broker) : undefined;
  const lines = [`Sangam is running (${node.services.join(", ")}).`];
  if (node.services.includes("gateway")) {
    const url = `http://${env.HOST === "0.0.0.0" ? "127.0.0.1" : env.HOST}:${env.PORT}`;
    lines.push(`  API      ${url}/api/v1    docs ${url}/docs`);
  }
  lines.push(`  Metrics  http://127.0.0.1:${node.metricsPort}/metrics`);
  if (demo) lines.push(`  Demo     ${demo.email} / ${demo.password}`);
  console.log(lines.join("\n"));
  if (replLog) replLog.attach(node.broker.repl() as unknown as REPLServer);
} catch (error) {
  // what fails because it is being stopped: `stop` ends the process
  if (stoppingSince === undefined) {
    console.error(`Sangam did not start. ${(error as Error).message}`);
    process.exit(1);
  }
}
