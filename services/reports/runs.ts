import { Readable } from "node:stream";
import { stringify } from "csv-stringify/sync";
import type { Logger } from "moleculer";
import { report, type ReportRow } from "../../entities/report.ts";
import { invalidField } from "../../mixins/contract/errors.ts";
import { lastingReason } from "../../mixins/contract/passing.ts";
import type { Database } from "../../mixins/database/database.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { xlsxStream } from "../../mixins/files/xlsx-writer.ts";
import { storeOf } from "../../mixins/records/writing/store.ts";
import { inertCell } from "../../mixins/values/cells.ts";
import { actingAs, type CallAs } from "../acting-as.ts";
import type { Ctx, JobCtx, Result } from "../contracts.ts";
import { answer, termsOf, type Known } from "./ask.ts";
import type { Cell, Column, RunView } from "./reports.contract.ts";
import { notCompleted, runNotFound } from "./reports.errors.ts";
import { questionOf } from "./reports.records.ts";
import { beginRun, endRun, findRun, runView, type RunRow } from "./runs.repository.ts";

export const reports = storeOf<ReportRow>(report);

/** Answers what nobody has kept. */
export async function preview(ctx: Ctx<"reports.preview">, known: Known): Promise<Result<"reports.preview">> {
  const { principal, tx } = ctx.locals;
  const terms = await termsOf(tx.organizationId, known);
  return answer(tx, principal, ctx.params, terms);
}

/** Begins to answer a report, as it is now. */
export async function run(ctx: Ctx<"reports.run">): Promise<Result<"reports.run">> {
  const { principal, tx } = ctx.locals;
  const { userId } = principal;
  if (userId === null) throw invalidField("id", "user_needed", "can only be run by a user");
  const row = await reports.get(tx, principal, ctx.params.id);
  return beginRun(tx, { reportId: row.id, asked: questionOf(row), userId, isMailed: false });
}

/** @throws 404 for another's too */
async function ownRun(
  { locals: { tx, principal } }: Pick<Ctx<"reports.getRun">, "locals">,
  id: string,
): Promise<RunRow> {
  const found = await findRun(tx, id);
  if (found?.started_by !== principal.userId) throw runNotFound();
  return found;
}

export const getRun = async (ctx: Ctx<"reports.getRun">): Promise<RunView> =>
  runView(await ownRun(ctx, ctx.params.id));

/** @throws 409 RUN_NOT_COMPLETED */
export async function download(ctx: Ctx<"reports.download">): Promise<NodeJS.ReadableStream> {
  const { status, columns, rows } = await ownRun(ctx, ctx.params.id);
  if (columns === null || rows === null) throw notCompleted(status);
  if (ctx.params.format === "csv") return Readable.from([csvOf(columns, rows)]);
  const lines = linesOf(columns, rows, [String, Number]);
  return xlsxStream({ name: "Report", columns: namesOf(columns), rows: Readable.from([lines]) });
}

/** Columns of a file: money has two, its amount and its currency. */
const namesOf = (columns: readonly Column[]): string[] =>
  columns.flatMap(({ key, type }) => (type === "money" ? [key, `${key}.currency`] : [key]));

/** @param textOf a text or an amount as the file has it */
function linesOf(
  columns: readonly Column[],
  rows: readonly Cell[][],
  [textOf, amountOf]: readonly [(text: string) => string, (amount: string) => string | number],
): (string | number | boolean | null)[][] {
  return rows.map((row) =>
    row.flatMap((cell, index) => {
      if (columns[index]?.type === "money") {
        const money = cell as { amount: string; currency: string } | null;
        return money === null ? [null, null] : [amountOf(money.amount), money.currency];
      }
      return [typeof cell === "string" ? textOf(cell) : (cell as number | boolean | null)];
    }),
  );
}

/** As CSV; amounts keep all their digits. */
export const csvOf = (columns: readonly Column[], rows: readonly Cell[][]): string =>
  stringify([namesOf(columns), ...linesOf(columns, rows, [inertText, String])], {
    cast: { boolean: String },
  });
const inertText = (text: string) => String(inertCell(text));

/** Answers a run, as whoever began it; one that is over stays as it is. */
export async function answerRun(ctx: Ctx<"reports.answerRun">, known: Known): Promise<null> {
  const { principal, tx } = ctx.locals;
  const terms = await termsOf(tx.organizationId, known);
  const found = await findRun(tx, ctx.params.runId, true);
  if (found?.started_by !== principal.userId) throw runNotFound();
  if (found.status === "pending") endRun(tx, found, await answer(tx, principal, found.asked, terms));
  return null;
}

interface Parts {
  database: Database;
  call: CallAs;
  onEvents(organizationId: string): void;
  logger: Logger;
}
/** The job of a run. What will not pass ends it, and is told to who began it. */
export async function runReport(ctx: JobCtx<"reports.runReport">, parts: Parts): Promise<void> {
  const { organizationId } = ctx.locals.principal;
  const { runId } = ctx.params;
  const found = await findRun(parts.database.reader(organizationId), runId);
  if (found?.status !== "pending") return;
  try {
    const meta = await actingAs(parts.call, organizationId, found.started_by);
    await parts.call("reports.answerRun", { runId }, meta);
  } catch (error) {
    const why = lastingReason(error, parts.logger, `run ${runId} of a report`);
    await parts.database.transaction({ organizationId }, async (tx) => {
      const now = await findRun(tx, runId, true);
      if (now?.status !== "pending") return;
      endRun(tx, now, { error: why });
    });
    parts.onEvents(organizationId);
  }
}

/** Runs that ended 30 days ago are forgotten, and those whose job died with them. */
export const forgetRuns = (database: Database): Promise<void> =>
  database.eachShard((shard) =>
    database.transaction(shard, (tx: UnitOfWork) =>
      tx.execute({
        name: "forget_report_runs",
        text: "DELETE FROM report_runs WHERE created_at < now() - interval '30 days'",
        values: [],
      }),
    ),
  );
