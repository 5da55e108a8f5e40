/** A method of pino, with its arguments. */
type Log = (this: unknown, ...args: unknown[]) => void;

/**
 * Logs the error that stands behind a message, as Moleculer and we write it: pino alone drops it.
 * A hook of pino, `logMethod`.
 */
export function withError(this: unknown, args: unknown[], log: Log): void {
  const [message, err, ...rest] = args;
  if (typeof message === "string" && err instanceof Error) log.call(this, { err }, message, ...rest);
  else log.apply(this, args);
}
