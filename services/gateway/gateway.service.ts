import { randomUUID } from "node:crypto";
import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http";
import type { Context, Service, ServiceSchema } from "moleculer";
import ApiGateway from "moleculer-web";
import { accessChanged, type AccessChanged } from "../../mixins/access/access.ts";
import { AccessTokens, type Claims } from "../../mixins/access/access-token.ts";
import { ApiKeys, isApiKey } from "../../mixins/access/api-key.ts";
import { Revocations, sessionRevoked, type SessionRevoked } from "../../mixins/access/revocations.ts";
import { organizationChanged } from "../../mixins/organizations/organizations.ts";
import { httpDuration, secondsSince } from "../../mixins/process/metrics.ts";
import { continueTrace } from "../../mixins/process/trace.ts";
import type { Runtime } from "../../mixins/contract/service.ts";
import { ApiUsage } from "./api-usage.ts";
import { apiRoute, type Authenticate, type GatewayRequest } from "./api-route.ts";
import { corsSettings, protector } from "./browsers.ts";
import { BrowserCookie } from "./browser-answer.ts";
import { clientAddressOf } from "./client-address.ts";
import { docsRoute } from "./docs.ts";
import { Drain } from "./drain.ts";
import { discard } from "./early-end.ts";
import { healthRoute } from "./health.ts";
import { createHttpServer } from "./http-server.ts";
import { LoadShedding, priorities } from "./load-shedding.ts";
import { outboxRoute } from "./outbox.ts";
import { overloaded, sendProblem } from "./problem.ts";
import { RateLimit } from "./rate-limit.ts";
import { RequestLog } from "./request-log.ts";
import { routesOf, type Route } from "./routes.ts";
import { Routing, type Alias } from "./routing.ts";
import { recordFinder } from "./realtime/records.ts";
import { Realtime, type FeedAdvanced } from "./realtime/realtime.ts";

const { httpHandler: webHandler } = ApiGateway.methods as unknown as {
  httpHandler: (this: Service, request: GatewayRequest, response: ServerResponse) => Promise<void>;
};

/**
 * Connections that may wait to be taken; the system's own bound (net.core.somaxconn, usually 4,096) holds too. Node's 511 are too few for
 * the sockets of a gateway that has died: those beyond come again after 1, 3 and 7 s, and a proxy takes this gateway for dead as well.
 */
const mostWaitingConnections = 16_384;

/** What of moleculer-web is used or replaced here. */
interface WebMethods {
  server: Server;
  httpHandler: RequestListener;
  /** @throws ForbiddenError for a page of an origin that is not let in */
  writeCorsHeaders(route: { cors: object | undefined }, request: object, response: object): void;
}

/** How long a gateway waits for the cluster before it takes requests anyway. */
const discoveryMs = 5_000;
/** A gateway that has just started knows no other node yet, and would refuse what it is sent first. */
const beforeListening = {
  async started(this: Service) {
    await this.broker.waitForServices(["identity"], discoveryMs, 50).catch(() => undefined);
  },
} as Partial<ServiceSchema> as ServiceSchema;

