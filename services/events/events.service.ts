import type { Context, Service } from "moleculer";
import type { Poller } from "../../mixins/concurrency/poller.ts";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import type { HandlersOf, JobHandlersOf } from "../contracts.ts";
import { lagPollers } from "./feed-lag.ts";
import { list } from "./events.actions.ts";
import { eventsContract } from "./events.contract.ts";
import { eventsPersonalDataHandlers } from "./personal-data.ts";
import { Sequencer } from "./sequencer.ts";
import { Subscriptions } from "./subscriptions.ts";
import * as upkeep from "./upkeep.ts";

const handlers: HandlersOf<typeof eventsContract> = { list };

/** The feed of each organization: gives events their places, announces them, answers from them. */
export default function eventsService(runtime: Runtime) {
  let sequencer: Sequencer;
  let pollers: Poller[];
  const { database, env } = runtime;
  const jobs: JobHandlersOf<typeof eventsContract> = {
    cleanUp: () => upkeep.cleanUp(database),
    tendPartitions: () => upkeep.tendPartitions(database, env.EVENTS_RETENTION_DAYS),
    rewrapKeys: async () => void (await runtime.organizationKeys.rewrap()),
    sweep: () => upkeep.sweep(database),
  };
  return createService(eventsContract, handlers, runtime, {
    jobs,
    personalData: eventsPersonalDataHandlers(runtime.contracts),
    events: {
      // one node of the group hears a hint, whichever: the nodes take turns by a lock, see Sequencer
      "events.appended"(ctx: Context<{ organizationId: string }>) {
        sequencer.kick(ctx.params.organizationId);
      },
    },
    created(this: Service) {
      const { broker, logger } = this;
      const onError = (error: Error) => logger.warn(error.message);
      sequencer = new Sequencer(runtime.database, new Subscriptions(runtime.contracts), {
        announce: (hint) => void broker.broadcast("feed.advanced", hint).catch(onError),
        onError,
      });
      pollers = lagPollers(runtime.database, onError);
    },
    started() {
      sequencer.start();
      for (const poller of pollers) poller.start();
    },
    async stopped() {
      await Promise.all([sequencer, ...pollers].map((part) => part.stop()));
    },
  });
}
