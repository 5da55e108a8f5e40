import { hash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { z } from "zod";
import {
  filledByGateway,
  givenParamsOf,
  pathParamsOf,
  queryOfDelete,
  type ActionSpec,
  type Contract,
} from "../../mixins/contract/contract.ts";
import { short } from "../../mixins/contract/field-errors.ts";
import { appError, badQuery, badQueryField, badRequest, invalid } from "../../mixins/contract/errors.ts";
import { contracts } from "../contracts.ts";
import type { BrowserCookie } from "./browser-answer.ts";

/** One REST route, as a contract declares it. */
export interface Route {
  action: string;
  method: string;
  /** Under /api/v1, parameters as `:id`. */
  path: string;
  spec: ActionSpec;
  pathParams: string[];
  /** Whether the action honours If-Match. */
  isVersioned: boolean;
  /** Whether it answers one record, of which `fields` are asked for. */
  hasFields: boolean;
  /** Whether the action asks for the client's address and user agent. */
  wantsClient: boolean;
  /** Whether the action asks for the browser's key. */
  wantsBrowser: boolean;
}

const hasParam = (spec: ActionSpec, name: string): boolean =>
  spec.params instanceof z.ZodObject && name in spec.params.shape;

/** The routes of these contracts. */
export const routesOf = (of: readonly Contract[]): Route[] =>
  of.flatMap((contract) =>
    Object.entries<ActionSpec>(contract.actions).flatMap(([name, spec]) => {
      if (spec.rest === undefined) return [];
      const [method, path] = spec.rest.split(" ") as [string, string];
      return [
        {
          action: `${contract.name}.${name}`,
          method,
          path,
          spec,
          pathParams: pathParamsOf(spec),
          isVersioned: hasParam(spec, "expectedVersion"),
          hasFields:
            spec.rest?.startsWith("GET ") === true && hasParam(spec, "fields") && !hasParam(spec, "sort"),
          wantsClient: hasParam(spec, "ip"),
          wantsBrowser: hasParam(spec, "browserKey"),
        },
      ];
    }),
  );
export const routes: Route[] = routesOf(contracts);

export interface RequestParts {
  /** Of the path. */
  params: Record<string, string>;
  query: Record<string, unknown>;
  /** Undefined: none was sent. */
  body: Record<string, unknown> | undefined;
}

/**
 * The one flat object of an action's parameters: path, then body (or, for a GET, query), and If-Match.
 * @throws 400, 404 for a path that cannot name anything, 422 for a body that repeats the path
 */
export function paramsOf(
  route: Route,
  request: IncomingMessage & { clientAddress: string },
  { params, query, body }: RequestParts,
  cookie: BrowserCookie,
): Record<string, unknown> {
  requireNameable(route, params);
  const forced = route.method === "DELETE" ? takeForce(route, query) : {};
  const isBare = route.method === "DELETE" && body === undefined;
  const isQuery = route.method === "GET" || isBare;
  if (!isQuery) requireNoQuery(query);
  const given = isQuery ? query : (body ?? {});
  // what a DELETE takes may be a secret, and addresses are logged
  const repeated = Object.keys(given).filter(
    (name) => isBare || name in params || filledByGateway.includes(name),
  );
  if (repeated.length > 0)
    throw isQuery
      ? badQuery(unknownParameters(repeated, isBare ? [] : givenParamsOf(route.spec)))
      : invalid(
          repeated.map((path) => ({ path, code: "unknown_field", message: "There is no such field." })),
        );
  if (route.method !== "GET" && request.headers["if-none-match"] !== undefined)
    throw badRequest(
      "IF_NONE_MATCH_NOT_SUPPORTED",
      "If-None-Match is for reads. To change what you have seen, send If-Match.",
    );
  const filled: Record<string, unknown> = { ...given, ...params, ...forced };
  if (route.isVersioned) {
    const version = versionOf(request.headers["if-match"]);
    if (version !== undefined) filled.expectedVersion = version;
  }
  if (route.wantsClient) {
    filled.ip = request.clientAddress;
    filled.userAgent = request.headers["user-agent"]?.slice(0, 500);
  }
  if (route.wantsBrowser) filled.browserKey = cookie.read(request);
  return filled;
}

/** Takes out of the query string of a DELETE what may stand there. @throws 400 */
function takeForce(route: Route, query: Record<string, unknown>): Record<string, unknown> {
  const given = givenParamsOf(route.spec);
  const taken: Record<string, unknown> = {};
  for (const name of queryOfDelete) {
    if (!(name in query) || !given.includes(name)) continue;
    const value = query[name];
    if (value !== "true" && value !== "false")
      throw badQueryField(name, "invalid_value", "Must be true or false.");
    taken[name] = value === "true";
    delete query[name];
  }
  return taken;
}

/** A path that cannot name anything is a 404; where a PUT would make what it names, the action says what is wrong. */
function requireNameable({ method, pathParams, spec }: Route, params: Record<string, string>): void {
  if (method === "PUT" || !(spec.params instanceof z.ZodObject)) return;
  const shape = spec.params.shape as Record<string, z.ZodType | undefined>;
  for (const name of pathParams)
    if (shape[name]?.safeParse(params[name]).success === false)
      throw appError(404, "NOT_FOUND", "There is no such resource.");
}

const unknownParameters = (names: readonly string[], known: readonly string[]) =>
  names.map((path) => ({
    path,
    code: "unknown_field",
    message: "There is no such query parameter.",
    ...short(known),
  }));

/** What a body says is not said in the address. @throws 400 naming the parameters */
export function requireNoQuery(query: Record<string, unknown>): void {
  const unknown = Object.keys(query);
  if (unknown.length > 0) throw badQuery(unknownParameters(unknown, []));
}

/** The version an If-Match header names; `*` and none name no version. */
function versionOf(header: string | undefined): number | undefined {
  if (header === undefined || header.trim() === "*") return undefined;
  const match = /^(?:W\/)?"?(\d{1,9})"?$/.exec(header.trim());
  if (!match) throw badRequest("INVALID_IF_MATCH", 'If-Match must be an ETag of ours, such as "3".');
  return Number(match[1]);
}

/**
 * Key and fingerprint of a request that may be repeated safely.
 * @param bodyHash SHA-256 of the body as it came
 * @throws 400 for a key that is not 1 to 255 visible ASCII characters
 */
export function idempotencyOf(
  request: IncomingMessage & { originalUrl?: string; bodyHash?: string },
): { key: string; fingerprint: string } | undefined {
  const key = request.headers["idempotency-key"];
  if (key === undefined || request.method === "GET" || request.method === "HEAD") return undefined;
  if (typeof key !== "string" || !/^[\x21-\x7e]{1,255}$/.test(key))
    throw badRequest("INVALID_IDEMPOTENCY_KEY", "Idempotency-Key must be 1 to 255 visible ASCII characters.");
  const target = `${request.method} ${request.originalUrl?.replace("/api/latest", "/api/v1")}`;
  const fingerprint = hash("sha256", `${target}\n${request.bodyHash ?? ""}`, "base64url");
  return { key, fingerprint };
}
