import type { DefaultEventsMap, Socket } from "socket.io";
import type { Access } from "../../../mixins/access/access.ts";
import type { Claims } from "../../../mixins/access/access-token.ts";
import { can, requirePermission, type Principal } from "../../../mixins/access/principal.ts";
import { conflict, unauthorized } from "../../../mixins/contract/errors.ts";
import { feedFilter } from "../../../mixins/events/feed-filter.ts";
import type { Feeds } from "./feeds.ts";
import { Outbox, type SharedPending } from "./outbox.ts";
import type { Answer, EndReason, ServerMessages, SubscribeRequest } from "./realtime.messages.ts";
import { slowSockets } from "./realtime.metrics.ts";
import { Subscription } from "./subscription.ts";

/** Who has opened a socket. */
export interface SocketData {
  claims: Claims;
  principal: Principal;
  /** When the claims were asked for, by performance.now(): a revocation since then is not in them. */
  knownAt: number;
}
export type ClientSocket = Socket<DefaultEventsMap, ServerMessages, DefaultEventsMap, SocketData>;

/** The transport under a socket. */
export type EngineSocket = ClientSocket["conn"];

/** Ends a transport at once, whatever its peer does. */
export function terminate({ transport }: EngineSocket): void {
  (transport as unknown as { socket?: { terminate?(): void } }).socket?.terminate?.();
}

/** How long a socket may go on with an expired token, for the client to send its next one. */
const graceMs = 30_000;

/** An authenticated socket: who it is, and what it follows. */
export class Connection {
  readonly #socket: ClientSocket;
  readonly #feeds: Feeds;
  readonly #onError: (error: Error) => void;
  readonly #outbox: Outbox;
  #claims: Claims;
  #knownAt: number;
  #principal: Principal;
  #subscription: Subscription | undefined;
  #types: readonly string[] | undefined;
  /** Counts subscribe and unsubscribe: what was begun for an earlier one is dropped. */
  #turn = 0;
  /** Counts looks at what the user may do: only the last that began counts. */
  #look = 0;
  #isClosed = false;

  /** @param pending what waits for the sockets of the organization */
  constructor(socket: ClientSocket, feeds: Feeds, pending: SharedPending, onError: (error: Error) => void) {
    this.#socket = socket;
    this.#feeds = feeds;
    this.#onError = onError;
    this.#claims = socket.data.claims;
    this.#knownAt = socket.data.knownAt;
    this.#principal = socket.data.principal;
    this.#outbox = new Outbox(socket.conn, pending);
  }

  get sessionId(): string {
    return this.#claims.sessionId;
  }

  get knownAt(): number {
    return this.#knownAt;
  }

  get socket(): ClientSocket {
    return this.#socket;
  }

  get claims(): Claims {
    return this.#claims;
  }

  get principal(): Principal {
    return this.#principal;
  }

  /**
   * Begins to send the feed. `answer` goes out before the first event.
   * @throws 403 FORBIDDEN; 409 SUBSCRIPTION_REPLACED when the client has sent another message like it meanwhile
   */
  async subscribe({ since, types }: SubscribeRequest, answer: (answer: Answer) => void): Promise<void> {
    const turn = this.#unsubscribe();
    requirePermission(this.principal, "events:read");
    const { organizationId } = this.#claims;
    const feed = await this.#feeds.acquire(organizationId);
    let subscription: Subscription;
    try {
      const { after, oldest } = await feed.locate(since);
      if (this.#isClosed || turn !== this.#turn)
        throw conflict("SUBSCRIPTION_REPLACED", "Another message has replaced this subscription.");
      this.#types = types;
      const isVisible = feedFilter(this.principal, types);
      const onSlow = () => this.#dropSlow();
      subscription = new Subscription({ feed, outbox: this.#outbox, isVisible, after, onSlow });
      this.#subscription = subscription;
      answer({ ok: true, head: feed.cursor, ...(oldest === undefined ? {} : { gap: true }) });
      if (oldest !== undefined && since !== undefined) this.#socket.emit("gap", { since, oldest });
    } catch (error) {
      this.#feeds.release(organizationId);
      throw error;
    }
    // what cannot be read now is read after the client's reconnect, from where it was
    subscription.start().catch((error: Error) => {
      this.#onError(error);
      this.#cut();
    });
  }

  unsubscribe(): void {
    this.#unsubscribe();
  }

  /** Goes on under another token of the same user, with that token's rights: as `refresh`. @throws 401 for anybody else's */
  renew({ claims, knownAt }: Omit<SocketData, "principal">, access: Access): Promise<boolean> {
    if (claims.userId !== this.#claims.userId || claims.organizationId !== this.#claims.organizationId)
      throw unauthorized("TOKEN_INVALID", "The token is another user's; open a new connection for it.");
    this.#claims = claims;
    this.#knownAt = knownAt;
    return this.refresh(access);
  }

  /** Takes note of what the user may do now. Answers whether it did: not when the socket is gone, or another look began later. */
  async refresh(access: Access): Promise<boolean> {
    const look = ++this.#look;
    const principal = await access.principalOf(this.#claims);
    if (this.#isClosed || look !== this.#look) return false;
    this.#principal = principal;
    if (!can(principal, "events:read")) this.#unsubscribe();
    else if (this.#subscription) this.#subscription.isVisible = feedFilter(principal, this.#types);
    return true;
  }

  /** Sends an encoded packet beside the feed. A reader that is too slow for it is dropped. */
  push(packet: string): void {
    if (this.#isClosed) return;
    if (this.#outbox.isOverfull) this.#dropSlow();
    else this.#outbox.send([packet]);
  }

  /** @param now milliseconds since 1970 */
  isExpired(now: number): boolean {
    return now > this.#claims.expiresAt * 1000 + graceMs;
  }

  /** Ends the socket for good: a client does not reconnect by itself after this. */
  end(reason: EndReason): void {
    this.close();
    this.#socket.emit("session.revoked", { reason });
    this.#socket.disconnect(true);
  }

  /** Stops sending; the socket is gone, or about to be. */
  close(): void {
    this.#isClosed = true;
    this.#unsubscribe();
    this.#outbox.close();
  }

  /** Frees a socket whose peer does not answer: ws would keep it for another 30 s, waiting. */
  terminate(): void {
    terminate(this.#socket.conn);
  }

  #unsubscribe(): number {
    if (this.#subscription) {
      this.#subscription.close();
      this.#subscription = undefined;
      this.#feeds.release(this.#claims.organizationId);
    }
    return ++this.#turn;
  }

  #dropSlow(): void {
    slowSockets.inc();
    this.#cut();
  }

  /** Ends the transport without a word, so that the client reconnects and resumes by `since`. */
  #cut(): void {
    this.close();
    this.#socket.conn.close(true);
    this.terminate();
  }
}
