import { activity, type ActivityRow } from "../../entities/activity.ts";
import type { Runtime } from "../../mixins/contract/service.ts";
import type { Database } from "../../mixins/database/database.ts";
import { eachDueOrganization } from "../../mixins/jobs/due-organizations.ts";
import { nameInMail } from "../../mixins/mail/names.ts";
import { changesBetween, nextVersion } from "../../mixins/records/writing/changes.ts";
import { ownersOf } from "../../mixins/records/writing/desk.ts";
import { audienceOf } from "../../mixins/records/writing/ownership.ts";
import { storeOf } from "../../mixins/records/writing/store.ts";
import { enqueue, record, type JobCtx } from "../contracts.ts";
import { nextOf } from "./activities.records.ts";

const atOnce = 500;
const store = storeOf<ActivityRow>(activity);

/** Adds a job for each organization that has reminders to be given. */
export async function findDueReminders(
  _ctx: JobCtx<"activities.findDueReminders">,
  database: Database,
): Promise<void> {
  const rows = { table: "activities", where: "next_remind_at <= now() AND deleted_at IS NULL" };
  await eachDueOrganization(database, rows, (tx, organizationId) =>
    enqueue(tx, "activities.giveReminders", {}, { key: "due", organizationId }),
  );
}

/**
 * Gives reminders that are due: each is marked in the transaction of its event and of the job that mails it, so it is given once,
 * whatever dies. It goes to whom the activity is assigned, or else to those whose it is.
 */
export async function giveReminders(
  ctx: JobCtx<"activities.giveReminders">,
  { mailer }: Pick<Runtime, "mailer">,
): Promise<void> {
  const { tx } = ctx.locals;
  const due = await tx.query<ActivityRow & { until: string }>({
    text: `SELECT ${activity.columns.join(", ")}, now()::timestamptz(3) AS until FROM activities
      WHERE next_remind_at <= now() AND deleted_at IS NULL
      ORDER BY next_remind_at LIMIT ${atOnce} FOR NO KEY UPDATE SKIP LOCKED`,
  });
  const now = tx.now.toISOString();
  for (const { until, ...before } of due) {
    const isDue = ({ remindAt, remindedAt }: ActivityRow["reminders"][number]) =>
      remindedAt === null && remindAt <= until;
    const reminders = before.reminders.map((one) => (isDue(one) ? { ...one, remindedAt: now } : one));
    const row: ActivityRow = {
      ...nextVersion<ActivityRow>(before, now, { reminders }),
      next_remind_at: nextOf({ ...before, reminders }),
    };
    store.update(tx, [row]);
    const { id, version, assigned_to: userId } = row;
    const changes = changesBetween(activity, before, row);
    for (const { remindAt } of before.reminders.filter(isDue)) {
      record(tx, {
        type: "activity.reminder_due",
        entity: { kind: "activity", id, version },
        actorId: null,
        audience: userId === null ? audienceOf(...ownersOf(activity, row)) : [userId],
        data: { record: activity.show(row), changes: changes, remindAt },
      });
      if (userId !== null && mailer.isConfigured)
        enqueue(tx, "activities.mailReminder", { id, userId, remindAt }, { key: `${id} ${remindAt}` });
    }
  }
  if (due.length === atOnce) enqueue(tx, "activities.giveReminders", {}, { key: "more" });
}

/** Mails a reminder, unless the activity is done, gone or somebody else's by now. */
export async function mailReminder(
  ctx: JobCtx<"activities.mailReminder">,
  { database, mailer, organizations }: Pick<Runtime, "database" | "mailer" | "organizations">,
): Promise<void> {
  const { principal } = ctx.locals;
  const { organizationId } = principal;
  const { id, userId } = ctx.params;
  // beside the job's transaction: none is open while the mail is on its way
  const [row] = await database.reader(organizationId).query<ActivityRow>({
    text: `SELECT ${activity.columns.join(", ")} FROM activities
      WHERE id = $1 AND assigned_to = $2 AND completed_at IS NULL AND deleted_at IS NULL`,
    values: [id, userId],
  });
  if (!row) return;
  const user = await ctx.call("identity.getUser", { id: userId });
  if (!user.isActive) return;
  const { timeZone } = await organizations.of(organizationId);
  await mailer.send({ organizationId, to: user.email, ...reminderMail(row, timeZone) });
}

function reminderMail({ type, subject, due_at: dueAt }: ActivityRow, timeZone: string) {
  const name = `"${nameInMail(subject ?? "", `a ${type}`)}"`;
  const when =
    dueAt === null
      ? ""
      : ` It is due on ${new Date(dueAt).toLocaleString("en-GB", { timeZone, dateStyle: "full", timeStyle: "short" })} (${timeZone}).`;
  return {
    subject: `Reminder: ${name}`,
    text: `Hello,

This mail is from Sangam, a program for sales teams. What stands in quotation marks, others have typed.

You asked to be reminded of the ${type} ${name}.${when}
`,
  };
}
