import { defineContract } from "../../mixins/contract/contract.ts";
import { listener } from "../../mixins/listeners/listener-spec.ts";

/** The feed for programs outside: part of the system only where JETSTREAM_MIRROR is set. */
export const mirrorContract = defineContract("mirror", {
  actions: {},
  events: {},
  listeners: {
    publish: listener({ summary: "Publishes each event to the JetStream stream crm", on: ["*"] }),
  },
});