/** REST and WebSocket in front of every action that has a route: see docs/architecture.md. */
export default (runtime: Runtime): ServiceSchema => {
  const { env } = runtime;
  const protect = protector(env);
  const routes = routesOf(runtime.contracts);
  const priorityOf = priorities(routes);
  let tokens: AccessTokens;
  let apiKeys: ApiKeys;
  let revocations: Revocations;
  let realtime: Realtime;
  let shedding: LoadShedding;
  let apiUsage: ApiUsage;
  let drain: Drain;
  let routing: Routing;
  let requestLog: RequestLog;
  const settings = {
    // handed on to listen() as it is, which takes nothing else besides
    port: { port: env.PORT, host: env.HOST, backlog: mostWaitingConnections },
    path: "",
    routes: null,
    // moleculer-web writes several log lines a request at these; ours is one, and only for what failed
    logRequest: null,
    logRequestParams: null,
    logResponse: null,
    logRouteRegistration: null,
    etag: false,
    cors: corsSettings(env),
    rootCallOptions: (options: { requestID?: string }, { requestId }: GatewayRequest) =>
      void (options.requestID = requestId),
    onError(this: Service, request: GatewayRequest, response: ServerResponse, error: unknown) {
      sendProblem(request, response, error, request.requestId, this.logger);
    },
  };
  return {
    name: "gateway",
    mixins: [ApiGateway, beforeListening],
    settings: settings as ServiceSchema["settings"],
    events: {
      [sessionRevoked](ctx: Context<SessionRevoked>) {
        revocations.hear(ctx.params);
      },
      // what was broadcast while NATS was away has passed this gateway by
      "$transporter.connected": () => revocations.catchUp(),
      [accessChanged](ctx: Context<AccessChanged>) {
        return realtime.onAccessChanged(ctx.params);
      },
      [organizationChanged]: () => runtime.organizations.hear(),
      "feed.advanced"(ctx: Context<FeedAdvanced>) {
        realtime.onFeedAdvanced(ctx.params);
      },
    },
    methods: {
      // refused here, a request costs neither parsing nor a look at who sends it
      httpHandler(this: Service, request: GatewayRequest, response: ServerResponse) {
        drain.entered(response);
        protect(response);
        beginRequest(request, response, env.TRUST_PROXY);
        const start = performance.now();
        const log = requestLog.begin(request, response);
        const place = shedding.place(priorityOf(request));
        response.once("close", () => {
          drain.left(response);
          place?.end();
          httpDuration
            .labels(request.method ?? "", request.$alias?.path ?? "none", String(response.statusCode))
            .observe(secondsSince(start));
          log?.();
        });
        const refuse = (error: unknown) =>
          sendProblem(request, response, error, request.requestId, this.logger);
        if (!place) {
          // by then a small body has been read, and the connection can serve the next request
          discard(request);
          setTimeout(refuse, shedding.pauseMs(), overloaded());
          return undefined;
        }
        request.place = place;
        const refusal = routing.check(request, env.CORS_ORIGINS !== undefined);
        if (refusal === undefined) return webHandler.call(this, request, response);
        try {
          // a page of another origin is to read why
          (this as unknown as WebMethods).writeCorsHeaders({ cors: settings.cors }, request, response);
        } catch (error) {
          return refuse(error);
        }
        if (refusal instanceof Error) return refuse(refusal);
        response.writeHead(204, { Allow: refusal.allow.join(", ") }).end();
      },
      // one lookup instead of a try of each route's pattern
      resolveAlias(path: string, method?: string) {
        const alias = routing.find(path, method ?? "GET");
        return alias ? { alias, params: alias.match(path) } : false;
      },
      // parameters are read when it is known who sends them: see parseQuery
      parseQueryString: ({ url = "" }: IncomingMessage) => ({ url: url.split("?")[0], query: {} }),
      createServer(this: Service) {
        const web = this as unknown as WebMethods;
        web.server = createHttpServer((request, response) => web.httpHandler(request, response));
      },
      // moleculer-web's own writes a line for each error besides ours
      errorHandler(this: Service, request: GatewayRequest, response: ServerResponse, error: unknown) {
        (this as unknown as { sendError(...args: unknown[]): void }).sendError(request, response, error);
      },
      /** Ends what clients began here, and sends them elsewhere; the broker still runs. */
      async drain() {
        const drained = drain.drain(env.DRAIN_SECONDS * 1000);
        await realtime.close();
        await drained;
      },
    },
    created(this: Service) {
      const { broker, logger } = this;
      const { server } = this as unknown as { server: Server };
      drain = new Drain(server);
      shedding = new LoadShedding({
        mostInFlight: env.MAX_IN_FLIGHT,
        pressure: () => runtime.database.pressure,
      });
      const addRoute = (route: object) =>
        (this as unknown as { addRoute(route: object): void }).addRoute(route);
      tokens = new AccessTokens(() => broker.call("identity.verificationKeys", {}));
      apiKeys = new ApiKeys((key) => broker.call("identity.findApiKey", key));
      revocations = new Revocations(runtime.database, (error) => logger.warn(error.message));
      revocations.onRevoked(({ sessionId }) => {
        apiKeys.forget(sessionId);
        realtime.onSessionRevoked({ sessionId });
      });
      const authenticate: Authenticate = async (credential, { address, ofUnknownKey, whileSuspended }) => {
        const ofStranger = () => rateLimit.requireTrust(address);
        let claims: Claims;
        if (isApiKey(credential))
          claims = await apiKeys.verify(credential, async () => {
            ofStranger();
            await ofUnknownKey?.();
          });
        else {
          claims = await tokens.verify(credential, ofStranger);
          await revocations.requireLive(claims.sessionId);
        }
        if (!whileSuspended) await runtime.organizations.requireActive(claims.organizationId);
        return claims;
      };
      const rateLimit = new RateLimit({
        perMinute: env.RATE_LIMIT_PER_MINUTE,
        perMinuteOfOrganization: env.RATE_LIMIT_PER_MINUTE_ORGANIZATION,
        redis: runtime.redis,
      });
      apiUsage = new ApiUsage(runtime.database, (error) => logger.warn(error.message));
      const admit = async (
        { userId, organizationId }: Claims,
        response: ServerResponse,
        { action, spec }: Route,
      ) => {
        const standing = await runtime.organizations.of(organizationId);
        await rateLimit.takeMember(userId, organizationId, response, standing.limits.rateFactor);
        apiUsage.take(organizationId, standing, spec.deprecated && action);
      };
      const cookie = new BrowserCookie(env.API_URL);
      const api = apiRoute({
        routes,
        authenticate,
        rateLimit,
        access: runtime.access,
        admit,
        cookie,
        logger,
      });
      for (const base of ["/api/v1", "/api/latest"]) addRoute(api(base));
      addRoute(healthRoute(runtime, broker));
      addRoute(docsRoute(runtime.version, routes));
      addRoute(outboxRoute(runtime));
      const sideEffects = new Set(
        routes.filter(({ spec }) => spec.transfer === "browser").map(({ action }) => action),
      );
      routing = new Routing(
        (this as unknown as { aliases: Alias[] }).aliases,
        ({ action }) => !sideEffects.has(action ?? ""),
      );
      requestLog = new RequestLog(
        env.REQUEST_LOG,
        (path) => routing.patternOf(path),
        (line) => logger.info(line, "request"),
      );
      realtime = new Realtime({
        httpServer: server,
        database: runtime.database,
        access: runtime.access,
        redis: runtime.redis,
        name: env.NODE_ID,
        authenticate: (token, request) => {
          const address = clientAddressOf(request, env.TRUST_PROXY);
          return authenticate(token, { address }).catch((error: unknown) => {
            rateLimit.noteIfWrong(error, address);
            throw error;
          });
        },
        wasRevokedSince: (sessionId, since) => revocations.wasRevokedSince(sessionId, since),
        findRecord: recordFinder(broker),
        logger,
      });
      runtime.organizations.onSuspended((organizationId) => realtime.onOrganizationSuspended(organizationId));
    },
    started() {
      revocations.start();
      apiUsage.start();
      return Promise.resolve();
    },
    async stopped() {
      shedding.close();
      await revocations.stop();
      await apiUsage.stop();
      await realtime.close();
    },
  } as ServiceSchema;
};

/** Gives every request an id, its own or a new one, and the client's address. */
function beginRequest(request: GatewayRequest, response: ServerResponse, trustProxy: boolean): void {
  const given = request.headers["x-request-id"];
  request.requestId = typeof given === "string" && /^[\w.-]{1,64}$/.test(given) ? given : randomUUID();
  request.traceparent = continueTrace(request.headers.traceparent);
  response.setHeader("X-Request-ID", request.requestId);
  response.setHeader("traceresponse", request.traceparent);
  request.clientAddress = clientAddressOf(request, trustProxy);
}
