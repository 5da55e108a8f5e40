import { z } from "zod";
import { action } from "../../mixins/contract/contract.ts";
import { cronPayload, job } from "../../mixins/jobs/job-spec.ts";
import { fieldsParam, listParams, type Listing } from "../../mixins/records/finding/listing.ts";
import { id, pageOf, text, timeInput, timestamp } from "../../mixins/contract/schemas.ts";

export const reminder = z
  .strictObject({
    id,
    leadId: id,
    /** Who is reminded. */
    userId: id,
    remindAt: timestamp,
    note: z.string().nullable(),
    /** When the reminder was given; null until then. */
    remindedAt: timestamp.nullable(),
    createdAt: timestamp,
  })
  .meta({ id: "Reminder" });
export type ReminderView = z.output<typeof reminder>;

export const reminderListing: Listing = {
  table: "lead_reminders",
  fields: {
    id: "uuid",
    leadId: "uuid",
    userId: "uuid",
    remindAt: "timestamp",
    note: "text",
    remindedAt: "timestamp",
    createdAt: "timestamp",
  },
  filterable: ["userId", "remindAt", "remindedAt", "createdAt"],
  sortable: ["remindAt", "createdAt"],
  defaultSort: "remindAt",
};

/** Actions on reminders of leads; part of leadsContract. */
export const reminderActions = {
  createReminder: action({
    summary: "Has the caller reminded of a lead, by the event lead.reminder_due, once",
    params: z.strictObject({ id, remindAt: timeInput, note: text(1000).nullable().default(null) }),
    returns: reminder,
    permission: "leads:update",
    rest: "POST /leads/:id/reminders",
    status: 201,
    location: ({ leadId, id }) => `/leads/${leadId}/reminders/${id}`,
  }),
  listReminders: action({
    summary: "Reminders of a lead, the next one first",
    params: listParams(reminderListing).omit({ q: true }).extend({ id }),
    returns: pageOf(reminder.partial().extend({ id }).meta({ id: "ReminderPart" })),
    reads: true,
    permission: "leads:read",
    rest: "GET /leads/:id/reminders",
  }),
  getReminder: action({
    summary: "One reminder of a lead",
    params: z.strictObject({ id, reminderId: id, fields: fieldsParam(reminderListing) }),
    returns: reminder,
    reads: true,
    permission: "leads:read",
    rest: "GET /leads/:id/reminders/:reminderId",
  }),
  removeReminder: action({
    summary: "Takes a reminder back",
    params: z.strictObject({ id, reminderId: id }),
    returns: z.null(),
    permission: "leads:update",
    rest: "DELETE /leads/:id/reminders/:reminderId",
    status: 204,
  }),
};

export const reminderEvents = { "lead.reminder_due": z.strictObject({ reminder }) };

export const reminderJobs = {
  findDueReminders: job({
    summary: "Finds the organizations with reminders that are due",
    payload: cronPayload,
    scope: "platform",
    cron: { schedule: "*/5 * * * * *", missed: "skip" },
  }),
  giveReminders: job({
    summary: "Gives an organization's reminders that are due",
    payload: z.strictObject({}),
  }),
};
