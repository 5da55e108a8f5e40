import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import type { Load, LoadResult } from "./load.ts";
import { cpuMs, residentMiB, type Child, type Measured } from "./processes.ts";

/** Something that answers the two requests: the bare server, or Sangam in one or several processes. */
export interface Target {
  name: string;
  origin: string;
  processes: Measured[];
}

/** One round of load on one target. */
export interface Round extends LoadResult {
  requestsPerSecond: number;
  /** CPU milliseconds a request, by process; work the feed does after the load has ended counts too. */
  cpu: Record<string, number>;
  residentMiB: Record<string, number>;
  lag: { unsequenced: number; secondsUntilZero: number };
}

/** Puts one round of load on a target and reads what it cost. */
export async function measure(
  target: Target,
  load: Load,
  parts: { loader: Child; shared: Measured[]; owner: pg.Client },
): Promise<Round> {
  const processes = [...target.processes, ...parts.shared, { ...parts.loader, name: "load" }];
  const before = processes.map(cpuMs);
  const answered = once(parts.loader.process, "message");
  parts.loader.process.send(load);
  const [result] = (await answered) as [LoadResult];
  const unsequenced = await unsequencedEvents(parts.owner);
  const secondsUntilZero = await untilSequenced(parts.owner);
  const cpu = Object.fromEntries(
    processes.map((one, index) => [one.name, (cpuMs(one) - (before[index] as number)) / result.answered]),
  );
  return {
    ...result,
    requestsPerSecond: result.completed / result.seconds,
    cpu,
    residentMiB: Object.fromEntries(target.processes.map((one) => [one.name, residentMiB(one)])),
    lag: { unsequenced, secondsUntilZero },
  };
}

async function unsequencedEvents(owner: pg.Client): Promise<number> {
  const { rows } = await owner.query<{ count: number }>(
    "SELECT count(*)::int AS count FROM events WHERE seq IS NULL",
  );
  return rows[0]?.count ?? 0;
}

/** Seconds until every event has its place in a feed; gives up after 60. */
async function untilSequenced(owner: pg.Client): Promise<number> {
  const start = performance.now();
  const seconds = () => (performance.now() - start) / 1000;
  while ((await unsequencedEvents(owner)) > 0) {
    if (seconds() > 60) return Infinity;
    await sleep(10);
  }
  return seconds();
}
