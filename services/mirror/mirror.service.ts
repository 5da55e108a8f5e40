import type { ServiceSchema } from "moleculer";
import type { Runtime } from "../../mixins/contract/service.ts";
import { createService } from "../../mixins/contract/service.ts";
import type { ListenerHandlersOf } from "../contracts.ts";
import { JetStreamMirror } from "./jetstream-mirror.ts";
import { mirrorContract } from "./mirror.contract.ts";

/** Publishes the feed of every organization to JetStream; nothing in the system reads it there. */
export default function mirrorService(runtime: Runtime): ServiceSchema {
  const url = runtime.env.NATS_URL;
  if (url === undefined) throw new Error("JETSTREAM_MIRROR needs NATS_URL");
  const mirror = new JetStreamMirror(url);
  const listeners: ListenerHandlersOf<typeof mirrorContract> = {
    publish: (ctx, event) => mirror.publish(ctx.locals.principal.organizationId, event),
  };
  return createService(mirrorContract, {}, runtime, { listeners, stopped: () => mirror.close() });
}
