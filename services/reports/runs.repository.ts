import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { newId } from "../../mixins/database/new-id.ts";
import type { Question } from "./ask.ts";
import type { Cell, Column, RunView } from "./reports.contract.ts";

export interface RunRow {
  id: string;
  report_id: string;
  asked: Question;
  status: RunView["status"];
  started_by: string;
  is_mailed: boolean;
  columns: Column[] | null;
  rows: Cell[][] | null;
  error: string | null;
  created_at: string;
  finished_at: string | null;
  [column: string]: unknown;
}

export const runView = (row: RunRow): RunView => ({
  ...{ id: row.id, reportId: row.report_id, status: row.status, columns: row.columns, rows: row.rows },
  ...{ error: row.error, createdAt: row.created_at, finishedAt: row.finished_at },
});

/** @param isLocked nobody else answers it until the end of the transaction */
export async function findRun(
  tx: Pick<UnitOfWork, "query">,
  id: string,
  isLocked = false,
): Promise<RunRow | undefined> {
  const [row] = await tx.query<RunRow>({
    name: isLocked ? "lock_report_run" : "find_report_run",
    text: `SELECT id, report_id, asked, status, started_by, is_mailed, columns, rows, error, created_at, finished_at
      FROM report_runs WHERE id = $1${isLocked ? " FOR UPDATE" : ""}`,
    values: [id],
  });
  return row;
}

/** Adds a run, and the job that answers it. */
export function beginRun(
  tx: UnitOfWork,
  {
    reportId,
    asked,
    userId,
    isMailed,
  }: { reportId: string; asked: Question; userId: string; isMailed: boolean },
): { id: string; status: "pending" } {
  const id = newId();
  tx.defer({
    name: "begin_report_run",
    text: `INSERT INTO report_runs (organization_id, id, report_id, asked, status, started_by, is_mailed, created_at)
      VALUES ($1, $2, $3, $4, 'pending', $5, $6, $7)`,
    values: [tx.organizationId, id, reportId, JSON.stringify(asked), userId, isMailed, tx.now],
  });
  tx.enqueue({ task: "reports.runReport", payload: { runId: id }, key: id });
  return { id, status: "pending" };
}

/** Writes how a locked run has ended, and tells who began it. */
export function endRun(
  tx: UnitOfWork,
  run: RunRow,
  end: { columns: Column[]; rows: Cell[][] } | { error: string },
): void {
  const isFailed = "error" in end;
  const status = isFailed ? "failed" : "completed";
  tx.defer({
    name: "end_report_run",
    text: `UPDATE report_runs SET status = $2, columns = $3, rows = $4, error = $5, finished_at = $6 WHERE id = $1`,
    values: [
      ...[run.id, status],
      ...(isFailed ? [null, null, end.error] : [JSON.stringify(end.columns), JSON.stringify(end.rows), null]),
      tx.now,
    ],
  });
  tx.record({
    type: "report.answered",
    entity: { kind: "report", id: run.report_id, version: 1 },
    actorId: run.started_by,
    audience: [run.started_by],
    data: { runId: run.id, status },
  });
  if (run.is_mailed && !isFailed)
    tx.enqueue({ task: "reports.mailRun", payload: { runId: run.id }, key: run.id });
}
