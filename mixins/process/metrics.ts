import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";

/** Prometheus metrics of this process. One registry a process, like the process-wide counters in it. */
export const registry = new Registry();
collectDefaultMetrics({ register: registry });

const durationBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export const httpDuration = new Histogram({
  name: "http_request_duration_seconds",
  help: "Time from the request's arrival to the end of its answer",
  labelNames: ["method", "route", "status"] as const,
  buckets: durationBuckets,
  registers: [registry],
});
export const actionDuration = new Histogram({
  name: "crm_action_duration_seconds",
  help: "Time of an action on the node that ran it",
  labelNames: ["action", "outcome"] as const,
  buckets: durationBuckets,
  registers: [registry],
});
const queryDuration = new Histogram({
  name: "db_query_duration_seconds",
  help: "Time of one round trip to PostgreSQL, which may carry several statements",
  buckets: durationBuckets,
  registers: [registry],
});
export const jobDuration = new Histogram({
  name: "crm_job_duration_seconds",
  help: "Time of one run of a job",
  labelNames: ["task", "outcome"] as const,
  buckets: [0.005, 0.025, 0.1, 0.5, 1, 5, 30, 120, 600],
  registers: [registry],
});
export const listenerFailures = new Counter({
  name: "crm_listener_failures_total",
  help: "Events a listener failed on and set aside",
  labelNames: ["listener"] as const,
  registers: [registry],
});
export const cronRuns = new Counter({
  name: "crm_cron_runs_total",
  help: "Ticks of the clock this process has added a job for",
  labelNames: ["job"] as const,
  registers: [registry],
});
export const leadsCreated = new Counter({
  name: "crm_leads_created_total",
  help: "Leads created by this process",
  labelNames: ["origin"] as const,
  registers: [registry],
});
export const eventsSequenced = new Counter({
  name: "crm_events_sequenced_total",
  help: "Events given their place in a feed by this process",
  registers: [registry],
});
export const expiredCalls = new Counter({
  name: "crm_calls_expired_total",
  help: "Calls refused because their deadline had passed when they got here",
  labelNames: ["action"] as const,
  registers: [registry],
});
export const outsideCalls = new Counter({
  name: "outside_calls_total",
  help: "Attempts to call a dependency: ok, refused (it said no), failed, timeout, cancelled, open (circuit), full (bulkhead)",
  labelNames: ["name", "outcome"] as const,
  registers: [registry],
});
export const outsideDuration = new Histogram({
  name: "outside_call_duration_seconds",
  help: "Time of one attempt to call a dependency, its wait for a turn included",
  labelNames: ["name"] as const,
  buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  registers: [registry],
});
export const outsideBreaker = new Gauge({
  name: "outside_breaker_state",
  help: "Circuit to a dependency: 0 closed, 1 half-open, 2 open",
  labelNames: ["name"] as const,
  registers: [registry],
});

/** Seconds since `start` (performance.now()). */
export const secondsSince = (start: number): number => (performance.now() - start) / 1000;

/** Times one round trip to PostgreSQL. */
export async function observeQuery<T>(run: () => Promise<T>): Promise<T> {
  const start = performance.now();
  try {
    return await run();
  } finally {
    queryDuration.observe(secondsSince(start));
  }
}
