import { Counter, Gauge, Histogram } from "prom-client";
import { registry } from "../process/metrics.ts";

export const activations = new Gauge({
  name: "crm_actor_activations",
  help: "Actors in the memory of this process",
  labelNames: ["kind"] as const,
  registers: [registry],
});
/** `applied`, `repeated` (answered from the inbox), `failed` (rolled back), `fenced` (another node had claimed the actor). */
export const turnDuration = new Histogram({
  name: "crm_actor_turn_duration_seconds",
  help: "Time of a turn, from its begin to its commit",
  labelNames: ["kind", "outcome"] as const,
  buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  registers: [registry],
});
export const rejections = new Counter({
  name: "crm_actor_mailbox_rejections_total",
  help: "Messages not applied because the mailbox was full, or because they waited too long",
  labelNames: ["kind", "reason"] as const,
  registers: [registry],
});
