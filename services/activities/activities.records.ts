import { activity, type ActivityReminder, type ActivityRow } from "../../entities/activity.ts";
import { changesBetween, type Change } from "../../mixins/records/writing/changes.ts";
import type { RecordRules } from "../../mixins/records/writing/desk.ts";

/** What activities decide by themselves: which reminder comes next, and what becomes known of them. */
export const activityRules: RecordRules<ActivityRow, undefined> = {
  complete: (row) => withReminders(null, row),
  decide: (before, change) => changed(before, change, withReminders(before, change.row)),
  verbs: ({ row, changes }) => [
    "completedAt" in changes && row.completed_at !== null ? "completed" : "updated",
  ],
};

function changed(
  before: ActivityRow,
  { changes }: Change<ActivityRow>,
  row: ActivityRow,
): Change<ActivityRow> {
  const { reminders: _given, ...others } = changes;
  return { row, changes: { ...others, ...changesBetween(activity, before, row) } };
}

/** A row whose reminders were given, or not, as they were before: a caller says when they are, and no more. Pure. */
function withReminders(before: ActivityRow | null, row: ActivityRow): ActivityRow {
  const given = new Map(before?.reminders.map(({ remindAt, remindedAt }) => [remindAt, remindedAt]));
  const reminders = row.reminders.map(({ remindAt }): ActivityReminder => ({
    remindAt,
    remindedAt: given.get(remindAt) ?? null,
  }));
  return { ...row, reminders, next_remind_at: nextOf({ ...row, reminders }) };
}

/** When the next reminder is to be given. What is done, nobody is reminded of. */
export const nextOf = ({
  completed_at: completedAt,
  reminders,
}: Pick<ActivityRow, "completed_at" | "reminders">) =>
  completedAt === null ? (reminders.find(({ remindedAt }) => remindedAt === null)?.remindAt ?? null) : null;
