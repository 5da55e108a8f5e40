import type { IncomingMessage, Server as HttpServer } from "node:http";
import { Server, type DefaultEventsMap } from "socket.io";
import type { z } from "zod";
import type { Claims } from "../../../mixins/access/access-token.ts";
import { isLookedUp, type Access, type AccessChanged } from "../../../mixins/access/access.ts";
import type { Database } from "../../../mixins/database/database.ts";
import { appError, errorType, unauthorized } from "../../../mixins/contract/errors.ts";
import type { FeedAdvanced } from "../../../mixins/events/feed.ts";
import { Poller } from "../../../mixins/concurrency/poller.ts";
import type { RedisConnections } from "../../../mixins/redis/connections.ts";
import { Semaphore } from "../../../mixins/concurrency/semaphore.ts";
import { AccessWatch } from "./access-watch.ts";
import {
  Connection,
  terminate,
  type ClientSocket,
  type EngineSocket,
  type SocketData,
} from "./connection.ts";
import { Ephemeral } from "./ephemeral.ts";
import { Feeds } from "./feeds.ts";
import { messageLimit } from "./message-limit.ts";
import { LocalPresence, RedisPresence } from "./presence-store.ts";
import type { SharedPending } from "./outbox.ts";
import { clientMessages, problemOf, type Answer, type ServerMessages } from "./realtime.messages.ts";
import { openSockets } from "./realtime.metrics.ts";
import type { FindRecord } from "./records.ts";
import { shardedAdapter } from "./sharded-adapter.ts";

export type { FeedAdvanced };

/** Sockets of one process. At 20 KiB each they take 400 MB. */
const mostSockets = 20_000;
/** Sockets of one user in one process: browser tabs, phones, integrations. */
const mostSocketsOfUser = 50;
/** Sockets of one organization in one process. */
const mostSocketsOfOrganization = 10_000;
/** Messages a client may send in a second. */
const mostMessagesPerSecond = 20;
/** How late a lost hint (feed advanced) may take effect. */
const checkEveryMs = 2_000;
/** Among gateways: the presence of an organization has changed. */
const presenceHint = "presence.changed";
interface GatewayMessages {
  [presenceHint]: (organizationId: string) => void;
}
/** What has not said who it is by then is cut off. */
const mostUnknownMs = 5_000;
/** Time for clients to answer the closing handshake when the server stops. */
const farewellMs = 500;

/** Answers what a token says, that came by this handshake. */
type Authenticate = (token: string, handshake: IncomingMessage) => Promise<Claims>;

/**
 * Socket.IO on the gateway's HTTP server: who may connect, what they may send, and when they must go.
 * Hints from the broker make it fast; what is true is read from PostgreSQL every two seconds besides.
 */
export class Realtime {
  readonly #io: Server<DefaultEventsMap, ServerMessages, GatewayMessages, SocketData>;
  readonly #database: Database;
  readonly #access: Access;
  readonly #accessWatch: AccessWatch;
  // an organization with many managers must leave connections to those who call
  readonly #looks = new Semaphore({ atOnce: 4, mostWaiting: 100_000 });
  readonly #authenticate: Authenticate;
  readonly #wasRevokedSince: (sessionId: string, since: number) => boolean;
  /** Transports whose bearer is known. */
  readonly #known = new WeakSet<object>();
  readonly #logger: { warn(message: string): void };
  readonly #feeds: Feeds;
  readonly #ephemeral: Ephemeral;
  readonly #connections = new Set<Connection>();
  /** By id of the user, and by id of the organization. */
  readonly #socketsOf = new Map<string, number>();
  /** By id of the organization: what its sockets have not sent yet. */
  readonly #pendingOf = new Map<string, SharedPending>();
  readonly #mostSocketsOfOrganization: number;
  readonly #pollers: Poller[];
  readonly #expiry: NodeJS.Timeout;
  #sockets = 0;
  #isClosing = false;

