import { z } from "zod";
import { activity } from "../../entities/activity.ts";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import { commentable } from "../../mixins/records/capabilities/comments.ts";
import { byIdVersioned, id, timestamp } from "../../mixins/contract/schemas.ts";
import { cronPayload, job } from "../../mixins/jobs/job-spec.ts";
import { exportable } from "../../mixins/records/capabilities/files.ts";
import { bulk, bulkChangeable } from "../../mixins/records/capabilities/many.ts";
import {
  comparable,
  crud,
  eventsOf,
  historical,
  mergeable,
  recordData,
  restorable,
  upsertable,
  withoutSensitive,
} from "../../mixins/records/capabilities.ts";
import { personalDataOf } from "../../mixins/records/personal-data.ts";

export const activitiesContract = defineContract("activities", {
  tables: { owns: ["activities"] },
  actions: {
    ...crud(activity),
    ...bulk(activity),
    ...bulkChangeable(activity),
    ...upsertable(activity),
    ...restorable(activity),
    ...historical(activity),
    ...commentable(activity),
    ...comparable(activity),
    ...mergeable(activity),
    ...exportable(activity),
    complete: action({
      summary: "Says that an activity is done; what is done already stays as it is",
      params: byIdVersioned,
      returns: activity.view,
      kept: withoutSensitive,
      permission: "activities:update",
      rest: "POST /activities/:id/complete",
      fails: [410],
    }),
  },
  events: {
    ...eventsOf(activity),
    "activity.completed": recordData(activity),
    "activity.reminder_due": recordData(activity).extend({
      /** Which of its reminders was given. */
      remindAt: timestamp,
    }),
  },
  jobs: {
    findDueReminders: job({
      summary: "Finds the organizations with reminders of activities that are due",
      payload: cronPayload,
      scope: "platform",
      cron: { schedule: "*/5 * * * * *", missed: "skip" },
    }),
    giveReminders: job({
      summary: "Gives an organization's reminders of activities that are due",
      payload: z.strictObject({}),
    }),
    mailReminder: job({
      summary: "Mails a reminder to whom the activity is assigned",
      payload: z.strictObject({ id, userId: id, remindAt: timestamp }),
      queue: "email-send",
    }),
  },
  personalData: { activities: personalDataOf(activity) },
});
