import { Counter, Gauge } from "prom-client";
import { registry } from "../../../mixins/process/metrics.ts";

export const openSockets = new Gauge({
  name: "crm_sockets_open",
  help: "Authenticated sockets of this process",
  registers: [registry],
});
export const slowSockets = new Counter({
  name: "crm_sockets_slow_total",
  help: "Sockets ended because they did not read what they had subscribed to",
  registers: [registry],
});
