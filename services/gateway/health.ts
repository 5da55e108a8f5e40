import type { IncomingMessage, ServerResponse } from "node:http";
import type { ServiceBroker } from "moleculer";
import type { Runtime } from "../../mixins/contract/service.ts";

/** `GET /health` and its kin, on the public port. 503 only when this node cannot serve. */
export function healthRoute({ health, version }: Runtime, broker: ServiceBroker) {
  const startedAt = performance.now();
  const full = (_request: IncomingMessage, response: ServerResponse) => {
    const { isReady, checks } = health.report();
    send(response, isReady ? 200 : 503, {
      status: isReady ? "ok" : "unavailable",
      instance: broker.nodeID,
      uptime: Math.round((performance.now() - startedAt) / 1000),
      version,
      checks,
    });
  };
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

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, {
    "content-type": "application/json; charset=utf-8",
    "cache-control": "no-store",
  });
  response.end(JSON.stringify(body));
}
