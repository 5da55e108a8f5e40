import { existsSync } from "node:fs";
import { readEnv } from "../mixins/process/env.ts";
import { startNode, type Node } from "./node.ts";
import { seedDemo } from "./seed.ts";

/** Longest that a stop may take, in seconds; what hangs then is ended hard, and a supervisor sees it by the exit code. */
const longestStop = 30;
let isStopping = false;

/** The one way out: in order when asked once, hard when asked twice. */
async function stop(starting: Promise<Node>): Promise<void> {
  if (isStopping) process.exit(1);
  isStopping = true;
  setTimeout(() => {
    console.error(`Sangam did not stop within ${longestStop} s; it ends hard.`);
    process.exit(1);
  }, longestStop * 1000).unref();
  const node = await starting.catch(() => undefined);
  await node?.stop();
  process.exit(0);
}

// What `npm start` runs: one process of Sangam, until SIGTERM or SIGINT.
try {
  if (existsSync(".env")) process.loadEnvFile(".env");
  const env = readEnv(process.env);
  const starting = startNode(env);
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void stop(starting));
  const node = await starting;
  const demo = env.SEED_DEMO && node.services.includes("identity") ? await seedDemo(node.broker) : undefined;
  const lines = [`Sangam is running (${node.services.join(", ")}).`];
  if (node.services.includes("gateway")) {
    const url = `http://${env.HOST === "0.0.0.0" ? "127.0.0.1" : env.HOST}:${env.PORT}`;
    lines.push(`  API      ${url}/api/v1    docs ${url}/docs`);
  }
  lines.push(`  Metrics  http://127.0.0.1:${node.metricsPort}/metrics`);
  if (demo) lines.push(`  Demo     ${demo.email} / ${demo.password}`);
  console.log(lines.join("\n"));
  if (process.argv.includes("--repl")) node.broker.repl();
} catch (error) {
  console.error(`Sangam did not start. ${(error as Error).message}`);
  process.exit(1);
}
