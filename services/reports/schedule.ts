import { report, type ReportRow, type Schedule } from "../../entities/report.ts";
import { systemMeta } from "../../mixins/access/principal.ts";
import type { Runtime } from "../../mixins/contract/service.ts";
import { eachDueOrganization } from "../../mixins/jobs/due-organizations.ts";
import type { Database } from "../../mixins/database/database.ts";
import type { Mailer } from "../../mixins/mail/mail.ts";
import type { CallAs } from "../acting-as.ts";
import { enqueue, type JobCtx } from "../contracts.ts";
import { nextRunOf } from "./period.ts";
import { questionOf } from "./reports.records.ts";
import { beginRun, findRun } from "./runs.repository.ts";
import { csvOf } from "./runs.ts";

const atOnce = 100;

/** Adds a job for each organization that has reports whose time has come. */
export const findDue = (database: Database): Promise<void> =>
  eachDueOrganization(
    database,
    { table: "reports", where: "next_run_at <= now() AND deleted_at IS NULL" },
    (tx, organizationId) => enqueue(tx, "reports.beginDue", {}, { key: "due", organizationId }),
  );

/**
 * Runs reports that are due, once for each who gets them, as them: nobody is sent what they may not see. The next time is set in the same
 * transaction, so each time comes once, whatever dies.
 */
export async function beginDue(
  ctx: JobCtx<"reports.beginDue">,
  organizations: Runtime["organizations"],
): Promise<void> {
  const { tx } = ctx.locals;
  const { timeZone } = await organizations.of(tx.organizationId);
  const due = await tx.query<ReportRow>({
    text: `SELECT ${report.columns.join(", ")} FROM reports
      WHERE next_run_at <= now() AND deleted_at IS NULL ORDER BY next_run_at LIMIT ${atOnce} FOR UPDATE SKIP LOCKED`,
  });
  for (const row of due) {
    const schedule = row.schedule as Schedule;
    for (const userId of new Set(schedule.to))
      beginRun(tx, { reportId: row.id, asked: questionOf(row), userId, isMailed: true });
    tx.defer({
      text: "UPDATE reports SET next_run_at = $2 WHERE id = $1",
      values: [row.id, nextRunOf(schedule, tx.now, timeZone)],
    });
  }
  if (due.length === atOnce) enqueue(tx, "reports.beginDue", {}, { key: "more" });
}

/** Mails an answer as a file. Repeated, it comes twice. */
export async function mailRun(
  ctx: JobCtx<"reports.mailRun">,
  { database, mailer, call }: { database: Database; mailer: Mailer; call: CallAs },
): Promise<void> {
  const { organizationId } = ctx.locals.principal;
  const reader = database.reader(organizationId);
  const found = await findRun(reader, ctx.params.runId);
  if (!mailer.isConfigured || !found?.columns || !found.rows) return;
  const [row] = await reader.query<{ name: string }>({
    text: "SELECT name FROM reports WHERE id = $1 AND deleted_at IS NULL",
    values: [found.report_id],
  });
  const user = await call<{ email: string; isActive: boolean }>(
    "identity.getUser",
    { id: found.started_by },
    systemMeta(organizationId),
  );
  if (!row || !user.isActive) return;
  await mailer.send({
    organizationId,
    to: user.email,
    subject: row.name,
    text: `Your report "${row.name}" is attached: ${found.rows.length} rows, as of ${found.created_at}.\n`,
    attachments: [
      { name: "report.csv", type: "text/csv; charset=utf-8", content: csvOf(found.columns, found.rows) },
    ],
  });
}
