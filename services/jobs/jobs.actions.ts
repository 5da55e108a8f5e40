import type { QueryResultRow } from "pg";
import { requireSight } from "../../mixins/access/reach.ts";
import type { Database } from "../../mixins/database/database.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { deliveryPayload } from "../../mixins/listeners/delivery.ts";
import { skipHeld } from "../../mixins/listeners/delivery.repository.ts";
import { appError } from "../../mixins/contract/errors.ts";
import { decodeCursor, encodeCursor, invalidCursor } from "../../mixins/records/finding/cursor.ts";
import type { Ctx, Result } from "../contracts.ts";
import { jobStates, type JobView } from "./jobs.contract.ts";

interface JobRow extends QueryResultRow {
  id: string;
  organization_id: string | null;
  task: string;
  payload: unknown;
  state: JobView["state"];
  attempts: number;
  max_attempts: number;
  last_error: string | null;
  run_at: string;
  created_at: string;
  updated_at: string;
}

/** Jobs of the caller's organization in one state, newest first. They are about anybody's records, as are `retry` and `drop`. */
export async function list(ctx: Ctx<"jobs.list">): Promise<Result<"jobs.list">> {
  requireSight(ctx.locals.principal, "everybody");
  const { state, limit, cursor } = ctx.params;
  const bound = ["jobs", state];
  const before = cursor === undefined ? null : placeOf(cursor, bound);
  const rows = await findJobs(ctx.locals.tx, { state, before, limit: limit + 1 });
  const page = rows.slice(0, limit);
  const hasMore = rows.length > limit;
  const last = page.at(-1);
  return {
    data: page.map(jobView),
    page: { nextCursor: hasMore && last ? encodeCursor(bound, [last.id]) : null, hasMore },
  };
}

function placeOf(cursor: string, bound: unknown): string {
  const [id] = decodeCursor(bound, cursor, 1).map(String);
  if (id === undefined || !/^\d{1,18}$/.test(id)) throw invalidCursor();
  return id;
}

/** A job that is not done yet. @throws 404 */
export async function get(ctx: Ctx<"jobs.get">): Promise<JobView> {
  requireSight(ctx.locals.principal, "everybody");
  const [row] = await ctx.locals.tx.query<JobRow>({
    name: "get_job",
    text: `SELECT j.id, j.organization_id, j.task, j.payload, j.state, j.attempts, j.max_attempts, j.last_error, j.run_at,
        j.created_at, j.updated_at
      FROM unnest($2::text[]) AS s (state) CROSS JOIN LATERAL list_jobs(s.state, $1::bigint + 1, 1) AS j WHERE j.id = $1`,
    values: [ctx.params.id, jobStates],
  });
  if (!row) throw appError(404, "JOB_NOT_FOUND", "There is no such job; one that is done is no more.");
  return jobView(row);
}

/** Gives a dead job its attempts again. @throws 404 when there is no such dead job */
export async function retry(ctx: Ctx<"jobs.retry">): Promise<Result<"jobs.retry">> {
  requireSight(ctx.locals.principal, "everybody");
  const { id } = ctx.params;
  if (!(await retryDead(ctx.locals.tx, id))) throw jobNotFound();
  return { id, status: "waiting" };
}

/** Forgets a dead job. @throws 404 when there is no such dead job */
export async function drop(ctx: Ctx<"jobs.drop">): Promise<null> {
  requireSight(ctx.locals.principal, "everybody");
  if (!(await dropDead(ctx.locals.tx, ctx.params.id))) throw jobNotFound();
  return null;
}

/** Jobs of every shard in one state, newest first in each; shards that do not answer are named. */
export async function listAll(ctx: Ctx<"jobs.listAll">, database: Database): Promise<Result<"jobs.listAll">> {
  const { state, limit } = ctx.params;
  const answers = await database.everywhere((tx) => findJobs(tx, { state, before: null, limit }));
  const found = answers.flatMap((one) =>
    "error" in one
      ? []
      : one.answer.map((row) => ({ ...jobView(row), shard: one.shard, organizationId: row.organization_id })),
  );
  return { jobs: found.slice(0, limit), silent: answers.filter((one) => "error" in one) };
}

/** As `retry`, for any organization. */
export const retryAny = (ctx: Ctx<"jobs.retryAny">, database: Database): Promise<boolean> =>
  inShard(database, ctx.params.shard, (tx) => retryDead(tx, ctx.params.id));

/** As `drop`, for any organization. */
export const dropAny = (ctx: Ctx<"jobs.dropAny">, database: Database): Promise<boolean> =>
  inShard(database, ctx.params.shard, (tx) => dropDead(tx, ctx.params.id));

async function inShard(
  database: Database,
  name: string,
  work: (tx: UnitOfWork) => Promise<boolean>,
): Promise<boolean> {
  const platform = database.shards.find((shard) => shard.name === name);
  return platform !== undefined && database.transaction({ platform }, work);
}

const findJobs = (
  tx: UnitOfWork,
  { state, before, limit }: { state: JobView["state"]; before: string | null; limit: number },
) =>
  tx.query<JobRow>({
    name: "list_jobs",
    text: `SELECT id, organization_id, task, payload, state, attempts, max_attempts, last_error, run_at, created_at,
        updated_at FROM list_jobs($1, $2, $3)`,
    values: [state, before, limit],
  });

async function retryDead(tx: UnitOfWork, id: string): Promise<boolean> {
  const retried = await tx.query({ text: "SELECT retry_dead_jobs($1)", values: [[id]] });
  return retried.length > 0;
}

/** A job that holds an entity back for its listener lets it go on behind the event it failed on. */
async function dropDead(tx: UnitOfWork, id: string): Promise<boolean> {
  const [dropped] = await tx.query<{ organization_id: string | null; task: string; payload: unknown }>({
    text: "SELECT organization_id, task, payload FROM drop_dead_jobs($1)",
    values: [[id]],
  });
  if (!dropped) return false;
  const { organization_id: organizationId, task, payload } = dropped;
  const { data } = deliveryPayload.safeParse(payload);
  if (organizationId !== null && data?.entityId !== undefined) {
    if (await skipHeld(tx, { organizationId, listener: task, entityId: data.entityId }))
      tx.enqueue({ task, payload: data, key: data.entityId, organizationId });
  }
  return true;
}

const jobNotFound = () => appError(404, "JOB_NOT_FOUND", "There is no such dead job.");

/** Why a job is dead that never failed: its tries, or the one after which a newer job of its key took its place, had no end. */
const workerDied = "The worker died while it ran this job.";

const jobView = (row: JobRow): JobView => ({
  id: row.id,
  task: row.task,
  payload: row.payload,
  state: row.state,
  attempts: row.attempts,
  maxAttempts: row.max_attempts,
  lastError: row.last_error ?? (row.state === "dead" ? workerDied : null),
  runAt: row.run_at,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});
