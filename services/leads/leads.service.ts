import type { Context, ServiceSchema } from "moleculer";
import { lead } from "../../entities/lead.ts";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import type { HandlersOf, JobHandlersOf } from "../contracts.ts";
import { recordHandlers } from "../../mixins/records/handlers.ts";
import { PipelineCache, pipelinesChanged } from "../../mixins/sales/pipelines.ts";
import { recordDesk } from "../record-desk.ts";
import type { Desk } from "./desk.ts";
import * as leads from "./leads.actions.ts";
import { leadsContract } from "./leads.contract.ts";
import { convert } from "./leads.convert.ts";
import { bothConverted } from "./leads.errors.ts";
import { leadRules } from "./leads.records.ts";
import { leadsPersonalDataHandlers } from "./personal-data.ts";
import * as pools from "./pools.actions.ts";
import { router } from "./pools.router.ts";
import * as reminders from "./reminders.actions.ts";
import { rescore } from "./rescore.job.ts";
import * as scoring from "./scoring.actions.ts";
import { SettingsCache, settingsChanged } from "./settings.ts";

/** Captures, scores, routes and converts leads. */
export default function leadsService(runtime: Runtime): ServiceSchema {
  const { database } = runtime;
  const desk: Desk = {
    ...recordDesk(runtime),
    settings: new SettingsCache(database, runtime.definitions),
    pipelines: new PipelineCache(database),
  };
  const records = recordHandlers(lead, desk, leadRules(desk));
  const handlers: HandlersOf<typeof leadsContract> = {
    ...records,
    merge(ctx) {
      ctx.locals.tx.onViolation("contacts_by_lead", bothConverted);
      return records.merge(ctx);
    },
    assign: (ctx) => leads.assign(ctx, desk),
    convert: (ctx) => convert(ctx, desk),
    score: (ctx) => scoring.score(ctx, desk),
    getScoringModel: scoring.getScoringModel,
    getScoringRules: scoring.getScoringRules,
    setScoringRules: (ctx) => scoring.setScoringRules(ctx, desk),
    listPools: pools.listPools,
    getPool: pools.getPool,
    createPool: (ctx) => pools.createPool(ctx, desk),
    updatePool: (ctx) => pools.updatePool(ctx, desk),
    removePool: pools.removePool,
    getReminder: reminders.getReminder,
    createReminder: reminders.createReminder,
    listReminders: reminders.listReminders,
    removeReminder: reminders.removeReminder,
  };
  const jobs: JobHandlersOf<typeof leadsContract> = {
    rescore: (ctx) => rescore(ctx, { desk, onEvents: (organizationId) => runtime.onEvents(organizationId) }),
    findDueReminders: (ctx) => reminders.findDueReminders(ctx, database),
    giveReminders: reminders.giveReminders,
  };
  return createService(leadsContract, handlers, runtime, {
    actors: { router },
    jobs,
    personalData: leadsPersonalDataHandlers(desk),
    events: {
      [settingsChanged](ctx: Context<{ organizationId: string }>) {
        desk.settings.forget(ctx.params.organizationId);
      },
      [pipelinesChanged](ctx: Context<{ organizationId: string }>) {
        desk.pipelines.forget(ctx.params.organizationId);
      },
    },
  });
}
