import { setTimeout } from "node:timers/promises";
import { check, becomeQuiet, type Verdict } from "./checks.ts";
import { Cluster, type Size } from "./cluster.ts";
import { blockMs, type Fault } from "./faults.ts";
import { followByReading, followBySocket, type Follower } from "./followers.ts";
import { GoodClient } from "./good-client.ts";
import { Journals } from "./journals.ts";
import { Seeded } from "./seeded.ts";
import { makePool, startLoad, type Load } from "./workloads.ts";

/** What one fault of a round did. */
export interface Step extends Verdict {
  fault: string;
  /** Operations that were acknowledged, imported rows apart. */
  acknowledged: number;
  repeated: number;
  /** Longest from the fault's begin on, ms: a call's way to its acknowledgement, an event's to whom it concerns. */
  recovery: { calls: number; feed: number; listeners: number; cron: number };
}
export interface Round {
  seed: number;
  steps: Step[];
  /** What was done when, for repeating it. */
  schedule: string[];
  /** Where the processes' outputs are, of a round that failed. */
  outputs: string | undefined;
}

/**
 * Runs faults one after the other on one cluster, each under load, and checks after each.
 * @param options.faults in this order
 * @param options.isShort shorter faults, for every day
 */
export async function runRound(
  seed: number,
  options: {
    faults: readonly Fault[];
    size: Size;
    hasRedis: boolean;
    isShort: boolean;
    say: (line: string) => void;
  },
): Promise<Round> {
  const { isShort } = options;
  const seeded = new Seeded(seed);
  const beginning = performance.now();
  const round: Round = { seed, steps: [], schedule: [], outputs: undefined };
  const say = (line: string) => {
    const timed = `${((performance.now() - beginning) / 1000).toFixed(1).padStart(6)} s  ${line}`;
    round.schedule.push(timed);
    options.say(timed);
  };
  const cluster = await Cluster.start(options.size, {
    hasRedis: options.hasRedis,
    settings: { BLOCK_MS: String(blockMs(isShort)) },
  });
  let journals: Journals | undefined;
  const followers: Follower[] = [];
  try {
    say(`${cluster.members.length} processes run`);
    const client = new GoodClient(() => cluster.origins, new Seeded(seed));
    await client.register();
    const poolId = await makePool(client);
    const stage = { cluster, client, seeded: new Seeded(seed + 1) };
    followers.push(
      followBySocket("socket-0", stage),
      followBySocket("socket-1", stage),
      followByReading(stage),
    );
    journals = await Journals.open(stage);
    for (const fault of options.faults) {
      const step = `s${seed}-${round.steps.length}`;
      await client.signIn();
      const failuresBefore = client.failures.length;
      const load = await startLoad(client, journals, { step, rows: isShort ? 400 : 1_500 });
      await setTimeout(seeded.between(300, 2_000));
      say(fault.name);
      const [{ since } = { since: "" }] = await cluster.query<{ since: string }>(
        "SELECT now()::text AS since",
      );
      for (const follower of followers) follower.takeLongestDelay();
      const faultAt = performance.now();
      const broken = await fault.run({ cluster, seeded, isShort, say: (what) => say(`  ${what}`) }).then(
        () => [],
        (error: Error) => [`the fault itself failed: ${error.message}`],
      );
      say("  mended");
      const stuck = await load.goesOn().then(
        () => [],
        (error: Error) => [`no operation is acknowledged: ${error.message}`],
      );
      await load.stop();
      say("  load ended");
      const unquiet = await becomeQuiet(cluster, followers, say);
      const verdict = await check(cluster, { load, journals, followers, step, since, poolId });
      const failures = client.failures.slice(failuresBefore);
      verdict.problems.push(...broken, ...stuck, ...unquiet, ...failures);
      const result: Step = {
        fault: fault.name,
        acknowledged: load.operations.length,
        repeated: load.operations.reduce((sum, { repeated }) => sum + repeated, 0),
        recovery: await recovery(cluster, { load, followers, faultAt, since }),
        ...verdict,
      };
      round.steps.push(result);
      const { acknowledged, repeated, recovery: ms } = result;
      say(
        `  ${acknowledged} acknowledged, ${repeated} repeated, ${verdict.rerun} jobs again; longest call ${ms.calls} ms, feed ${ms.feed} ms, listener ${ms.listeners} ms, tick ${ms.cron} ms`,
      );
      for (const problem of verdict.problems) say(`  WRONG ${problem}`);
      if (verdict.problems.length > 0) break; // what follows would be measured by what is broken now
    }
    if (round.steps.some(({ problems }) => problems.length > 0)) round.outputs = cluster.saveOutputs();
    return round;
  } catch (error) {
    const said = cluster.errors().join("\n");
    throw new Error(`${(error as Error).message}\n${cluster.saveOutputs()}\n${said}`, { cause: error });
  } finally {
    await journals?.close();
    await Promise.all(followers.map((follower) => follower.close()));
    await cluster.stop();
  }
}

async function recovery(
  cluster: Cluster,
  options: { load: Load; followers: readonly Follower[]; faultAt: number; since: string },
): Promise<Step["recovery"]> {
  const { load, followers, faultAt, since } = options;
  const [delays] = await cluster.query<{ listeners: number; cron: number }>(
    `SELECT coalesce((SELECT max(extract(epoch FROM h.heard_at - e.occurred_at)) FROM witness_heard h
        JOIN events e ON e.seq = h.seq WHERE h.heard_at > $1) * 1000, 0)::int AS listeners,
      coalesce((SELECT max(extract(epoch FROM ran_at - scheduled_for)) FROM witness_ticks WHERE ran_at > $1) * 1000, 0)::int AS cron`,
    [since],
  );
  const calls = load.operations.filter(({ acknowledgedAt }) => acknowledgedAt > faultAt);
  return {
    calls: Math.round(Math.max(0, ...calls.map(({ begunAt, acknowledgedAt }) => acknowledgedAt - begunAt))),
    feed: Math.max(...followers.map((follower) => follower.takeLongestDelay())),
    listeners: delays?.listeners ?? 0,
    cron: delays?.cron ?? 0,
  };
}
