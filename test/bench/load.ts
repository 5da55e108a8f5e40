import { createRequire } from "node:module";

/** What the load process is asked to do. */
export interface Load {
  url: string;
  method: "GET" | "POST";
  /** `[<id>]` in a value or in the body becomes another text at each request. */
  headers: Record<string, string>;
  body?: string;
  connections: number;
  seconds: number;
}

/** What came of it. Latencies are of every answer, in milliseconds. */
export interface LoadResult {
  /** 2xx answers within `seconds`. */
  completed: number;
  seconds: number;
  /** All requests answered, those after the end of the measured time too. */
  answered: number;
  p50: number;
  p95: number;
  p99: number;
  /** Answers by status other than 2xx, `error` and `timeout`; empty when the figures are valid. */
  failures: Record<string, number>;
}

interface Outcome {
  errors: number;
  timeouts: number;
  statusCodeStats: Record<string, { count: number }>;
}
interface Run {
  on(event: "response", listener: (client: object, status: number, bytes: number, ms: number) => void): void;
}
// autocannon ships no types
const autocannon = createRequire(import.meta.url)("autocannon") as (
  options: object,
  done: (error: Error | null, outcome: Outcome) => void,
) => Run;

/** Sends the load with autocannon, and times each answer: autocannon's own histogram has no 95th percentile. */
function run(load: Load): Promise<LoadResult> {
  return new Promise((done, fail) => {
    const latencies: number[] = [];
    let completed = 0;
    const end = performance.now() + load.seconds * 1000;
    const options = {
      ...load,
      duration: load.seconds,
      idReplacement: load.method === "POST",
      sampleInt: 100,
    };
    autocannon(options, (error, { errors, timeouts, statusCodeStats }) => {
      if (error) return fail(error);
      const failures: Record<string, number> = {};
      for (const [status, { count }] of Object.entries(statusCodeStats))
        if (!status.startsWith("2")) failures[status] = count;
      if (errors > timeouts) failures.error = errors - timeouts;
      if (timeouts > 0) failures.timeout = timeouts;
      const sorted = Float64Array.from(latencies).sort();
      const percentile = (part: number) => sorted[Math.ceil(sorted.length * part) - 1] ?? NaN;
      done({
        completed,
        seconds: load.seconds,
        answered: sorted.length,
        p50: percentile(0.5),
        p95: percentile(0.95),
        p99: percentile(0.99),
        failures,
      });
    }).on("response", (_client, status, _bytes, ms) => {
      latencies.push(ms);
      if (status >= 200 && status < 300 && performance.now() <= end) completed++;
    });
  });
}

// Runs as a child of run.ts, so that the load takes no turn of a measured event loop. Its parent's end is its own.
process.on("message", (load: Load) => {
  void run(load).then(
    (result) => process.send?.(result),
    (error: Error) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on("disconnect", () => process.exit());
