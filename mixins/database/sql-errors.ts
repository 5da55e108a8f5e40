import { appError, conflict, invalidField, sqlState } from "../contract/errors.ts";
import { busy, isConnectionLoss, unavailable } from "./pool.ts";

/** Thrown when an idempotency key was used before; the pipeline answers with the recorded response. */
export const idempotencyUsed = "IDEMPOTENCY_KEY_USED";
/** Thrown while another request holds the key; the pipeline waits for its end. */
export const idempotencyInUse = "IDEMPOTENCY_KEY_IN_USE";

/** Whether the organization does not live in this database, or may not write for the moment; nothing was done. */
export const isRefusedAtGate = (error: unknown): boolean => sqlState(error) === "SGM01";

/** PostgreSQL found no room for what it had to write. Nothing was changed. */
const storageFull = () =>
  appError(503, "STORAGE_FULL", "The database has no space left; nothing was changed. Try again later.", {
    retryAfterSeconds: 30,
  });
/** The disk, or the system below PostgreSQL, failed at its work. */
const storageFailed = () =>
  appError(503, "STORAGE_FAILED", "The database cannot read or write its storage; try again later.", {
    retryAfterSeconds: 30,
  });

/**
 * Whether a transaction was undone only because of what others did at that moment, so that the same one may well succeed when
 * it runs again: a serialization failure, a deadlock, a lock that was not to be had, a row or a catalogue entry that changed
 * under it, or a prepared statement that a migration has made out of date (RoundTrip forgets it, see there).
 */
export function isMomentary(error: unknown): boolean {
  const state = sqlState(error) ?? "";
  return (
    ["40001", "40P01", "55P03"].includes(state)
    || isStatementOutdated(error)
    // PostgreSQL has no code of its own for it
    || (state === "XX000" && /^tuple concurrently (updated|deleted)$/.test((error as Error).message))
  );
}

/** Whether a prepared statement of the connection no longer fits its tables, or is not there. */
export const isStatementOutdated = (error: unknown): boolean =>
  sqlState(error) === "26000"
  || (sqlState(error) === "0A000" && (error as Error).message.startsWith("cached plan must not change"));

/**
 * Turns SQLSTATEs that mean something to a client into errors of ours; the rest pass as they are, and become a 500.
 *
 * Of the classes that tell of the server rather than of the statement (53, 57, 58, F0, XX; "PostgreSQL Error Codes" in its
 * documentation) a 503 is what may go well later as it is, without anybody changing the program or repairing data. So
 * these stay a 500: 53400, a limit of the configuration that the same statement meets each time; 58P01 to 58P03, files that
 * are not what they should be; XX001 and XX002, damaged data and indexes; XX000, a bug of the server; F0, its configuration.
 */
export function translate(error: unknown): unknown {
  switch (sqlState(error)) {
    case "SG409":
      return conflict(idempotencyInUse, "A request with this Idempotency-Key is still running.");
    case "SG200":
      return conflict(idempotencyUsed, "This Idempotency-Key was used before.");
    case "22021": // invalid byte sequence, such as NUL in a text
    case "22P05": // the same inside jsonb
      return invalidField("", "invalid_characters", "Text may not contain NUL characters.");
    case "57014": // cancelled, for it ran longer than its timeout
      return appError(503, "DATABASE_TIMEOUT", "The database took too long; try again.");
    case "53100":
      return storageFull();
    case "53000": // of files, sockets and the like
    case "53200": // of memory, its own or that of locks
      return busy();
    case "57000":
      return unavailable(error);
    case "58000":
    case "58030":
      return storageFailed();
    case "25006":
      return appError(503, "DATABASE_READ_ONLY", "The database takes no changes for the moment; try again.", {
        retryAfterSeconds: 10,
      });
    default:
      if (isMomentary(error)) return writeConflict();
      return isConnectionLoss(error) ? unavailable(error) : error;
  }
}

const writeConflict = () =>
  appError(503, "WRITE_CONFLICT", "Another change got in the way; try again.", { retryAfterSeconds: 1 });
