import { hash } from "node:crypto";
import type { Readable } from "node:stream";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Context, ServiceBroker } from "moleculer";
import { z } from "zod";
import type { Access } from "../../mixins/access/access.ts";
import { requirePermission } from "../../mixins/access/principal.ts";
import type { Claims } from "../../mixins/access/access-token.ts";
import { apiKeyInvalid, isApiKey } from "../../mixins/access/api-key.ts";
import { networkOf } from "../../mixins/access/network-of.ts";
import { metaOf, type Meta } from "../../mixins/contract/meta.ts";
import { unauthorized } from "../../mixins/contract/errors.ts";
import type { BrowserAnswer } from "../../mixins/contract/browser-answer.ts";
import { answerBrowser, type BrowserCookie } from "./browser-answer.ts";
import { checkHead, hasBody, parseBody, readBody } from "./body.ts";
import { announceDeprecation } from "./deprecation.ts";
import type { Place } from "./load-shedding.ts";
import { overloaded, sendProblem } from "./problem.ts";
import { parseQuery } from "./query.ts";
import type { RateLimit } from "./rate-limit.ts";
import { idempotencyOf, paramsOf, requireNoQuery, type RequestParts, type Route } from "./routes.ts";
import { Unfinished, uploadWeight, type UnfinishedPlace } from "./unfinished.ts";
import { receiveUpload } from "./upload.ts";

/** A request on its way through moleculer-web. */
export interface GatewayRequest extends IncomingMessage {
  originalUrl: string;
  requestId: string;
  /** W3C Trace Context of the work done for it. */
  traceparent: string;
  /** Address of the client, past a trusted proxy. */
  clientAddress: string;
  /** Its place among those this process works on. */
  place: Place;
  /** Code of the problem it was answered with. */
  problemCode?: string;
  /** SHA-256 of the body; only of requests with an Idempotency-Key. */
  bodyHash?: string;
  $alias?: { action: string | null; path: string; fullPath: string };
  $params: { params: Record<string, string> } | Record<string, unknown>;
  $ctx: Context<unknown, Meta & { $location?: string; $responseType?: string }>;
}

/** Finds out who bears a credential. */
export type Authenticate = (
  credential: string,
  from: {
    /** Of who sends it: too many wrong ones from there are refused unseen. */
    address: string;
    /** Called before an API key that never passed here is looked up. */
    ofUnknownKey?: () => Promise<void>;
    /** Whether an organization that is suspended may. Default: not. */
    whileSuspended?: boolean | undefined;
  },
) => Promise<Claims>;

