import type { ServiceSchema } from "moleculer";
import { activity, type ActivityRow } from "../../entities/activity.ts";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import { recordHandlers } from "../../mixins/records/handlers.ts";
import { storeOf } from "../../mixins/records/writing/store.ts";
import type { HandlersOf } from "../contracts.ts";
import { recordDesk } from "../record-desk.ts";
import { activitiesContract } from "./activities.contract.ts";
import { activityRules } from "./activities.records.ts";
import { complete } from "./complete.ts";
import { activitiesPersonalData } from "./personal-data.ts";
import { findDueReminders, giveReminders, mailReminder } from "./reminders.ts";

/** Tasks, calls, meetings, emails and notes, and who is reminded of them. */
export default function activitiesService(runtime: Runtime): ServiceSchema {
  const desk = recordDesk(runtime);
  const rules = activityRules(desk, runtime);
  const counter = { kind: activity, desk, rules, store: storeOf<ActivityRow>(activity) };
  const handlers: HandlersOf<typeof activitiesContract> = {
    ...recordHandlers(activity, desk, rules),
    complete: (ctx) => complete(ctx, counter),
  };
  return createService(activitiesContract, handlers, runtime, {
    jobs: {
      findDueReminders: (ctx: Parameters<typeof findDueReminders>[0]) =>
        findDueReminders(ctx, runtime.database),
      giveReminders: (ctx: Parameters<typeof giveReminders>[0]) => giveReminders(ctx, runtime),
      mailReminder: (ctx: Parameters<typeof mailReminder>[0]) => mailReminder(ctx, runtime),
    },
    personalData: activitiesPersonalData(runtime),
  });
}
