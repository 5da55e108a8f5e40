import { v7 as uuidv7 } from "uuid";
import type { QueryResultRow } from "pg";
import type { Database } from "../../mixins/database/database.ts";
import { eachDueOrganization } from "../../mixins/jobs/due-organizations.ts";
import { requireRoomFor } from "../../mixins/organizations/limits.ts";
import type { Values } from "../../mixins/records/finding/listing.ts";
import { readPage } from "../../mixins/records/finding/page.ts";
import { enqueue, record, type Ctx, type JobCtx, type Result } from "../contracts.ts";
import { reminderNotFound } from "./leads.errors.ts";
import { leadStore } from "./leads.store.ts";
import { reminderListing, type ReminderView } from "./reminders.contract.ts";

const atOnce = 500;
const columns = "id, lead_id, user_id, remind_at, note, reminded_at, created_at";

interface ReminderRow extends QueryResultRow {
  id: string;
  lead_id: string;
  user_id: string;
  remind_at: string;
  note: string | null;
  reminded_at: string | null;
  created_at: string;
}

/** Keeps a reminder of a lead for the caller. One whose time has passed is given at once. */
export async function createReminder(ctx: Ctx<"leads.createReminder">): Promise<ReminderView> {
  const { principal, tx } = ctx.locals;
  const { id: leadId, remindAt, note } = ctx.params;
  await leadStore.get(tx, principal, leadId);
  await requireRoomFor(tx, "remindersOfLead", { of: leadId });
  await requireRoomFor(tx, "reminders");
  const row: ReminderRow = {
    id: uuidv7(),
    lead_id: leadId,
    user_id: principal.userId as string,
    remind_at: remindAt,
    note,
    reminded_at: null,
    created_at: tx.now.toISOString(),
  };
  tx.defer({
    text: `INSERT INTO lead_reminders (organization_id, id, lead_id, user_id, remind_at, note, created_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    values: [tx.organizationId, row.id, leadId, row.user_id, remindAt, note, row.created_at],
  });
  return reminderView(row);
}

/** The reminders of a lead, given ones too. */
export async function listReminders(ctx: Ctx<"leads.listReminders">): Promise<Result<"leads.listReminders">> {
  const { principal, tx } = ctx.locals;
  const { id: leadId, filter } = ctx.params;
  await leadStore.get(tx, principal, leadId);
  const ofLead = (values: Values) => [`lead_id = ${values.add(leadId)}`];
  return readPage(tx, reminderListing, { ...ctx.params, asked: [leadId, filter] }, reminderView, ofLead);
}

/** One reminder of a lead. @throws 404 */
export async function getReminder(ctx: Ctx<"leads.getReminder">): Promise<ReminderView> {
  const { principal, tx } = ctx.locals;
  const { id: leadId, reminderId } = ctx.params;
  await leadStore.get(tx, principal, leadId);
  const [row] = await tx.query<ReminderRow>({
    name: "get_lead_reminder",
    text: `SELECT ${columns} FROM lead_reminders WHERE id = $1 AND lead_id = $2`,
    values: [reminderId, leadId],
  });
  if (!row) throw reminderNotFound();
  return reminderView(row);
}

/** Takes a reminder back. @throws 404 */
export async function removeReminder(ctx: Ctx<"leads.removeReminder">): Promise<null> {
  const { principal, tx } = ctx.locals;
  const { id: leadId, reminderId } = ctx.params;
  await leadStore.get(tx, principal, leadId);
  const removed = await tx.execute({
    text: "DELETE FROM lead_reminders WHERE id = $1 AND lead_id = $2",
    values: [reminderId, leadId],
  });
  if (removed === 0) throw reminderNotFound();
  return null;
}

/** Adds a job for each organization that has reminders to be given. */
export async function findDueReminders(
  _ctx: JobCtx<"leads.findDueReminders">,
  database: Database,
): Promise<void> {
  const rows = { table: "lead_reminders", where: "reminded_at IS NULL AND remind_at <= now()" };
  await eachDueOrganization(database, rows, (tx, organizationId) =>
    enqueue(tx, "leads.giveReminders", {}, { key: "due", organizationId }),
  );
}

/**
 * Gives reminders that are due: each is marked in the transaction of its event, so it is given once, whatever dies.
 * Those of deleted leads stay silent.
 */
export async function giveReminders(ctx: JobCtx<"leads.giveReminders">): Promise<void> {
  const { tx } = ctx.locals;
  const given = await tx.query<ReminderRow & { version: number; is_deleted: boolean }>({
    text: `UPDATE lead_reminders r SET reminded_at = now()
      FROM (SELECT organization_id, id FROM lead_reminders WHERE reminded_at IS NULL AND remind_at <= now()
          ORDER BY remind_at LIMIT $1 FOR UPDATE SKIP LOCKED) due, leads l
      WHERE (r.organization_id, r.id) = (due.organization_id, due.id)
        AND (l.organization_id, l.id) = (r.organization_id, r.lead_id)
      RETURNING ${columns.replaceAll(/\w+/g, "r.$&")}, l.version, l.deleted_at IS NOT NULL AS is_deleted`,
    values: [atOnce],
  });
  for (const row of given)
    if (!row.is_deleted)
      record(tx, {
        type: "lead.reminder_due",
        entity: { kind: "lead", id: row.lead_id, version: row.version },
        actorId: null,
        audience: [row.user_id],
        data: { reminder: reminderView(row) },
      });
  if (given.length === atOnce) enqueue(tx, "leads.giveReminders", {}, { key: "more" });
}

const reminderView = (row: ReminderRow): ReminderView => ({
  id: row.id,
  leadId: row.lead_id,
  userId: row.user_id,
  remindAt: row.remind_at,
  note: row.note,
  remindedAt: row.reminded_at,
  createdAt: row.created_at,
});
