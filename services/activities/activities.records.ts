import { activity, type ActivityReminder, type ActivityRow } from "../../entities/activity.ts";
import { isTimeInRange } from "../../mixins/contract/schemas.ts";
import { newId } from "../../mixins/database/new-id.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { Runtime } from "../../mixins/contract/service.ts";
import { CallFields } from "../../mixins/records/custom/of-call.ts";
import { changesBetween, type Change } from "../../mixins/records/writing/changes.ts";
import { about, type RecordDesk, type RecordRules } from "../../mixins/records/writing/desk.ts";
import { storeOf } from "../../mixins/records/writing/store.ts";
import { nextOccurrence } from "../../mixins/values/recurrence.ts";

const store = storeOf<ActivityRow>(activity);

/** What a call knows before its transaction. */
export interface Prepared {
  timeZone: string;
  fields: CallFields;
}

/** What activities decide by themselves: which reminder comes next, what they are told as, and what comes after them. */
export const activityRules = (
  desk: RecordDesk,
  { organizations }: Pick<Runtime, "organizations">,
): RecordRules<ActivityRow, Prepared> => ({
  async prepare(ctx) {
    const { timeZone } = await organizations.of(ctx.locals.principal.organizationId);
    return { timeZone, fields: await CallFields.of(ctx, desk, activity) };
  },
  complete: (row) => ({ ...withReminders(null, row), series_start: row.due_at }),
  decide(before, change) {
    const isNewSeries = "dueAt" in change.changes || "recurrence" in change.changes;
    const row = withReminders(before, change.row);
    return changed(before, change, isNewSeries ? { ...row, series_start: row.due_at } : row);
  },
  verbs: ({ row, changes }) => [
    "completedAt" in changes && row.completed_at !== null ? "completed" : "updated",
  ],
  also(tx, before, { row }, prepared) {
    const isDone = row.completed_at !== null && (before?.completed_at ?? null) === null;
    if (isDone && row.recurrence !== null && !row.has_next) makeNext(tx, row, prepared);
  },
});

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

/**
 * Makes what comes after an activity that is done, once: the row is locked, and says from then on that it has a next one. It is due at
 * the first time that its rule names after this one was due and was done; its reminders are as long before.
 */
function makeNext(tx: UnitOfWork, row: ActivityRow, { timeZone, fields }: Prepared): void {
  const now = tx.now.toISOString();
  const due = Date.parse(row.due_at ?? now);
  const next = nextOccurrence(String(row.recurrence), {
    ...{ zone: timeZone, start: Date.parse(row.series_start ?? now) },
    after: Math.max(due, Date.parse(row.completed_at ?? now)),
  });
  if (next === null) return;
  const later = (time: string) => new Date(Date.parse(time) + next - due).toISOString();
  const reminders = row.reminders
    .map(({ remindAt }) => ({ remindAt: later(remindAt), remindedAt: null }))
    .filter(({ remindAt }) => isTimeInRange(Date.parse(remindAt)));
  // what one record alone may have, stays with the first
  const unique = fields.marksOf(row);
  const customFields = Object.entries(row.custom_fields).filter(([key]) => !unique.has(key));
  const made: ActivityRow = {
    ...row,
    ...{ id: newId(), version: 1, created_at: now, updated_at: now, external_id: null },
    ...{ due_at: new Date(next).toISOString(), completed_at: null, reminders },
    next_remind_at: nextOf({ completed_at: null, reminders }),
    series_start: row.series_start ?? now,
    custom_fields: Object.fromEntries(customFields),
  };
  store.insert(tx, made);
  tx.defer({ text: "UPDATE activities SET has_next = true WHERE id = $1", values: [row.id] });
  about(tx, { kind: activity, verb: "created", row: made, actorId: null, fields });
}
