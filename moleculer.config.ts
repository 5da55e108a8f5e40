import type { BrokerOptions } from "moleculer";
import { actorCommand } from "./mixins/actors/actor-command.ts";
import { deadlineMiddleware } from "./mixins/contract/deadline.ts";
import { jobCommand } from "./mixins/jobs/job-command.ts";
import type { Env } from "./mixins/process/env.ts";
import { movedServiceMiddleware } from "./mixins/contract/moved-service.ts";
import { organizationCommand } from "./mixins/organizations/organization-command.ts";
import { longestWayMs, PromptDiscoverer } from "./mixins/process/prompt-discoverer.ts";
import { replCommand } from "./mixins/process/repl-command.ts";
import { withError } from "./mixins/process/error-log.ts";
import { logFields, traceMiddleware } from "./mixins/process/trace.ts";

/** Two pings without an answer end a connection to NATS that is open but dead; the library's own interval is 2 min. */
const natsPingMs = 5_000;

/**
 * Broker settings of every node. Beyond Moleculer's defaults: calls end after 30 s (its default waits for ever),
 * a node that falls silent is dropped within 3.25 s, and nothing is retried on its own, because timeouts count
 * as retryable there and a retry would run side effects again.
 * @param log where the log goes, JSON lines; default standard output
 */
export function brokerOptions(env: Env, log?: { write(line: string): void }): BrokerOptions {
  return {
    nodeID: env.NODE_ID,
    namespace: env.NAMESPACE,
    transporter:
      env.NATS_URL === undefined
        ? null
        : {
            type: "NATS",
            options: {
              url: env.NATS_URL,
              maxReconnectAttempts: -1,
              reconnectTimeWait: 500,
              pingInterval: natsPingMs,
              maxPingOut: 2,
            },
          },
    serializer: "JSON",
    logger: {
      type: "Pino",
      options: {
        level: env.LOG_LEVEL,
        pino: {
          options: {
            level: env.LOG_LEVEL,
            base: { node: env.NODE_ID },
            mixin: logFields,
            hooks: { logMethod: withError },
            redact: ["*.password", "*.refreshToken"],
          },
          destination: log,
        },
      },
    },
    logLevel: env.LOG_LEVEL,
    requestTimeout: 30_000,
    middlewares: [deadlineMiddleware(longestWayMs), traceMiddleware(), movedServiceMiddleware()],
    // only actions that say so are retried, and only when their node was lost; what never ran: mixins/contract/moved-service.ts
    retryPolicy: {
      enabled: false,
      retries: 0,
      delay: 20,
      maxDelay: 200,
      factor: 2,
      check: (error) => error.name === "RequestRejectedError",
    },
    heartbeatInterval: 1,
    tracking: { enabled: true, shutdownTimeout: 20_000 },
    registry: { strategy: "RoundRobin", preferLocal: true, discoverer: new PromptDiscoverer() },
    bulkhead: { enabled: false },
    metrics: false,
    tracing: false,
    validator: false,
    cacher: false,
    internalServices: true,
    contextParamsCloning: false,
    maxCallLevel: 20,
    // services/node.ts owns the one stop path
    skipProcessEventRegistration: true,
    replOptions: {
      customCommands: [
        replCommand(
          "actor",
          "Lists, finds, passivates and moves actors; `actor` alone says how",
          actorCommand,
        ),
        replCommand(
          "organization",
          "Suspends and resumes organizations, and sets their plans; alone it says how",
          organizationCommand,
        ),
        replCommand("jobs", "Lists jobs, retries and drops dead ones; `jobs help` says how", jobCommand),
      ],
    },
  };
}
