import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { io, type Socket } from "socket.io-client";
import { v7 as uuidv7 } from "uuid";
import type { Claims } from "../../mixins/access/access-token.ts";
import { Revocations, sessionRevoked, type SessionRevoked } from "../../mixins/access/revocations.ts";
import { unauthorized } from "../../mixins/contract/errors.ts";
import { accessChanged, type AccessChanged } from "../../mixins/access/access.ts";
import type { FeedAdvanced } from "../../mixins/events/feed.ts";
import { recordFinder } from "../../services/gateway/realtime/records.ts";
import { Realtime } from "../../services/gateway/realtime/realtime.ts";
import type { Node } from "../../services/node.ts";
import { eventually } from "./eventually.ts";

type Limits = { mostSocketsOfOrganization?: number };

/** The realtime part of a gateway, over a node, with tokens anybody can make: see `tokenOf`. */
export class RealtimeServer {
  readonly url: string;
  readonly realtime: Realtime;
  /** Name of the service that hears the hints; other nodes know it after about a second. */
  readonly service: string;
  readonly #http: Server;
  readonly #revocations: Revocations;

  private constructor(http: Server, node: Node, limits: Limits) {
    this.#http = http;
    this.url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    const revocations = new Revocations(node.runtime.database, () => undefined);
    const realtime = new Realtime({
      httpServer: http,
      database: node.runtime.database,
      access: node.runtime.access,
      redis: node.runtime.redis,
      name: node.runtime.env.NODE_ID,
      authenticate: readToken,
      wasRevokedSince: (sessionId, since) => revocations.wasRevokedSince(sessionId, since),
      findRecord: recordFinder(node.broker),
      ...limits,
      logger: node.broker.getLogger("realtime"),
    });
    this.realtime = realtime;
    this.service = `realtime-${new URL(this.url).port}`;
    node.broker.createService({
      name: this.service,
      events: {
        "feed.advanced": (ctx: { params: FeedAdvanced }) => realtime.onFeedAdvanced(ctx.params),
        [accessChanged]: (ctx: { params: AccessChanged }) => realtime.onAccessChanged(ctx.params),
        [sessionRevoked]: (ctx: { params: SessionRevoked }) => revocations.hear(ctx.params),
      },
    });
    revocations.onRevoked((revoked) => realtime.onSessionRevoked(revoked));
    revocations.start();
    this.#revocations = revocations;
  }

  static async listen(node: Node, limits: Limits = {}): Promise<RealtimeServer> {
    const http = createServer();
    await new Promise<void>((done) => http.listen(0, "127.0.0.1", done));
    return new RealtimeServer(http, node, limits);
  }

  async close(): Promise<void> {
    await this.#revocations.stop();
    await this.realtime.close();
    if (this.#http.listening) await new Promise((done) => this.#http.close(done));
  }
}

/** Claims of a user, valid for ten minutes; `overrides` replace parts. */
export function buildClaims(overrides: Partial<Claims> = {}): Claims {
  return {
    userId: uuidv7(),
    organizationId: uuidv7(),
    sessionId: uuidv7(),
    role: "admin",
    expiresAt: Math.floor(Date.now() / 1000) + 600,
    ...overrides,
  };
}
/** @param options.isTrusted passes even when it has expired */
export const tokenOf = (claims: Claims, options: { isTrusted?: boolean } = {}): string =>
  JSON.stringify({ ...claims, ...options });

function readToken(token: string): Promise<Claims> {
  let claims: Claims & { isTrusted?: boolean };
  try {
    claims = JSON.parse(token) as Claims & { isTrusted?: boolean };
  } catch {
    return Promise.reject(unauthorized("TOKEN_INVALID", "The access token is not valid."));
  }
  return claims.isTrusted || claims.expiresAt * 1000 > Date.now()
    ? Promise.resolve(claims)
    : Promise.reject(unauthorized("TOKEN_EXPIRED", "The access token has expired."));
}

export interface ReceivedEvent {
  seq: number;
  type: string;
  entity: { kind: string; id: string; version: number };
}
export type Ack = { ok: true; head: number; gap?: true } | { ok: false; code: string; message: string };

/** A client program: a socket, and what it was sent. Close it with `close()`. */
export class SocketClient {
  readonly socket: Socket;
  readonly events: ReceivedEvent[] = [];
  /** Every other message, in order, as [name, payload]; the end as ["disconnect", reason]. */
  readonly others: unknown[][] = [];

  constructor(url: string, token: string, options: Record<string, unknown> = {}) {
    this.socket = io(url, {
      auth: { token },
      transports: ["websocket"],
      forceNew: true,
      reconnection: false,
      ...options,
    });
    this.socket.on("event", (event: ReceivedEvent) => this.events.push(event));
    this.socket.onAny((name: string, payload: unknown) => {
      if (name !== "event") this.others.push([name, payload]);
    });
    this.socket.on("disconnect", (reason) => this.others.push(["disconnect", reason]));
  }

  get seqs(): number[] {
    return this.events.map(({ seq }) => seq);
  }

  /** Resolves when connected. @throws Error with the code of the refusal */
  async connected(): Promise<this> {
    if (!this.socket.connected)
      await new Promise<void>((done, fail) => {
        this.socket.once("connect", done);
        this.socket.once("connect_error", fail);
      });
    return this;
  }

  send(name: string, ...payload: unknown[]): Promise<Ack> {
    return this.socket.timeout(5_000).emitWithAck(name, ...payload) as Promise<Ack>;
  }

  /** Resolves when an event with this seq has come. */
  reaches = (seq: number, timeoutMs?: number) => eventually(() => (this.seqs.at(-1) ?? 0) >= seq, timeoutMs);

  ended = () => eventually(() => this.socket.disconnected);

  close(): void {
    this.socket.disconnect();
  }
}
