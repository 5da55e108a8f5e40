import { existsSync } from "node:fs";
import { readEnv } from "../mixins/env.ts";
import { startNode } from "./node.ts";
import { seedDemo } from "./seed.ts";

// What `npm start` runs: one process of Sangam, until SIGTERM or SIGINT.
try {
  if (existsSync(".env")) process.loadEnvFile(".env");
  const env = readEnv(process.env);
  const node = await startNode(env);
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
