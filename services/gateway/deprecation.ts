import type { ServerResponse } from "node:http";
import { Counter } from "prom-client";
import { registry } from "../../mixins/process/metrics.ts";
import type { Route } from "./routes.ts";

const calls = new Counter({
  name: "crm_deprecated_calls_total",
  help: "Calls of deprecated routes at this gateway, those that were refused too",
  labelNames: ["route"] as const,
  registers: [registry],
});

/**
 * Tells a caller of a deprecated route since when it is one (RFC 9745), when it ends (RFC 8594) and what to use in its
 * place, and counts the call.
 * @param base of the address: what comes in its place has the same
 */
export function announceDeprecation({ spec }: Route, base: string, response: ServerResponse): void {
  const { deprecated, rest = "" } = spec;
  if (!deprecated) return;
  calls.inc({ route: rest });
  response.setHeader("Deprecation", `@${Math.floor(Date.parse(deprecated.since) / 1000)}`);
  response.setHeader("Sunset", new Date(deprecated.sunset).toUTCString());
  const path = deprecated.use.split(" ")[1] ?? "";
  response.setHeader("Link", `<${base}${path.replaceAll(/:(\w+)/g, "{$1}")}>; rel="successor-version"`);
}
