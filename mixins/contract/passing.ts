import { errorType, sqlState } from "./errors.ts";

/** Classes of SQLSTATE that pass: connection, transaction conflict, lock, resources, operator's intervention. */
const passingStates = /^(08|40|53|55|57)/;
/** Node's words for a connection that could not be made or ended. */
const connectionLost =
  /ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|Connection terminated|timeout exceeded|not queryable/;

/** Whether the same step may well succeed later: a service, node or database that is away for now. */
export function isPassing(error: unknown): boolean {
  const { code, message, retryable } = (error ?? {}) as {
    code?: unknown;
    message?: unknown;
    retryable?: unknown;
  };
  if (retryable === true || code === 502 || code === 503 || code === 504) return true;
  const state = sqlState(error);
  if (state !== undefined) return passingStates.test(state);
  return connectionLost.test(`${String(code)} ${String(message)}`);
}

/**
 * What is told of a failure that will not pass: its message, or of one that is ours, which is logged, that it was.
 * @param what failed, for the log
 * @throws a failure that passes: to be tried again
 */
export function lastingReason(
  error: unknown,
  logger: { error(message: string, error: unknown): void },
  what: string,
): string {
  if (isPassing(error)) throw error;
  if (errorType(error) !== undefined) return (error as Error).message;
  logger.error(`${what} failed`, error);
  return "An internal error stopped it.";
}
