import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** One run of a job; times are Unix milliseconds. */
export interface Run {
  n: number;
  /** NaN where it was not asked for. */
  claimedAt: number;
  doneAt: number;
}
/** Three doubles, as the worker writes them. */
const bytesPerRun = 24;

const filesOf = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".runs"))
    .map((name) => join(folder, name));

/** How many runs the workers have written down. */
export const countRuns = (folder: string): number =>
  filesOf(folder).reduce((sum, file) => sum + Math.floor(statSync(file).size / bytesPerRun), 0);

/** The runs of the jobs from number `first` on, by the time they were done. */
export function readRuns(folder: string, first: number): Run[] {
  const runs: Run[] = [];
  for (const file of filesOf(folder)) {
    const bytes = readFileSync(file);
    const whole = Math.floor(bytes.length / bytesPerRun) * bytesPerRun;
    const values = new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + whole));
    for (let at = 0; at < values.length; at += 3) {
      const [n, claimedAt, doneAt] = values.subarray(at, at + 3) as unknown as [number, number, number];
      if (n >= first) runs.push({ n, claimedAt, doneAt });
    }
  }
  return runs.sort((a, b) => a.doneAt - b.doneAt);
}

/** The value below which the share `q` of them lies; NaN of none. */
export function quantile(values: number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? NaN;
}
