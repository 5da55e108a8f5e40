import type { Contract } from "../../mixins/contract/contract.ts";
import type { CronSpec } from "../../mixins/jobs/job-spec.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { dueTicks, tickBefore } from "./ticks.rules.ts";

/** A job that comes up by the clock. */
export interface CronJob extends CronSpec {
  /** `events.upkeep`. */
  task: string;
}

/** Every job of these contracts that has a schedule. */
export const cronJobs = (contracts: readonly Contract[]): CronJob[] =>
  contracts.flatMap(({ name, jobs }) =>
    Object.entries(jobs).flatMap(([job, { cron }]) => (cron ? [{ task: `${name}.${job}`, ...cron }] : [])),
  );

/**
 * Serves what is due: notes each tick and adds its job in one transaction. Two leaders at once, or one that dies
 * and is followed, still note a tick once. The time is the database's: ticks that were served while its clock was ahead are
 * not served again when they come, and those before them are not held up.
 * @param now instead of the database's clock
 * @returns the ticks served
 */
export async function serveDueTicks(
  tx: UnitOfWork,
  epoch: string,
  jobs: readonly CronJob[],
  now?: Date,
): Promise<{ task: string; scheduledFor: string }[]> {
  const [[clock], rows] = await Promise.all([
    tx.query<{ now: string }>({
      name: "cron_clock",
      text: "SELECT coalesce($1, clock_timestamp())::timestamptz(3) AS now",
      values: [now],
    }),
    tx.query<{ job: string; last: string }>({
      name: "cron_last_runs",
      // one look at the index for each job, however many ticks are kept
      text: `SELECT job, last FROM unnest($1::text[]) AS asked (job), LATERAL (
          SELECT max(scheduled_for) AS last FROM control.cron_runs r
          WHERE r.job = asked.job AND r.scheduled_for <= coalesce($2, clock_timestamp())) newest
        WHERE last IS NOT NULL`,
      values: [jobs.map(({ task }) => task), now],
    }),
  ]);
  const at = new Date((clock as { now: string }).now);
  const lastRuns = new Map(rows.map(({ job, last }) => [job, new Date(last)]));
  const known = jobs.filter(({ task }) => lastRuns.has(task));
  // a job that is new begins with its next tick
  await note(
    tx,
    epoch,
    jobs
      .filter(({ task }) => !lastRuns.has(task))
      .map((job) => ({ job, tick: tickBefore(job.schedule, at) })),
  );
  const due = known.flatMap((job) =>
    dueTicks(job, lastRuns.get(job.task) as Date, at).map((tick) => ({ job, tick })),
  );
  const served = await note(tx, epoch, due);
  for (const { job, tick } of served) {
    const scheduledFor = tick.toISOString();
    // ticks that may be skipped share a job while it waits
    const key = job.missed === "skip" ? "cron" : scheduledFor;
    tx.enqueue({ task: job.task, payload: { scheduledFor }, key });
  }
  return served.map(({ job, tick }) => ({ task: job.task, scheduledFor: tick.toISOString() }));
}

interface Tick {
  job: CronJob;
  tick: Date;
}

/** Writes these ticks down; answers those that nobody had. */
async function note(tx: UnitOfWork, epoch: string, ticks: readonly Tick[]): Promise<Tick[]> {
  if (ticks.length === 0) return [];
  const noted = await tx.query<{ job: string; scheduled_for: string }>({
    name: "note_ticks",
    text: `INSERT INTO control.cron_runs (job, scheduled_for, epoch)
      SELECT job, tick, $3 FROM unnest($1::text[], $2::timestamptz[]) AS due (job, tick)
      ON CONFLICT DO NOTHING RETURNING job, scheduled_for`,
    values: [ticks.map(({ job }) => job.task), ticks.map(({ tick }) => tick.toISOString()), epoch],
  });
  const isNew = new Set(noted.map(({ job, scheduled_for }) => `${job} ${scheduled_for}`));
  return ticks.filter(({ job, tick }) => isNew.has(`${job.task} ${tick.toISOString()}`));
}
