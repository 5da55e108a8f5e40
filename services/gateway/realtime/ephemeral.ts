import { can, sightOf } from "../../../mixins/access/principal.ts";
import { appError } from "../../../mixins/contract/errors.ts";
import { kinds } from "../../../mixins/records/kind/kinds.ts";
import type { Connection } from "./connection.ts";
import { messageLimit } from "./message-limit.ts";
import { OrganizationPresence, refreshMs, type PresenceChange } from "./presence.ts";
import type { PresenceStore } from "./presence-store.ts";
import {
  presencePacket,
  type Answer,
  type PresenceMessage,
  type TypingMessage,
} from "./realtime.messages.ts";
import type { FindRecord } from "./records.ts";

/** Typing and presence messages of one organization at one gateway in a second. */
const mostOfOrganization = 500;

/** Parts of a round of refreshing: thousands of organizations at once would hold up everything else. */
const slices = 40;

interface Organization {
  /** In which part of the round its turn is. */
  slice: number;
  connections: Set<Connection>;
  presence: OrganizationPresence;
  isTooMany: () => boolean;
}

/** In the place of a kind: the rooms of who may read every kind. They are few, however many kinds there are. */
const everyKind = "*";
/** Those of the organization who may see every record of a kind. */
const kindRoom = (organizationId: string, kind: string) => `org:${organizationId}:${kind}`;
/** Those who see the records of a kind assigned to this user, but not all; null: those that are unassigned. */
const assigneeRoom = (organizationId: string, kind: string, userId: string | null) =>
  `${kindRoom(organizationId, kind)}:${userId}`;

/** Presence and typing: what sockets tell each other and nobody keeps. */
export class Ephemeral {
  readonly #store: PresenceStore;
  readonly #findRecord: FindRecord;
  readonly #hint: (organizationId: string) => void;
  readonly #onError: (error: Error) => void;
  readonly #organizations = new Map<string, Organization>();
  readonly #refresh: NodeJS.Timeout;
  #opened = 0;

  /** @param options.hint tells the other gateways that the presence of an organization has changed */
  constructor(options: {
    store: PresenceStore;
    findRecord: FindRecord;
    hint: (organizationId: string) => void;
    onError: (error: Error) => void;
  }) {
    this.#store = options.store;
    this.#findRecord = options.findRecord;
    this.#hint = options.hint;
    this.#onError = options.onError;
    let ticks = 0;
    this.#refresh = setInterval(() => {
      // one where nobody is there is looked at seldom, only in case a hint was lost
      const isLongRound = Math.floor(ticks / slices) % 6 === 0;
      const slice = ticks++ % slices;
      for (const organization of this.#organizations.values())
        if (organization.slice === slice && (isLongRound || !organization.presence.isEmpty))
          organization.presence.refresh().catch(this.#onError);
    }, refreshMs / slices).unref();
  }

  enter(connection: Connection): void {
    const { organizationId } = connection.claims;
    let organization = this.#organizations.get(organizationId);
    if (!organization) {
      organization = this.#open(organizationId);
      this.#organizations.set(organizationId, organization);
    }
    organization.connections.add(connection);
    this.place(connection);
  }

  /** Puts the socket into the rooms its rights open; again when they have changed. */
  place({ principal, socket }: Connection): void {
    const rooms = new Set<string>();
    const { organizationId } = principal;
    const sight = sightOf(principal);
    const readable = [...kinds.values()].filter(({ plural }) => can(principal, `${plural}:read`));
    for (const kind of readable.length === kinds.size ? [everyKind] : readable.map(({ name }) => name)) {
      if (sight === "all") rooms.add(kindRoom(organizationId, kind));
      else
        for (const assignee of [...sight.assignees, ...(sight.unassigned ? [null] : [])])
          rooms.add(assigneeRoom(organizationId, kind, assignee));
    }
    for (const room of socket.rooms) if (room !== socket.id && !rooms.has(room)) void socket.leave(room);
    void socket.join([...rooms].filter((room) => !socket.rooms.has(room)));
  }

  leave(connection: Connection): void {
    const { organizationId, userId } = connection.claims;
    const organization = this.#organizations.get(organizationId);
    if (!organization?.connections.delete(connection)) return;
    const { connections, presence } = organization;
    const isTold = presence.remove(connection, userId) ? presence.exchange() : Promise.resolve();
    isTold
      .then(() => {
        if (connections.size === 0 && this.#organizations.get(organizationId) === organization)
          this.#organizations.delete(organizationId);
      })
      .catch(this.#onError);
  }

  /** @throws 403 FORBIDDEN, 429 RATE_LIMITED */
  async presence(connection: Connection, { status }: PresenceMessage): Promise<Answer> {
    const { presence } = this.#admit(connection);
    if (status !== undefined) presence.set(connection, connection.claims.userId, status);
    await presence.exchange();
    if (!maySeePresence(connection)) return { ok: true };
    return { ok: true, users: [...presence.roster].map(([userId, status]) => ({ userId, status })) };
  }

  /** Sends it to the others who may see the record. @throws 404 when the sender may not, 429 RATE_LIMITED */
  async typing(connection: Connection, message: TypingMessage): Promise<Answer> {
    this.#admit(connection);
    const { claims, socket } = connection;
    const isConversation = "conversationId" in message;
    const entity = isConversation ? { kind: "conversation", id: message.conversationId } : message.entity;
    const { assignedTo } = await this.#findRecord(claims, entity.kind, entity.id);
    const typing = {
      entity,
      ...(isConversation ? { conversationId: entity.id } : {}),
      userId: claims.userId,
      isTyping: message.isTyping,
    };
    const { organizationId } = claims;
    for (const kind of [entity.kind, everyKind])
      for (const room of [kindRoom(organizationId, kind), assigneeRoom(organizationId, kind, assignedTo)])
        // a room each, because only then it goes through that room's own channel; a reader that is not ready for it does without: the
        // next one comes in a few seconds
        socket.volatile.to(room).emit("typing", typing);
    return { ok: true };
  }

  /** Hears that the presence of an organization has changed at another gateway. */
  onHint(organizationId: string): void {
    this.#organizations.get(organizationId)?.presence.exchange().catch(this.#onError);
  }

  /** Resolves when what the ended sockets said is taken back, or could not be. */
  async close(): Promise<void> {
    clearInterval(this.#refresh);
    await Promise.all([...this.#organizations.values()].map(({ presence }) => presence.exchange()));
  }

  #admit(connection: Connection): Organization {
    const organization = this.#organizations.get(connection.claims.organizationId);
    if (!organization?.connections.has(connection))
      throw appError(409, "CONNECTION_ENDED", "The connection has ended.");
    if (organization.isTooMany())
      throw appError(
        429,
        "RATE_LIMITED",
        "Your organization sends too many messages; try again in a second.",
      );
    return organization;
  }

  #open(organizationId: string): Organization {
    const connections = new Set<Connection>();
    const tell = (changes: PresenceChange[], isOurs: boolean) => {
      if (isOurs) this.#hint(organizationId);
      if (changes.length === 0) return;
      const packet = presencePacket(changes);
      const [only] = changes.length === 1 ? changes : [];
      for (const connection of connections)
        if (maySeePresence(connection) && connection.claims.userId !== only?.userId) connection.push(packet);
    };
    const presence = new OrganizationPresence(organizationId, this.#store, tell);
    const slice = this.#opened++ % slices;
    return { slice, connections, presence, isTooMany: messageLimit(mostOfOrganization) };
  }
}

const maySeePresence = ({ principal }: Connection): boolean => can(principal, "users:read");
