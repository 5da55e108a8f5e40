import { hash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Context, ServiceBroker } from "moleculer";
import type { Access } from "../../mixins/access/access.ts";
import { requirePermission } from "../../mixins/access/actor.ts";
import type { Claims } from "../../mixins/access/access-token.ts";
import { isApiKey } from "../../mixins/access/api-key.ts";
import { metaOf, type Meta } from "../../mixins/contract/meta.ts";
import { unauthorized } from "../../mixins/contract/errors.ts";
import type { BrowserAnswer } from "../../mixins/contract/browser-answer.ts";
import { answerBrowser, type BrowserCookie } from "./browser-answer.ts";
import { announceDeprecation } from "./deprecation.ts";
import { sendProblem } from "./problem.ts";
import type { RateLimit } from "./rate-limit.ts";
import { idempotencyOf, formTest, paramsOf, type RequestParts, type Route } from "./routes.ts";
import { receiveUpload } from "./upload.ts";

/** A request on its way through moleculer-web. */
export interface GatewayRequest extends IncomingMessage {
  originalUrl: string;
  requestId: string;
  /** W3C Trace Context of the work done for it. */
  traceparent: string;
  /** Address of the client, past a trusted proxy. */
  clientAddress: string;
  /** SHA-256 of the body; only of requests with an Idempotency-Key. */
  bodyHash?: string;
  $alias?: { action: string | null; path: string };
  $params: RequestParts | Record<string, unknown>;
  $ctx: Context<unknown, Meta & { $location?: string; $responseType?: string }>;
}

const maxBodyBytes = 1024 * 1024;

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
  const routeByAction = new Map(routes.map((route) => [route.action, route]));
  const isForm = formTest(routes);
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
    bodyParsers: {
      json: { limit: maxBodyBytes, strict: false, verify: hashBody },
      urlencoded: { extended: false, limit: maxBodyBytes, parameterLimit: 20, type: isForm },
    },
    aliases: Object.fromEntries(
      routes.map((route) => [
        `${route.method} ${route.path}`,
        route.spec.transfer === "multipart" ? uploadHandler(route, path) : route.action,
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
      if (route.spec.transfer !== "multipart")
        request.$params = paramsOf(route, request, request.$params as RequestParts, parts.cookie);
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
      if (route.spec.transfer !== "browser")
        return pickFields(route, request.$params as Record<string, unknown>, result);
      return answerBrowser(ctx.meta, request, response, result as BrowserAnswer, parts.cookie);
    },

    onError(request: GatewayRequest, response: ServerResponse, error: unknown) {
      parts.rateLimit.noteIfWrong(error, request.clientAddress);
      sendProblem(request, response, error, request.requestId, parts.logger);
    },
  });

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
    requirePermission(await parts.access.actorOf(claims), route.spec.permission);
  }
}

/** The access token, or API key, of a request. @throws 401 UNAUTHENTICATED without one */
function credentialOf({ headers }: GatewayRequest): string {
  const [scheme, token] = headers.authorization?.split(" ") ?? [];
  if (scheme?.toLowerCase() === "bearer" && token) return token;
  const apiKey = headers["x-api-key"];
  if (headers.authorization === undefined && typeof apiKey === "string" && isApiKey(apiKey)) return apiKey;
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
  const status = spec.upserts && ctx.meta.isNew ? 201 : spec.status;
  if (status !== undefined) response.statusCode = status;
  const { id, version } = (result ?? {}) as { id?: unknown; version?: unknown };
  if (typeof version === "number") response.setHeader("ETag", `"${version}"`);
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
  if (!route.hasFields || typeof fields !== "string") return result;
  const record = result as Record<string, unknown>;
  return Object.fromEntries(["id", ...fields.split(",")].map((field) => [field, record[field]]));
}

function hashBody(request: GatewayRequest, _response: ServerResponse, body: Buffer): void {
  if (request.headers["idempotency-key"] !== undefined) request.bodyHash = hash("sha256", body, "base64url");
}

/** Spools the form, then calls the action with the file as stream. */
function uploadHandler(route: Route, base: string) {
  return function (
    this: {
      sendResponse(request: GatewayRequest, response: ServerResponse, data: unknown, action: object): void;
    },
    request: GatewayRequest,
    response: ServerResponse,
    next: (error: unknown) => void,
  ): void {
    const run = async () => {
      const upload = await receiveUpload(request);
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
