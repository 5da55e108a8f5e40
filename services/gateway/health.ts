import type { IncomingMessage, ServerResponse } from "node:http";
import type { ServiceBroker } from "moleculer";
import { readLeader } from "../../mixins/concurrency/leader.ts";
import { within } from "../../mixins/concurrency/within.ts";
import type { Runtime } from "../../mixins/contract/service.ts";

/** Without these this node cannot serve; other checks only tell. */
const vital = ["database", "nats", "process"];
/** Longest a check may take before the part counts as down. */
const checkTimeoutMs = 2000;

/** `GET /health` and its kin, on the public port. 503 only when this node cannot serve. */
export function healthRoute(runtime: Runtime, broker: ServiceBroker) {
  const { database } = runtime;
  const startedAt = Date.now();
  const report = async (response: ServerResponse) => {
    const checks: Record<string, { status: "up" | "down"; detail?: string }> = {
      database: await check(() => database.ping()),
    };
    if (runtime.env.NATS_URL !== undefined)
      checks.nats = await check(() => {
        if (broker.transit?.connected !== true) throw new Error("not connected");
        return Promise.resolve();
      });
    const { redis } = runtime;
    if (redis !== undefined)
      checks.redis = await check(async () => void (await redis.ask((client) => client.ping())));
    checks.cron = await check(async () => {
      const leader = await database.transaction({ platform: database.control }, (tx) =>
        readLeader(tx, "cron"),
      );
      if (!leader) throw new Error("nobody leads the scheduled work");
      return `led by ${leader.nodeId}`;
    });
    if (runtime.isStopping()) checks.process = { status: "down", detail: "stopping" };
    const isUp = vital.every((name) => checks[name]?.status !== "down");
    const uptime = Math.round((Date.now() - startedAt) / 1000);
    send(response, isUp ? 200 : 503, {
      status: isUp ? "ok" : "unavailable",
      instance: broker.nodeID,
      uptime,
      version: runtime.version,
      checks,
    });
  };
  const full = (_request: IncomingMessage, response: ServerResponse, next: (error: Error) => void) =>
    void report(response).catch(next);
  const alive = (_request: IncomingMessage, response: ServerResponse) =>
    send(response, 200, { status: "ok" });
  return {
    path: "/",
    name: "health",
    aliases: {
      "GET /health": full,
      "GET /api/health": full,
      "GET /health/ready": full,
      "GET /health/live": alive,
      "GET /health/startup": alive,
    },
    mappingPolicy: "restrict",
    bodyParsers: false,
  };
}

async function check(ask: () => Promise<string | void>): Promise<{ status: "up" | "down"; detail?: string }> {
  try {
    const detail = await within(checkTimeoutMs, ask(), () => {
      throw new Error(`no answer within ${checkTimeoutMs} ms`);
    });
    return { status: "up", ...(detail ? { detail } : {}) };
  } catch (error) {
    return { status: "down", detail: (error as Error).message };
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, {
    "content-type": "application/json; charset=utf-8",
    "cache-control": "no-store",
  });
  response.end(JSON.stringify(body));
}
