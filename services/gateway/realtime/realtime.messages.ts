import { z } from "zod";
import { typesInput } from "../../../mixins/feed-filter.ts";
import { fieldErrors } from "../../../mixins/service.ts";

/** What a client may send, each with an acknowledgement: see `Answer`. */
export const clientMessages = {
  /** Follow the feed: after `since`, or from now on. Replaces what was subscribed before. */
  subscribe: z.strictObject({
    since: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
    types: typesInput.optional(),
  }),
  unsubscribe: z.strictObject({}),
  /** Renew the access token: a socket ends half a minute after its token. */
  authenticate: z.strictObject({ token: z.string().min(1).max(8192) }),
};
export type ClientMessage = keyof typeof clientMessages;
export type SubscribeRequest = z.output<typeof clientMessages.subscribe>;

/** The acknowledgement of a client's message. `code` is stable, as in the REST errors. */
export type Answer = { ok: true; head?: number; gap?: true } | { ok: false; code: string; message: string };

export type EndReason = "revoked" | "expired";
/** What the server sends through `emit`; `event` goes out encoded, see organization-feed.ts. */
export interface ServerMessages {
  /** Events after `since` and before `oldest` are no longer kept. */
  gap: (gap: { since: number; oldest: number }) => void;
  /** The last message before the server ends the socket; sign in again. */
  "session.revoked": (end: { reason: EndReason }) => void;
}

/** What is wrong with a message, in one sentence. */
export const problemOf = (error: z.ZodError): string =>
  fieldErrors(error)
    .map(({ path, message }) => (path === "" ? message : `${path}: ${message}`))
    .join("; ");
