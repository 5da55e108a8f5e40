import type { ServiceBroker, ServiceSchema } from "moleculer";
import { Poller } from "../../mixins/poller.ts";
import { createService, type Runtime } from "../../mixins/service.ts";
import type { HandlersOf } from "../contracts.ts";
import { ImportQueue } from "./import-queue.ts";
import * as actions from "./imports.actions.ts";
import { importsContract } from "./imports.contract.ts";

/** Imports a node works on at once: a small one is not held up by a large one. */
const lanes = 2;
const pollEveryMs = 1000;

/** Takes CSV files of leads and imports them in the background, on any node that hosts this service. */
export default function importsService(runtime: Runtime): ServiceSchema {
  const { database } = runtime;
  let queue: ImportQueue | undefined;
  let pollers: Poller[] = [];
  const kick = () => pollers.forEach((poller) => poller.kick());
  const parts: actions.ImportParts = { database, kick };

  const handlers: HandlersOf<typeof importsContract> = {
    create: (ctx) => actions.create(ctx, parts),
    get: actions.get,
    errors: (ctx) => actions.errors(ctx, parts),
    rollback: (ctx) => actions.rollback(ctx, parts),
  };
  return createService(importsContract, handlers, runtime, {
    started(this: { broker: ServiceBroker }) {
      const { broker } = this;
      const logger = broker.getLogger("imports");
      const running = new ImportQueue({
        database,
        call: (name, params, meta) => broker.call(name, params, { meta }),
        onEvents: (organizationId) => runtime.onEvents(organizationId),
        logger,
      });
      queue = running;
      pollers = Array.from(
        { length: lanes },
        () =>
          new Poller({
            name: "imports",
            everyMs: pollEveryMs,
            run: () => running.runNext(),
            onError: (error) => logger.warn(error.message),
          }),
      );
      for (const poller of pollers) poller.start();
    },
    async stopped() {
      queue?.stop();
      await Promise.all(pollers.map((poller) => poller.stop()));
    },
  });
}
