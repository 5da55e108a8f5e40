import type { ServiceBroker, ServiceSchema } from "moleculer";
import { report } from "../../entities/report.ts";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import { recordHandlers } from "../../mixins/records/handlers.ts";
import type { CallAs } from "../acting-as.ts";
import type { HandlersOf, JobHandlersOf } from "../contracts.ts";
import { recordDesk } from "../record-desk.ts";
import { reportsPersonalData } from "./personal-data.ts";
import { reportsContract } from "./reports.contract.ts";
import { reportRules } from "./reports.records.ts";
import * as runs from "./runs.ts";
import { beginDue, findDue, mailRun } from "./schedule.ts";

/** Questions about records, answered as tables. */
export default function reportsService(runtime: Runtime): ServiceSchema {
  const { database, mailer, organizations } = runtime;
  const desk = recordDesk(runtime);
  let broker: ServiceBroker;
  const call: CallAs = (action, params, meta) => broker.call(action, params, { meta });
  const handlers: HandlersOf<typeof reportsContract> = {
    ...recordHandlers(report, desk, reportRules(desk, runtime)),
    preview: (ctx) => runs.preview(ctx, runtime),
    run: runs.run,
    getRun: runs.getRun,
    download: runs.download,
    answerRun: (ctx) => runs.answerRun(ctx, runtime),
  };
  const jobs: JobHandlersOf<typeof reportsContract> = {
    runReport: (ctx) =>
      runs.runReport(ctx, {
        ...{ database, call, logger: broker.getLogger("reports") },
        onEvents: (organizationId) => runtime.onEvents(organizationId),
      }),
    mailRun: (ctx) => mailRun(ctx, { database, mailer, call }),
    findDue: () => findDue(database),
    beginDue: (ctx) => beginDue(ctx, organizations),
    forgetRuns: () => runs.forgetRuns(database),
  };
  return createService(reportsContract, handlers, runtime, {
    jobs,
    personalData: reportsPersonalData,
    created(this: { broker: ServiceBroker }) {
      ({ broker } = this);
    },
  });
}
