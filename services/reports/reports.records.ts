import { report, type ReportRow, type Schedule } from "../../entities/report.ts";
import type { Principal } from "../../mixins/access/principal.ts";
import { invalid, invalidField } from "../../mixins/contract/errors.ts";
import { changesBetween } from "../../mixins/records/writing/changes.ts";
import type { RecordDesk, RecordRules } from "../../mixins/records/writing/desk.ts";
import type { Condition } from "../../mixins/records/conditions/condition.ts";
import { problemsOf, requireReadable, termsOf, type Known, type Question, type Terms } from "./ask.ts";
import { nextRunOf } from "./period.ts";

/** What a call knows before its transaction. */
interface Prepared extends Terms {
  principal: Principal;
}

/** A report as its row has it. */
export const questionOf = (row: ReportRow): Question => ({
  kind: row.kind,
  measures: row.measures,
  groupBy: row.group_by,
  where: (row.condition as Condition | undefined) ?? null,
  period: row.period,
});

/** What reports decide by themselves: that what they ask is there, and when they are sent next. */
export const reportRules = ({ users }: RecordDesk, known: Known): RecordRules<ReportRow, Prepared> => ({
  async prepare(ctx) {
    const { principal } = ctx.locals;
    const { schedule } = ctx.params as { schedule?: Schedule | null };
    const active = await users.among(ctx, schedule?.to ?? []);
    for (const [index, id] of (schedule?.to ?? []).entries())
      if (!active.has(id))
        throw invalidField(`schedule.to.${index}`, "not_found", "is not an active user of the organization");
    return { principal, ...(await termsOf(principal.organizationId, known)) };
  },
  complete: (row, prepared) => planned(row, prepared, row.created_at),
  decide(before, change, prepared) {
    const row = planned(change.row, prepared, change.row.updated_at);
    return { row, changes: { ...change.changes, ...changesBetween(report, before, row) } };
  },
});

/** @throws 403, 422 */
function planned(row: ReportRow, { defined, principal, timeZone }: Prepared, now: string): ReportRow {
  if ((row.kind as string | null) === null) throw invalidField("kind", "required", "must be given");
  const question = questionOf(row);
  const problems = problemsOf(question, defined);
  if (problems.length > 0) throw invalid(problems);
  requireReadable(principal, question, defined);
  const schedule = row.schedule;
  return { ...row, next_run_at: schedule && nextRunOf(schedule, new Date(now), timeZone) };
}
