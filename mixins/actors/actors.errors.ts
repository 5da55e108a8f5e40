import { appError } from "../contract/errors.ts";

export const actorBusy = () =>
  appError(429, "ACTOR_BUSY", "Too many messages wait for this; try again shortly.", {
    retryAfterSeconds: 1,
  });
/** The message was not applied, or its sender cannot know; sent again with its messageId it is applied at most once. */
export const actorUnavailable = (why: string) =>
  appError(503, "ACTOR_UNAVAILABLE", `The actor did not answer in time: ${why}.`);
export const messageExpired = () =>
  appError(503, "MESSAGE_EXPIRED", "The message waited too long for its turn and was not applied.");
export const unknownMessage = (kind: string, message: string) =>
  appError(
    500,
    "UNKNOWN_MESSAGE",
    `${kind} answers no message ${message}; is a node of an older version running?`,
  );
export const sentInsideTransaction = (kind: string) =>
  appError(
    500,
    "SENT_INSIDE_TRANSACTION",
    `A message to ${kind} was sent while the sender's transaction holds a connection: send it before the first statement.`,
  );
