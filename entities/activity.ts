import { z } from "zod";
import { timeInput, timestamp } from "../mixins/contract/schemas.ts";
import * as f from "../mixins/records/kind/fields.ts";
import { defineKind, type AnyRow, type RowOf, type ViewOf } from "../mixins/records/kind/kind.ts";

export const activityTypes = ["task", "email", "call", "meeting", "note"] as const;

/** Reminders of one activity. */
const mostReminders = 10;
const reminder = z.strictObject({
  remindAt: timestamp,
  /** When it was given; null until then. */
  remindedAt: timestamp.nullable(),
});
/** A reminder as it is stored and shown. */
export type ActivityReminder = z.output<typeof reminder>;
const reminders = f.json(
  // what a caller was shown may be sent back: whether one was given, the service knows
  z.array(z.strictObject({ remindAt: timeInput, remindedAt: z.unknown().optional() })).max(mostReminders),
  z.array(reminder.meta({ id: "ActivityReminder" })),
  {
    // each time once, the next first
    normalise: (given) => ({
      value: [...new Set((given as { remindAt: string }[]).map(({ remindAt }) => remindAt))]
        .sort()
        .map((remindAt) => ({ remindAt, remindedAt: null })),
    }),
  },
);

/** What was done with somebody, or is to be done: with a record of any other kind, or with none. */
export const activity = defineKind("activity", {
  plural: "activities",
  title: ["subject", "body"],
  identifiedBy: ["subject", "body", "externalId"],
  fields: {
    externalId: f.externalId(),
    type: f.oneOf(activityTypes, "task"),
    subject: f.text(300, { search: "A", isSortable: true, personal: true, aliases: ["title"] }),
    body: f.text(20_000, {
      search: "B",
      personal: true,
      isFilterable: false,
      aliases: ["notes", "description"],
    }),
    relatedTo: f.anyRef({ happens: "completedAt" }),
    dueAt: f.time({ isSortable: true }),
    completedAt: f.time({ isSortable: true }),
    assignedTo: f.user({ isOwner: "maker" }),
    reminders,
    /** The first reminder that is to be given; null: none is. */
    nextRemindAt: f.unseen(f.time()),
    /** When the next one is due, which is made when this one is done. */
    recurrence: f.recurrence(),
    /** When the first of those that follow each other was due. */
    seriesStart: f.unseen(f.time()),
    /** Whether the next one was made. */
    hasNext: f.unseen(f.flag()),
    tags: f.tags(),
    customFields: f.customFields(),
  },
  example: {
    type: "call",
    subject: "Ask about the looms",
    dueAt: "2026-12-01T04:30:00.000Z",
    reminders: [{ remindAt: "2026-12-01T04:15:00.000Z" }],
  },
});
export type ActivityRow = RowOf<typeof activity> & AnyRow;
export type ActivityView = ViewOf<typeof activity>;
