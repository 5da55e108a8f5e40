import type { BrokerOptions } from "moleculer";
import type { Env } from "./mixins/env.ts";

/**
 * Broker settings of every node. Beyond Moleculer's defaults: calls end after 30 s (its default waits for ever),
 * a node that falls silent is dropped within 4 s, and nothing is retried on its own, because timeouts count
 * as retryable there and a retry would run side effects again.
 */
export function brokerOptions(env: Env): BrokerOptions {
  return {
    nodeID: env.NODE_ID,
    namespace: env.NAMESPACE,
    transporter:
      env.NATS_URL === undefined
        ? null
        : { type: "NATS", options: { url: env.NATS_URL, maxReconnectAttempts: -1 } },
    serializer: "JSON",
    logger: {
      type: "Pino",
      options: {
        level: env.LOG_LEVEL,
        pino: {
          options: {
            level: env.LOG_LEVEL,
            base: { node: env.NODE_ID },
            redact: ["*.password", "*.refreshToken"],
          },
        },
      },
    },
    logLevel: env.LOG_LEVEL,
    requestTimeout: 30_000,
    // only actions that say so are retried, and only when their node was lost
    retryPolicy: {
      enabled: false,
      retries: 0,
      delay: 20,
      maxDelay: 200,
      factor: 2,
      check: (error) => error.name === "RequestRejectedError",
    },
    heartbeatInterval: 1,
    heartbeatTimeout: 4,
    tracking: { enabled: true, shutdownTimeout: 20_000 },
    registry: { strategy: "RoundRobin", preferLocal: true },
    bulkhead: { enabled: false },
    metrics: false,
    tracing: false,
    validator: false,
    cacher: false,
    internalServices: true,
    contextParamsCloning: false,
    maxCallLevel: 20,
  };
}