/** Makes moleculer-web's route of every contract action that has one, under a base path. */
export function apiRoute(parts: {
  /** Of every service of the system. */
  routes: readonly Route[];
  authenticate: Authenticate;
  rateLimit: RateLimit;
  access: Access;
  /** Counts a request of somebody who is known. @throws 429 RATE_LIMITED, QUOTA_EXCEEDED */
  admit(claims: Claims, response: ServerResponse, route: Route): Promise<void>;
  cookie: BrowserCookie;
  logger: ServiceBroker["logger"];
}): (path: string) => object {
  const { routes } = parts;
  const unfinished = new Unfinished();
  const routeByAction = new Map(routes.map((route) => [route.action, route]));
  const multipartRoutes = routes.filter((route) => route.spec.transfer === "multipart");
  /** moleculer-web knows no action for a route handled by a function; its path tells which it is. */
  const multipartRoute = (request: GatewayRequest, base: string): Route =>
    multipartRoutes.find((route) => request.originalUrl.split("?")[0] === base + route.path) as Route;
  return (path) => ({
    path,
    name: path,
    mappingPolicy: "restrict",
    mergeParams: false,
    logging: false,
    etag: false,
    authentication: false,
    authorization: false,
    callOptions: { timeout: 30_000 },
    // a body is read when it is known who sends it
    bodyParsers: false,
    aliases: Object.fromEntries(
      routes.map((route) => [
        `${route.method} ${route.path}`,
        route.spec.transfer === "multipart" ? uploadHandler(route, path, unfinished) : route.action,
      ]),
    ),

    async onBeforeCall(
      ctx: GatewayRequest["$ctx"],
      _route: unknown,
      request: GatewayRequest,
      response: ServerResponse,
    ) {
      const route = routeByAction.get(request.$alias?.action ?? "") ?? multipartRoute(request, path);
      announceDeprecation(route, path, response);
      await identify(ctx, route, request, response);
      const query = parseQuery(request.originalUrl.split("?").slice(1).join("?"));
      if (route.spec.transfer === "multipart") requireNoQuery(query);
      else {
        const { params } = request.$params as Pick<RequestParts, "params">;
        const body = hasBody(request) ? await receiveBody(route, request, response) : undefined;
        request.$params = paramsOf(route, request, { params, query, body }, parts.cookie);
      }
      const idempotency = idempotencyOf(request);
      if (idempotency) ctx.meta.idempotency = idempotency;
    },

    onAfterCall(
      ctx: GatewayRequest["$ctx"],
      _route: unknown,
      request: GatewayRequest,
      response: ServerResponse,
      result: unknown,
    ) {
      const route = routeByAction.get(request.$alias?.action ?? "") as Route;
      writeHead(ctx, route, path, request, response, result);
      if (request.method === "HEAD" && route.spec.transfer === "download") {
        response.setHeader("Content-Type", ctx.meta.$responseType ?? "application/octet-stream");
        (result as Readable).destroy();
        return null;
      }
      if (route.spec.transfer !== "browser") return pickFields(route, request.$params, result);
      return answerBrowser(ctx.meta, request, response, result as BrowserAnswer, parts.cookie);
    },

    onError(request: GatewayRequest, response: ServerResponse, error: unknown) {
      parts.rateLimit.noteIfWrong(error, request.clientAddress);
      sendProblem(request, response, error, request.requestId, parts.logger);
    },
  });

  /** Reads a body, and what it says. */
  async function receiveBody(route: Route, request: GatewayRequest, response: ServerResponse) {
    checkHead(route, request);
    const read = (place?: UnfinishedPlace) => readBody(request, response, (bytes) => place?.grow(bytes));
    const body = request.complete ? await read() : await whileUnfinished(unfinished, request, 1, read);
    if (request.headers["idempotency-key"] !== undefined)
      request.bodyHash = hash("sha256", body, "base64url");
    return parseBody(request, body);
  }

  /** Who calls, and whether they may call so often. */
  async function identify(
    ctx: GatewayRequest["$ctx"],
    route: Route,
    request: GatewayRequest,
    response: ServerResponse,
  ): Promise<void> {
    ctx.meta.requestId = request.requestId;
    ctx.meta.traceparent = request.traceparent;
    if (route.spec.permission === "public") {
      parts.rateLimit.requireTrust(request.clientAddress);
      await parts.rateLimit.takeAddress(request.clientAddress, response);
      return;
    }
    const claims = await parts.authenticate(credentialOf(request), {
      address: request.clientAddress,
      ofUnknownKey: () => parts.rateLimit.takeAddress(request.clientAddress, response),
      whileSuspended: route.spec.whileSuspended,
    });
    Object.assign(ctx.meta, metaOf(claims));
    await parts.admit(claims, response, route);
    // the action asks again; asked here, a refused upload is not read first
    requirePermission(await parts.access.principalOf(claims), route.spec.permission);
  }
}

/**
 * Waits for the client outside of the places of those this process works on.
 * @param discard gives back what has come when there is no place to go on
 * @throws 429, 503 as `enter` does
 */
async function whileUnfinished<T>(
  unfinished: Unfinished,
  request: GatewayRequest,
  weight: number,
  wait: (place: UnfinishedPlace) => Promise<T>,
  discard?: (result: T) => Promise<void>,
): Promise<T> {
  const who = request.$ctx.meta.userId ?? networkOf(request.clientAddress);
  const place = unfinished.enter(who, weight);
  request.place.leave();
  let result: T;
  try {
    result = await wait(place);
  } finally {
    place.leave();
  }
  if (request.place.enter()) return result;
  await discard?.(result);
  throw overloaded();
}

