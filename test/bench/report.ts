import type { Round, Target } from "./measure.ts";

/** What Sangam must reach, as a share of the bare server's requests a second. */
export const aims = {
  one: { GET: 0.65, POST: 0.6 },
  cluster: { GET: 0.38, POST: 0.36 },
};
/** 95th percentile at 50 connections in one process, in milliseconds. */
export const latencyAims = { GET: 45, POST: 120 };

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1
    ? (sorted[Math.floor(middle)] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** An aim, and whether this run met it; undefined when it could not be measured. */
export interface Verdict {
  aim: string;
  reached: string;
  met: boolean | undefined;
}

export const throughputOf = (rounds: Round[]): number =>
  median(rounds.map((round) => round.requestsPerSecond));
export const isValid = (rounds: Round[]): boolean =>
  rounds.length > 0 && rounds.every((round) => Object.keys(round.failures).length === 0);

/** The table of one workload: a line for each target, the medians of its rounds. */
export function printTable(title: string, results: [Target, Round[]][]): void {
  console.log(`\n${title}`);
  const lines = results.map(([target, rounds]) => ({
    target: target.name,
    "req/s": Math.round(throughputOf(rounds)),
    "p50 ms": round1(median(rounds.map((round) => round.p50))),
    "p95 ms": round1(median(rounds.map((round) => round.p95))),
    "p99 ms": round1(median(rounds.map((round) => round.p99))),
    "CPU ms a request": perProcess(
      rounds.map((round) => round.cpu),
      2,
    ),
    "RSS MiB": perProcess(
      rounds.map((round) => round.residentMiB),
      0,
    ),
  }));
  const headings = Object.keys(lines[0] ?? {}) as (keyof (typeof lines)[number])[];
  const widths = headings.map((heading) =>
    Math.max(heading.length, ...lines.map((line) => String(line[heading]).length)),
  );
  const print = (cells: (string | number)[]) =>
    console.log(
      `  ${cells.map((cell, index) => (typeof cell === "number" ? String(cell).padStart(widths[index] ?? 0) : cell.padEnd(widths[index] ?? 0))).join("  ")}`.trimEnd(),
    );
  print(headings);
  for (const line of lines) print(headings.map((heading) => line[heading]));
  for (const [target, rounds] of results) {
    printLag(target, rounds);
    printFailures(target, rounds);
  }
}

const round1 = (value: number): number => Math.round(value * 10) / 10;

function perProcess(rounds: Record<string, number>[], digits: number): string {
  const names = Object.keys(rounds[0] ?? {});
  const parts = names.map((name) => {
    const value = median(rounds.map((round) => round[name] ?? 0));
    return `${name} ${value.toFixed(digits)}`;
  });
  return parts.join(", ");
}

function printLag(target: Target, rounds: Round[]): void {
  const most = Math.max(...rounds.map((round) => round.lag.unsequenced));
  if (most === 0) return;
  const longest = Math.max(...rounds.map((round) => round.lag.secondsUntilZero));
  console.log(
    `  feed of ${target.name}: at most ${most} events without a place when the load ended, none after ${longest.toFixed(2)} s`,
  );
}

function printFailures(target: Target, rounds: Round[]): void {
  rounds.forEach((round, index) => {
    if (Object.keys(round.failures).length > 0)
      console.log(`  INVALID: ${target.name}, round ${index + 1}, failed: ${JSON.stringify(round.failures)}`);
  });
}

export function printVerdicts(verdicts: Verdict[]): void {
  console.log("\nAims");
  for (const { aim, reached, met } of verdicts)
    console.log(
      `  ${met === undefined ? "not measured" : met ? "met         " : "NOT MET     "}  ${aim}: ${reached}`,
    );
}
