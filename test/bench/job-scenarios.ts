import { mkdtempSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Database } from "../../mixins/database/database.ts";
import { readEnv } from "../../mixins/process/env.ts";
import { Cluster, type Member } from "../chaos/cluster.ts";
import { measure, rateOf, type Result } from "./queue/measure.ts";
import { scenarios } from "./queue/scenarios.ts";
import { printVerdicts } from "./report.ts";

// Jobs in the scenarios of hardbyte/postgresql-job-queue-benchmarking: 1 ms of work each, every one claimed, run and completed
// for itself, on two worker processes; what a fault or a pressure leaves of their throughput.
// --seconds of a phase (default 15), --only restart,burst, --rate jobs a second in place of a scenario's own load

const aims = { recovery: 0.95, pressure: 0.9 };

const { values: flags } = parseArgs({
  options: { seconds: { type: "string" }, only: { type: "string" }, rate: { type: "string" } },
});
const phaseMs = Number(flags.seconds ?? 15) * 1000;
const names = flags.only?.split(",") ?? scenarios.map(({ name }) => name);
const unknown = names.filter((name) => !scenarios.some((scenario) => scenario.name === name));
if (unknown.length > 0)
  throw new Error(
    `--only names ${unknown.join(", ")}; there are: ${scenarios.map(({ name }) => name).join(", ")}.`,
  );

const runsFolder = mkdtempSync(join(tmpdir(), "sangam-runs-"));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
const cluster = await Cluster.start(
  { gateway: 0, core: 0, worker: 2, cron: 0 },
  {
    hasRedis: false,
    settings: { RUNS_FOLDER: runsFolder, CHECK_RESULTS: "never", LOG_LEVEL: "error" },
    program: "test/bench/queue/worker.ts",
  },
);
const results: Result[] = [];
let database: Database | undefined;
try {
  database = await openProducers(cluster);
  const stand = { cluster, database, runsFolder };
  // V8 compiles the workers' code meanwhile, and the buffers fill
  let { next: first } = await measure(
    { name: "warm-up", kind: "recovery", load: { waiting: 4_000 }, disturb: () => Promise.resolve() },
    stand,
    { phaseMs: Math.min(phaseMs, 5_000), first: 0 },
  );
  for (const scenario of scenarios.filter(({ name }) => names.includes(name))) {
    const load = flags.rate === undefined ? scenario.load : { perSecond: Number(flags.rate) };
    const { result, next } = await measure({ ...scenario, load }, stand, { phaseMs, first });
    first = next;
    results.push(result);
    print(result);
  }
} finally {
  await database?.close();
  await cluster.stop();
  rmSync(runsFolder, { recursive: true, force: true });
}
const verdicts = results.map(({ scenario: { name, kind }, ratio, lost }) => ({
  aim: `${name}: ${kind} at least ${percent(aims[kind])} of the baseline, nothing lost`,
  reached: `${percent(ratio)}, ${lost} lost`,
  met: ratio >= aims[kind] && lost === 0,
}));
printVerdicts(verdicts);
process.exitCode = verdicts.every(({ met }) => met) ? 0 : 1;

/** The way of a producer to the database: by a worker's proxy, which knows where the server is after a restart. */
function openProducers({ members, databaseUrl }: Cluster): Promise<Database> {
  const url = new URL((members as [Member])[0].postgres.through(databaseUrl));
  url.searchParams.set("application_name", "bench-producer");
  return Database.open([url.href], {
    logicalShards: readEnv({}).LOGICAL_SHARDS,
    poolSize: 4,
    onError: () => undefined,
  });
}

function print({ scenario, phases, ratio, jobs, lost, twice }: Result): void {
  const offered =
    "waiting" in scenario.load ? `${scenario.load.waiting} waiting` : `${scenario.load.perSecond}/s offered`;
  const [baseline, disturbed, recovery] = (["baseline", "disturbed", "recovery"] as const).map((kind) =>
    rateOf(phases, kind).toFixed(0),
  );
  console.log(
    `\n${scenario.name}, ${offered}: ${percent(ratio)} (baseline ${baseline}/s, disturbed ${disturbed}/s, recovery ${recovery}/s), `
      + `${jobs} jobs, ${lost} lost, ${twice} ran twice; load ${loadavg()[0]?.toFixed(1)}`,
  );
  console.table(
    phases.map(({ kind, seconds, rate, depth, gap, claimToDone, addedToDoneP95, deadTuples }) => ({
      phase: kind,
      seconds: round(seconds),
      "jobs/s": Math.round(rate),
      "depth at its end": depth,
      "longest gap s": round(gap),
      "claim to done p50 ms": round(claimToDone[0]),
      "p95 ms": round(claimToDone[1]),
      "added to done p95 ms": Math.round(addedToDoneP95),
      "dead tuples": deadTuples,
    })),
  );
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