/** The access token, or API key, of a request. @throws 401 UNAUTHENTICATED without one, API_KEY_INVALID */
function credentialOf({ headers }: GatewayRequest): string {
  const [scheme, token] = headers.authorization?.split(" ") ?? [];
  if (scheme?.toLowerCase() === "bearer" && token) return token;
  const apiKey = headers["x-api-key"];
  if (headers.authorization === undefined && typeof apiKey === "string") {
    if (!isApiKey(apiKey)) throw apiKeyInvalid();
    return apiKey;
  }
  throw unauthorized(
    "UNAUTHENTICATED",
    "Sign in first: send Authorization: Bearer <access token>, or X-API-Key.",
  );
}

/** Status, ETag, Location and what else a success says of itself. */
function writeHead(
  ctx: GatewayRequest["$ctx"],
  { spec, path: routePath }: Route,
  base: string,
  request: GatewayRequest,
  response: ServerResponse,
  result: unknown,
): void {
  const isNothing = result === null && spec.returns instanceof z.ZodNullable;
  const status = isNothing
    ? 204
    : spec.upserts && ctx.meta.isNew
      ? 201
      : spec.isDone?.(result)
        ? 200
        : spec.status;
  if (status !== undefined) response.statusCode = status;
  const { id, version } = (result ?? {}) as { id?: unknown; version?: unknown };
  // what comes along changes without the record
  if (typeof version === "number" && !Object.hasOwn(result as object, "included"))
    response.setHeader("ETag", `"${version}"`);
  if (status === 201 || status === 202) {
    // moleculer-web writes it for a 201 alone, and warns where it has none
    ctx.meta.$location = base + (spec.location?.(result) ?? `${routePath}/${String(id)}`);
    response.setHeader("Location", ctx.meta.$location);
  }
  if (ctx.meta.replayed) response.setHeader("Idempotency-Replayed", "true");
  if (spec.file) {
    const { name, type } = spec.file(request.$params);
    ctx.meta.$responseType = type;
    response.setHeader("Content-Disposition", `attachment; filename="${name}"`);
  }
}

/** What `fields` leaves of one record; a list has cut its own. The head has been written by then, with the version. */
function pickFields(route: Route, { fields }: Record<string, unknown>, result: unknown): unknown {
  if (!route.hasFields || fields === undefined) return result;
  const record = result as Record<string, unknown>;
  const shown = typeof fields === "string" ? fields.split(",") : (fields as string[]);
  const along = "included" in record ? ["included"] : [];
  return Object.fromEntries(["id", ...shown, ...along].map((field) => [field, record[field]]));
}

/** Spools the form, then calls the action with the file as stream. */
function uploadHandler(route: Route, base: string, unfinished: Unfinished) {
  return function (
    this: {
      sendResponse(request: GatewayRequest, response: ServerResponse, data: unknown, action: object): void;
    },
    request: GatewayRequest,
    response: ServerResponse,
    next: (error: unknown) => void,
  ): void {
    const run = async () => {
      const upload = await whileUnfinished(
        unfinished,
        request,
        uploadWeight,
        () => receiveUpload(request, response),
        (spooled) => spooled.discard(),
      );
      try {
        const ctx = request.$ctx;
        const { idempotency } = ctx.meta;
        if (idempotency)
          ctx.meta.idempotency = { ...idempotency, fingerprint: `${idempotency.fingerprint}.${upload.hash}` };
        const params = { ...upload.fields, fileName: upload.fileName };
        const result = await ctx.call(route.action, params, { stream: upload.open(), timeout: 300_000 });
        writeHead(ctx, route, base, request, response, result);
        this.sendResponse(request, response, result, {});
      } finally {
        await upload.discard();
      }
    };
    run().catch(next);
  };
}
