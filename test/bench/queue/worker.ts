import { openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { readEnv } from "../../../mixins/process/env.ts";
import { startNode } from "../../../services/node.ts";
import { probe, type ProbeContext } from "../../support/probe.ts";

// A process of the product whose jobs take 1 ms each, and are written down one by one in RUNS_FOLDER: what a killed
// process had written stays.

/** Of one job in so many it is asked when it was claimed. */
const askedEvery = 50;

const env = readEnv(process.env);
const runs = openSync(join(process.env.RUNS_FOLDER ?? "", `${env.NODE_ID}.runs`), "a");
const observer = new pg.Pool({
  connectionString: env.DATABASE_URL,
  max: 1,
  idleTimeoutMillis: 0,
  connectionTimeoutMillis: 1_000,
  application_name: "bench-observer",
});
observer.on("error", () => undefined);

const starting = startNode(env, [probe({ jobs: { work } })]);
process.on("SIGTERM", () => {
  void starting.then((node) => node.stop()).then(() => process.exit(0));
});
await starting;
console.log("Sangam is running");

async function work({ params: { n }, meta }: ProbeContext): Promise<void> {
  const claimedAt = n % askedEvery === 0 ? await claimTimeOf(`${meta.organizationId}/probe.work/${n}`) : NaN;
  await sleep(1);
  writeSync(runs, Float64Array.of(n, claimedAt, Date.now()));
}

/** Unix milliseconds; NaN when it cannot be asked. */
async function claimTimeOf(key: string): Promise<number> {
  const asked = observer.query<{ at: number }>({
    name: "claim_time",
    text: `SELECT extract(epoch FROM locked_at)::float8 * 1000 AS at FROM graphile_worker._private_jobs WHERE key = $1`,
    values: [key],
  });
  const { rows } = await asked.catch(() => ({ rows: [] }));
  return rows[0]?.at ?? NaN;
}
