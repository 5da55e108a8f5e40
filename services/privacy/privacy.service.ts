import type { ServiceBroker, ServiceSchema } from "moleculer";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import type { HandlersOf, JobHandlersOf } from "../contracts.ts";
import { runErasure } from "./erasure.ts";
import { runExport } from "./export.ts";
import { privacyPersonalDataHandlers } from "./personal-data.ts";
import * as actions from "./privacy.actions.ts";
import { privacyContract } from "./privacy.contract.ts";
import { findRetention, getRetention, runRetention, setRetention } from "./retention.ts";
import type { PrivacyParts } from "./run.ts";

/** Exports and erases what all services hold of persons, and what they have held long enough. */
export default function privacyService(runtime: Runtime): ServiceSchema {
  let broker: ServiceBroker;
  const { database, contracts, organizationKeys: keys, env } = runtime;
  const node = (): PrivacyParts => ({
    broker,
    database,
    keys,
    contracts,
    eventsRetentionDays: env.EVENTS_RETENTION_DAYS,
  });
  const handlers: HandlersOf<typeof privacyContract> = {
    createExport: (ctx) => actions.createExport(ctx, node()),
    createErasure: (ctx) => actions.createErasure(ctx, node()),
    listRequests: actions.listRequests,
    getRequest: actions.getRequest,
    downloadArchive: (ctx) => actions.downloadArchive(ctx, node()),
    getRetention: (ctx) => getRetention(ctx, node()),
    setRetention: (ctx) => setRetention(ctx, node()),
  };
  const jobs: JobHandlersOf<typeof privacyContract> = {
    export: (ctx) => runExport(ctx, node()),
    erase: (ctx) => runErasure(ctx, node()),
    findRetention: (ctx) => findRetention(ctx, database),
    retain: (ctx) => runRetention(ctx, node()),
  };
  return createService(privacyContract, handlers, runtime, {
    jobs,
    personalData: privacyPersonalDataHandlers,
    created(this: { broker: ServiceBroker }) {
      ({ broker } = this);
    },
  });
}
