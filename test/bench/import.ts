import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { parseArgs } from "node:util";
import v8 from "node:v8";
import { runInNewContext } from "node:vm";
import { v7 as uuidv7 } from "uuid";
import { readEnv } from "../../mixins/process/env.ts";
import type { Meta } from "../../mixins/contract/meta.ts";
import type { ImportView } from "../../services/imports/imports.contract.ts";
import { startNode, type Node } from "../../services/node.ts";
import { generatedFile } from "./generated-file.ts";
import { median } from "./report.ts";

const usage = `node --import ./mixins/process/check-node.mjs test/bench/import.ts [options]: imports in one process on an embedded PostgreSQL
  --rows <n>   rows of the generated file (default 500000)
V8 lets garbage pile up as far as its heap limit allows; to measure under a container's, set for example
NODE_OPTIONS=--max-old-space-size=256.`;
const { values: flags } = parseArgs({
  options: { rows: { type: "string" }, help: { type: "boolean", default: false } },
});
if (flags.help) {
  console.log(usage);
  process.exit(0);
}
const generatedRows = Number(flags.rows ?? 500_000);
/** Imports of the real file after the first, which V8 still compiles for. */
const warmRounds = 3;
const bounds = { rowsPerSecond: 3000, growthMiB: 100 };
const realFile = "../shared/data/x-education-leads.csv";
const sampleFile = "test/fixtures/leads-sample.csv";

v8.setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;
/** What is really in use, without garbage. */
function liveHeapMiB(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed / 1024 / 1024;
}
/** Resident memory of this process: broker, services, generator; PostgreSQL is another process. */
const residentMiB = (): number => process.memoryUsage.rss() / 1024 / 1024;

/** The real export, or the sample repeated to its size with ids of their own. */
function realisticFile(): { name: string; text: string } {
  if (existsSync(realFile)) return { name: "the real export", text: readFileSync(realFile, "utf8") };
  const [heading = "", ...rows] = readFileSync(sampleFile, "utf8").trimEnd().split("\r\n");
  const repeated = Array.from({ length: Math.ceil(6433 / rows.length) }, (_, turn) =>
    rows.map((row) => `${turn}-${row}`),
  );
  return { name: "the sample, repeated", text: `${heading}\r\n${repeated.flat().join("\r\n")}\r\n` };
}

/** Imports a file into a new organization and prints how fast; memory is sampled every 250 ms. Answers rows a second. */
async function run(node: Node, name: string, file: Readable): Promise<number> {
  const meta: Meta = { organizationId: uuidv7(), userId: uuidv7(), role: "admin" };
  const liveBefore = liveHeapMiB();
  const before = residentMiB();
  let most = before;
  const sampling = setInterval(() => (most = Math.max(most, residentMiB())), 250);
  const start = performance.now();
  const { id } = await node.broker.call<{ id: string }, object>(
    "imports.create",
    {},
    { meta, stream: file, timeout: 0 },
  );
  const uploaded = performance.now();
  let view: ImportView;
  do {
    await new Promise((done) => setTimeout(done, 100));
    view = await node.broker.call<ImportView, object>("imports.get", { id }, { meta });
  } while (!["completed", "failed"].includes(view.status));
  const end = performance.now();
  clearInterval(sampling);
  most = Math.max(most, residentMiB());
  const rowsPerSecond = view.processed / ((end - uploaded) / 1000);
  console.log(`\n${name}: ${view.status}${view.failure ? ` (${view.failure})` : ""}`);
  console.log(
    `  rows      ${view.processed}: ${view.created} created, ${view.skipped} skipped, ${view.failed} rejected`,
  );
  console.log(`  upload    ${((uploaded - start) / 1000).toFixed(1)} s`);
  console.log(`  import    ${((end - uploaded) / 1000).toFixed(1)} s`);
  console.log(`  rows/s    ${rowsPerSecond.toFixed(0)}`);
  console.log(`  memory    ${before.toFixed(0)} MiB before, ${most.toFixed(0)} MiB at most`);
  console.log(`  live heap ${liveBefore.toFixed(0)} MiB before, ${liveHeapMiB().toFixed(0)} MiB after`);
  verdict("growth   ", most - before, most - before < bounds.growthMiB, `below ${bounds.growthMiB} MiB`);
  return rowsPerSecond;
}

const verdict = (what: string, value: number, isMet: boolean, bound: string): void =>
  console.log(`  ${what} ${value.toFixed(0)} (${bound}: ${isMet ? "met" : "NOT MET"})`);

const folder = mkdtempSync(join(tmpdir(), "sangam-bench-"));
chmodSync(folder, 0o755); // PostgreSQL runs as a user of its own when this runs as root
try {
  const node = await startNode(
    readEnv({
      DATA_DIR: folder,
      PORT: "0",
      METRICS_PORT: "0",
      LOG_LEVEL: "warn",
      SEED_DEMO: "false",
      SERVICES: "identity,leads,imports,service:worker",
    }),
  );
  try {
    console.log(`V8 heap limit ${(v8.getHeapStatistics().heap_size_limit / 1024 / 1024).toFixed(0)} MiB`);
    const { name, text } = realisticFile();
    const rates: number[] = [];
    for (let round = 0; round <= warmRounds; round++)
      rates.push(await run(node, name, Readable.from([Buffer.from(text)], { objectMode: false })));
    const [cold = NaN, ...warm] = rates;
    console.log(`\n${name}: ${cold.toFixed(0)} rows/s by a process that has just started, afterwards`);
    const rate = median(warm);
    verdict("rows/s   ", rate, rate >= bounds.rowsPerSecond, `at least ${bounds.rowsPerSecond}`);
    await run(
      node,
      `a generated file of ${generatedRows} rows`,
      Readable.from(generatedFile(generatedRows), { objectMode: false }),
    );
  } finally {
    await node.stop();
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