  /**
   * @param options.authenticate answers what a token says; its error's `type` becomes the connect_error
   * @param options.wasRevokedSince whether a session was revoked after a time, by performance.now()
   * @param options.redis carries presence and typing between gateways; the feed does not need it
   * @param options.name unique among the gateways
   * @param options.mostSocketsOfOrganization default 10,000
   */
  constructor(options: {
    httpServer: HttpServer;
    database: Database;
    access: Access;
    redis: RedisConnections | undefined;
    name: string;
    authenticate: Authenticate;
    wasRevokedSince: (sessionId: string, since: number) => boolean;
    findRecord: FindRecord;
    logger: { warn(message: string): void };
    mostSocketsOfOrganization?: number;
  }) {
    this.#mostSocketsOfOrganization = options.mostSocketsOfOrganization ?? mostSocketsOfOrganization;
    this.#database = options.database;
    this.#access = options.access;
    this.#accessWatch = new AccessWatch(options.database);
    this.#authenticate = options.authenticate;
    this.#wasRevokedSince = options.wasRevokedSince;
    this.#logger = options.logger;
    const onError = (error: Error) => this.#logger.warn(`realtime: ${error.message}`);
    this.#feeds = new Feeds(this.#database, onError);
    const { redis } = options;
    this.#io = new Server(options.httpServer, {
      ...(redis ? { adapter: shardedAdapter(redis) } : {}),
      transports: ["websocket", "polling"],
      perMessageDeflate: false,
      serveClient: false,
      maxHttpBufferSize: 100_000,
      pingInterval: 25_000,
      connectTimeout: mostUnknownMs,
      allowRequest: (_request, decide) =>
        this.#isClosing ? decide("This server is stopping", false) : decide(null, true),
    });
    this.#ephemeral = new Ephemeral({
      store: redis ? new RedisPresence(redis, options.name) : new LocalPresence(),
      findRecord: options.findRecord,
      hint: (organizationId) => {
        if (redis) this.#io.serverSideEmit(presenceHint, organizationId);
      },
      onError,
    });
    this.#io.on(presenceHint, (organizationId) => this.#ephemeral.onHint(organizationId));
    this.#io.use((socket, next) => {
      this.#admit(socket).then(
        () => next(),
        (error: unknown) => next(new Error(this.#codeOf(error))),
      );
    });
    this.#io.on("connection", (socket) => this.#connect(socket, onError));
    this.#io.engine.on("connection", (transport: EngineSocket) => {
      setTimeout(() => this.#cutUnknown(transport), mostUnknownMs).unref();
    });
    this.#pollers = [
      new Poller({ name: "feed heads", everyMs: checkEveryMs, run: () => this.#checkFeeds(), onError }),
      new Poller({
        name: "roles and teams",
        everyMs: checkEveryMs,
        run: () => this.#checkAccess(),
        onError,
      }),
    ];
    for (const poller of this.#pollers) poller.start();
    this.#expiry = setInterval(() => this.#endOver(), 1_000).unref();
  }

  /** Hears that the feed of an organization has grown. */
  onFeedAdvanced(hint: FeedAdvanced): void {
    this.#feeds.advance(hint);
  }

  /** Ends the sockets of a session. */
  onSessionRevoked({ sessionId }: { sessionId: string }): void {
    for (const connection of this.#connections)
      if (connection.sessionId === sessionId) connection.end("revoked");
  }

  /** Gives the sockets of an organization the rights of today. Resolves when they have them. */
  async onAccessChanged({ organizationId }: AccessChanged): Promise<void> {
    this.#access.forget(organizationId);
    const theirs = [...this.#connections].filter(
      ({ claims }) => claims.organizationId === organizationId && isLookedUp(claims.role),
    );
    await Promise.all(
      theirs.map(async (connection) => {
        const hasTaken = await this.#looks.run(() => connection.refresh(this.#access));
        if (hasTaken) this.#ephemeral.place(connection);
      }),
    );
  }

  /** Ends the sockets of an organization. */
  onOrganizationSuspended(organizationId: string): void {
    for (const connection of this.#connections)
      if (connection.claims.organizationId === organizationId) connection.end("suspended");
  }

  /** Lets go of every client, which then reconnects elsewhere by itself. The HTTP server stays open. */
  async close(): Promise<void> {
    this.#isClosing = true;
    clearInterval(this.#expiry);
    const connections = [...this.#connections];
    for (const connection of connections) connection.close();
    this.#io.engine.close();
    setTimeout(() => {
      for (const connection of connections) connection.terminate();
    }, farewellMs).unref();
    await Promise.all([this.#ephemeral.close(), ...this.#pollers.map((poller) => poller.stop())]);
  }

  /** @throws 401 as `authenticate` does, 429 TOO_MANY_CONNECTIONS, 503 SERVER_FULL */
  async #admit(socket: ClientSocket): Promise<void> {
    const { token } = socket.handshake.auth;
    if (typeof token !== "string" || token === "")
      throw unauthorized("UNAUTHENTICATED", "Connect with auth: { token }.");
    const knownAt = performance.now();
    const claims = await this.#authenticate(token, socket.request);
    const principal = await this.#access.principalOf(claims);
    if (this.#sockets >= mostSockets) throw appError(503, "SERVER_FULL", "This server has no place left.");
    const { organizationId, userId } = claims;
    if ((this.#socketsOf.get(organizationId) ?? 0) >= this.#mostSocketsOfOrganization)
      throw appError(429, "TOO_MANY_CONNECTIONS", "Your organization has too many connections here.");
    if ((this.#socketsOf.get(userId) ?? 0) >= mostSocketsOfUser)
      throw appError(429, "TOO_MANY_CONNECTIONS", "Close another connection first.");
    socket.data = { claims, principal, knownAt };
    // the transport may close before the socket is ever connected, so its place is tied to the transport
    this.#count(claims, 1);
    if (socket.conn.readyState === "open") socket.conn.once("close", () => this.#count(claims, -1));
    else this.#count(claims, -1);
  }

  #count({ userId, organizationId }: Claims, change: 1 | -1): void {
    this.#sockets += change;
    openSockets.inc(change);
    for (const id of [userId, organizationId]) {
      const sockets = (this.#socketsOf.get(id) ?? 0) + change;
      if (sockets === 0) this.#socketsOf.delete(id);
      else this.#socketsOf.set(id, sockets);
    }
    // a transport's end is counted behind the end of its socket
    if (!this.#socketsOf.has(organizationId)) this.#pendingOf.delete(organizationId);
  }

  #connect(socket: ClientSocket, onError: (error: Error) => void): void {
    const { organizationId } = socket.data.claims;
    const pending = this.#pendingOf.get(organizationId) ?? { size: 0 };
    this.#pendingOf.set(organizationId, pending);
    const connection = new Connection(socket, this.#feeds, pending, onError);
    this.#connections.add(connection);
    this.#known.add(socket.conn);
    this.#ephemeral.enter(connection);
    socket.on("disconnect", () => {
      this.#connections.delete(connection);
      connection.close();
      this.#ephemeral.leave(connection);
    });
    const isTooMany = messageLimit(mostMessagesPerSecond);
    const listen = <S extends z.ZodType>(
      name: string,
      schema: S,
      act: (message: z.output<S>, answer: (answer: Answer) => void) => Promise<void> | void,
    ) => {
      socket.on(name, (...sent: unknown[]) => {
        const ack = sent.at(-1);
        const answer = (reply: Answer) => {
          if (typeof ack === "function") (ack as (reply: Answer) => void)(reply);
        };
        if (isTooMany()) return answer({ ok: false, code: "RATE_LIMITED", message: "Send fewer messages." });
        const [message] = sent;
        const parsed = schema.safeParse(typeof message === "function" ? {} : (message ?? {}));
        if (!parsed.success)
          return answer({ ok: false, code: "VALIDATION_FAILED", message: problemOf(parsed.error) });
        void (async () => act(parsed.data, answer))().catch((error: unknown) =>
          answer({ ok: false, code: this.#codeOf(error), message: messageOf(error) }),
        );
      });
    };
    socket.onAny((name: string, ...sent: unknown[]) => {
      const ack = sent.at(-1);
      if (name in clientMessages || typeof ack !== "function") return;
      const message = `There is no message ${JSON.stringify(name.slice(0, 50))}; send one of ${Object.keys(clientMessages).join(", ")}.`;
      (ack as (reply: Answer) => void)({ ok: false, code: "UNKNOWN_MESSAGE", message });
    });
    listen("subscribe", clientMessages.subscribe, (request, answer) => connection.subscribe(request, answer));
    listen("unsubscribe", clientMessages.unsubscribe, (_request, answer) => {
      connection.unsubscribe();
      answer({ ok: true });
    });
    listen("presence", clientMessages.presence, async (message, answer) =>
      answer(await this.#ephemeral.presence(connection, message)),
    );
    listen("typing", clientMessages.typing, async (message, answer) =>
      answer(await this.#ephemeral.typing(connection, message)),
    );
    listen("authenticate", clientMessages.authenticate, async ({ token }, answer) => {
      const knownAt = performance.now();
      const claims = await this.#authenticate(token, socket.request);
      if (await connection.renew({ claims, knownAt }, this.#access)) this.#ephemeral.place(connection);
      answer({ ok: true });
    });
  }

  async #checkFeeds(): Promise<false> {
    await this.#feeds.checkHeads();
    return false;
  }

  async #checkAccess(): Promise<false> {
    const claims = [...this.#connections].map((connection) => connection.claims);
    const asked = claims.filter(({ role }) => isLookedUp(role)).map(({ organizationId }) => organizationId);
    await this.#accessWatch.round([...new Set(asked)], (organizationId) =>
      this.onAccessChanged({ organizationId }),
    );
    return false;
  }

  /** Ends sockets whose token has expired, and those whose session was revoked while they were let in. */
  #endOver(): void {
    const now = Date.now();
    for (const connection of this.#connections)
      if (connection.isExpired(now)) connection.end("expired");
      else if (this.#wasRevokedSince(connection.sessionId, connection.knownAt)) connection.end("revoked");
  }

  /** Frees what was opened and not used: closed alone, ws would wait another 30 s for a peer who need not answer. */
  #cutUnknown(transport: EngineSocket): void {
    if (this.#known.has(transport)) return;
    transport.close(true);
    terminate(transport);
  }

  /** The public code of an error; what has none is a defect, and is logged. */
  #codeOf(error: unknown): string {
    const code = errorType(error);
    if (code === undefined) this.#logger.warn(`realtime: ${String(error)}`);
    return code ?? "INTERNAL_ERROR";
  }
}

const messageOf = (error: unknown): string =>
  errorType(error) === undefined ? "The server failed; try again." : (error as Error).message;
