import { z } from "zod";
import { typesInput } from "../../../mixins/events/feed-filter.ts";
import { boundedErrors } from "../../../mixins/contract/errors.ts";
import { fieldErrors } from "../../../mixins/contract/field-errors.ts";
import type { PresenceChange } from "./presence.ts";
import type { Status } from "./presence-store.ts";

/** What a client may send, each with an acknowledgement: see `Answer`. */
export const clientMessages = {
  /** Follow the feed: after `since`, or from now on. Replaces what was subscribed before. */
  subscribe: z.strictObject({
    since: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
    types: typesInput.optional(),
  }),
  unsubscribe: z.strictObject({}),
  /** Say that this user is there, until the socket ends, or with `{}` only ask. Answers who else is. */
  presence: z.strictObject({ status: z.enum(["online", "away"]).optional() }),
  /** Say that this user writes in a record it may see; repeat it every few seconds while it does. */
  typing: z.union([
    z.strictObject({ conversationId: z.uuid(), isTyping: z.boolean() }),
    z.strictObject({
      entity: z.strictObject({
        kind: z.string().regex(/^[a-z_]{1,40}$/, "must be a kind of record such as lead"),
        id: z.uuid(),
      }),
      isTyping: z.boolean(),
    }),
  ]),
  /** Renew the access token: a socket ends half a minute after its token. */
  authenticate: z.strictObject({ token: z.string().min(1).max(8192) }),
};
export type ClientMessage = keyof typeof clientMessages;
export type SubscribeRequest = z.output<typeof clientMessages.subscribe>;
export type PresenceMessage = z.output<typeof clientMessages.presence>;
export type TypingMessage = z.output<typeof clientMessages.typing>;

/** The acknowledgement of a client's message. `code` is stable, as in the REST errors. */
export type Answer =
  | { ok: true; head?: number; gap?: true; users?: { userId: string; status: Status }[] }
  | { ok: false; code: string; message: string };

export type EndReason = "revoked" | "expired" | "suspended";
/** What the server sends through `emit`; `event` and `presence` go out encoded, once for all who get them. */
export interface ServerMessages {
  /** Events after `since` and before `oldest` are no longer kept. */
  gap: (gap: { since: number; oldest: number }) => void;
  /** Another user writes in a record, or has stopped; forget it 5 s after the last such message. */
  typing: (typing: {
    entity: { kind: string; id: string };
    conversationId?: string;
    userId: string;
    isTyping: boolean;
  }) => void;
  /** The last message before the server ends the socket; sign in again. */
  "session.revoked": (end: { reason: EndReason }) => void;
}

/** A Socket.IO packet of type 2 (EVENT) in the main namespace: see the Socket.IO protocol, revision 5. */
export const presencePacket = (users: readonly PresenceChange[]): string =>
  `2["presence",${JSON.stringify({ users })}]`;

/** What is wrong with a message, in one sentence; the first five things. */
export const problemOf = (error: z.ZodError): string =>
  boundedErrors(fieldErrors(error).slice(0, 5))
    .errors.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`))
    .join("; ");
