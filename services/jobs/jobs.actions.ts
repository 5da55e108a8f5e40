import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { deliveryPayload } from "../../mixins/listeners/delivery.ts";
import { skipHeld } from "../../mixins/listeners/delivery.repository.ts";
import { appError } from "../../mixins/errors.ts";
import type { Ctx, Result } from "../contracts.ts";
import type { JobView } from "./jobs.contract.ts";

interface JobRow {
  id: string;
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

/** Jobs of the caller's organization in one state, newest first. */
export async function list(ctx: Ctx<"jobs.list">): Promise<Result<"jobs.list">> {
  const { state, limit, cursor = null } = ctx.params;
  const rows = await ctx.locals.tx.query<JobRow>({
    name: "list_jobs",
    text: `SELECT id, task, payload, state, attempts, max_attempts, last_error, run_at, created_at, updated_at
      FROM list_jobs($1, $2, $3)`,
    values: [state, cursor, limit + 1],
  });
  const page = rows.slice(0, limit);
  const hasMore = rows.length > limit;
  return {
    data: page.map(jobView),
    page: { nextCursor: hasMore ? (page.at(-1)?.id ?? null) : null, hasMore },
  };
}

/** Gives a dead job its attempts again. @throws 404 when there is no such dead job */
export async function retry(ctx: Ctx<"jobs.retry">): Promise<Result<"jobs.retry">> {
  const { id } = ctx.params;
  const retried = await ctx.locals.tx.query({
    text: "SELECT retry_dead_jobs($1)",
    values: [[id]],
  });
  if (retried.length === 0) throw jobNotFound();
  return { id, status: "waiting" };
}

/** Forgets a dead job. One that holds an entity back lets it go on behind the event it failed on. @throws 404 */
export async function drop(ctx: Ctx<"jobs.drop">): Promise<null> {
  const { tx } = ctx.locals;
  const [dropped] = await tx.query<{ task: string; payload: unknown }>({
    text: "SELECT task, payload FROM drop_dead_jobs($1)",
    values: [[ctx.params.id]],
  });
  if (!dropped) throw jobNotFound();
  await releaseEntity(tx, dropped);
  return null;
}

async function releaseEntity(
  tx: UnitOfWork,
  { task, payload }: { task: string; payload: unknown },
): Promise<void> {
  const { data } = deliveryPayload.safeParse(payload);
  if (data?.entityId === undefined || !(await skipHeld(tx, task, data.entityId))) return;
  tx.enqueue({ task, payload: data, key: data.entityId });
}

const jobNotFound = () => appError(404, "JOB_NOT_FOUND", "There is no such dead job.");

const jobView = (row: JobRow): JobView => ({
  id: row.id,
  task: row.task,
  payload: row.payload,
  state: row.state,
  attempts: row.attempts,
  maxAttempts: row.max_attempts,
  lastError: row.last_error,
  runAt: row.run_at,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});
