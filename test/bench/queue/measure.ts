import { setTimeout as sleep } from "node:timers/promises";
import { v7 as uuidv7 } from "uuid";
import type { Database } from "../../../mixins/database/database.ts";
import type { Cluster } from "../../chaos/cluster.ts";
import { Producer } from "./producer.ts";
import { countRuns, quantile, readRuns, type Run } from "./runs.ts";
import type { Scenario, Stage } from "./scenarios.ts";

type PhaseKind = "baseline" | "disturbed" | "recovery";

export interface Phase {
  kind: PhaseKind;
  seconds: number;
  /** Jobs done in a second. */
  rate: number;
  /** Jobs added and not done at its end. */
  depth: number;
  /** Of the jobs table at its end. */
  deadTuples: number;
  /** Longest time in which no job was done, in seconds. */
  gap: number;
  /** Milliseconds from a job's claim to its end: median and 95th percentile. */
  claimToDone: [p50: number, p95: number];
  /** 95th percentile of milliseconds from when a job was known to be added to its end. */
  addedToDoneP95: number;
}

export interface Result {
  scenario: Scenario;
  phases: Phase[];
  /** Of the phase that matters to the baseline. */
  ratio: number;
  jobs: number;
  /** Jobs that were added and never ran. */
  lost: number;
  /** Jobs that ran again. */
  twice: number;
}

interface Span {
  kind: PhaseKind;
  from: number;
  to: number;
  deadTuples: number;
}

const warmUpMs = 4_000;
const longestDrainMs = 120_000;

/** Runs one scenario on workers that do nothing else. @param options.first number of its first job */
export async function measure(
  scenario: Scenario,
  stand: { cluster: Cluster; database: Database; runsFolder: string },
  options: { phaseMs: number; first: number },
): Promise<{ result: Result; next: number }> {
  const { cluster, database, runsFolder } = stand;
  const before = countRuns(runsFolder);
  const done = () => countRuns(runsFolder) - before;
  const waiting = () => producer.addedAt.size - done();
  const producer = new Producer(database, {
    organizationId: uuidv7(),
    first: options.first,
    waiting,
  });
  const stage: Stage = { cluster, producer, baseline: 0 };
  const spans: Span[] = [];
  const span = async (kind: PhaseKind, during: () => Promise<void>) => {
    producer.load = scenario.load;
    const [from, doneBefore] = [Date.now(), done()];
    await during();
    const to = Date.now();
    if (kind === "baseline") stage.baseline = (done() - doneBefore) / ((to - from) / 1000);
    spans.push({ kind, from, to, deadTuples: await deadTuples(cluster) });
  };
  const quiet = () => sleep(options.phaseMs);

  // what the scenario before left is no business of this one
  await cluster.query("VACUUM graphile_worker._private_jobs");
  producer.load = scenario.load;
  producer.start();
  try {
    await sleep(warmUpMs);
    for (let round = 0; round < (scenario.kind === "pressure" ? 2 : 1); round++) {
      await span("baseline", quiet);
      await span("disturbed", () => scenario.disturb(stage, options.phaseMs));
    }
    await span("recovery", quiet);
  } finally {
    await producer.stop();
  }
  const isDone = await drained(cluster);
  const runs = readRuns(runsFolder, options.first);
  const phases = spans.map((one) => phaseOf(one, runs, producer.addedAt));
  const ran = Map.groupBy(runs, ({ n }) => n);
  const lost = [...producer.addedAt.keys()].filter((n) => !ran.has(n)).length;
  const result: Result = {
    scenario,
    phases,
    ratio:
      rateOf(phases, scenario.kind === "pressure" ? "disturbed" : "recovery") / rateOf(phases, "baseline"),
    jobs: producer.addedAt.size,
    lost: isDone ? lost : NaN,
    twice: [...ran.values()].filter(({ length }) => length > 1).length,
  };
  return { result, next: producer.next };
}

/** Whether every job was done in time; those that wait for a lease to end are. */
async function drained(cluster: Cluster): Promise<boolean> {
  const until = performance.now() + longestDrainMs;
  while (performance.now() < until) {
    const [row] = await cluster.query<{ left: number }>(
      `SELECT count(*)::int AS left FROM graphile_worker._private_jobs j
       JOIN graphile_worker._private_tasks t ON t.id = j.task_id WHERE t.identifier = 'probe.work'`,
    );
    if (row?.left === 0) return true;
    await sleep(200);
  }
  return false;
}

async function deadTuples(cluster: Cluster): Promise<number> {
  const [row] = await cluster.query<{ dead: string }>(
    "SELECT n_dead_tup AS dead FROM pg_stat_user_tables WHERE relid = 'graphile_worker._private_jobs'::regclass",
  );
  return Number(row?.dead);
}

/** Jobs a second of all phases of a kind together. */
export function rateOf(phases: readonly Phase[], kind: PhaseKind): number {
  const of = phases.filter((phase) => phase.kind === kind);
  const seconds = of.reduce((sum, phase) => sum + phase.seconds, 0);
  return of.reduce((sum, phase) => sum + phase.rate * phase.seconds, 0) / seconds;
}

function phaseOf(span: Span, all: readonly Run[], addedAt: ReadonlyMap<number, number>): Phase {
  const { kind, from, to, deadTuples } = span;
  const doneBy = new Set(all.filter(({ doneAt }) => doneAt < to).map(({ n }) => n));
  const depth = [...addedAt].filter(([n, at]) => at < to && !doneBy.has(n)).length;
  const runs = all.filter(({ doneAt }) => doneAt >= from && doneAt < to);
  const seconds = (to - from) / 1000;
  const times = [from, ...runs.map(({ doneAt }) => doneAt), to];
  const claims = runs.flatMap(({ claimedAt, doneAt }) =>
    Number.isNaN(claimedAt) ? [] : [doneAt - claimedAt],
  );
  const waits = runs.flatMap(({ n, doneAt }) => {
    const at = addedAt.get(n);
    return at === undefined ? [] : [doneAt - at];
  });
  return {
    ...{ kind, seconds, depth, deadTuples },
    rate: runs.length / seconds,
    gap:
      times.reduce((longest, time, index) => Math.max(longest, time - (times[index - 1] ?? time)), 0) / 1000,
    claimToDone: [quantile(claims, 0.5), quantile(claims, 0.95)],
    addedToDoneP95: quantile(waits, 0.95),
  };
}
