import { appError, conflict, invalidField, sqlState } from "../contract/errors.ts";
import { isConnectionLoss, unavailable } from "./pool.ts";

/** Thrown when an idempotency key was used before; the pipeline answers with the recorded response. */
export const idempotencyUsed = "IDEMPOTENCY_KEY_USED";
/** Thrown while another request holds the key; the pipeline waits for its end. */
export const idempotencyInUse = "IDEMPOTENCY_KEY_IN_USE";

/** Whether the organization does not live in this database, or may not write for the moment; nothing was done. */
export const isRefusedAtGate = (error: unknown): boolean => sqlState(error) === "SGM01";

/** Turns SQLSTATEs that mean something to a client into errors of ours; the rest pass as they are. */
export function translate(error: unknown): unknown {
  switch (sqlState(error)) {
    case "SG409":
      return conflict(idempotencyInUse, "A request with this Idempotency-Key is still running.");
    case "SG200":
      return conflict(idempotencyUsed, "This Idempotency-Key was used before.");
    case "22021": // invalid byte sequence, such as NUL in a text
    case "22P05": // the same inside jsonb
      return invalidField("", "invalid_characters", "Text may not contain NUL characters.");
    case "40001": // serialization failure
    case "40P01": // deadlock
      return appError(503, "WRITE_CONFLICT", "Another change got in the way; try again.");
    case "57014":
      return appError(503, "DATABASE_TIMEOUT", "The database took too long; try again.");
    default:
      return isConnectionLoss(error) ? unavailable() : error;
  }
}
