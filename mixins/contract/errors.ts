import { Errors } from "moleculer";

/** One problem of a request: the path of the field ("items.3.email"), a stable code, a sentence. */
export interface FieldError {
  path: string;
  code: string;
  message: string;
  /** What may stand there, where that is a short list. */
  allowed?: readonly string[];
}

/** Longest texts that an error repeats of a request, and most problems it names. */
const most = { errors: 100, path: 200, message: 500 };

/** A text of somebody else's as an error may repeat it: cut, and well-formed. */
export const clipped = (text: string, length: number = most.message): string =>
  (text.length > length ? `${text.slice(0, length)}…` : text).toWellFormed();

/** The first hundred of these problems, cut to a bounded size, and how many there are in all where there are more. */
export function boundedErrors(errors: readonly FieldError[]): { errors: FieldError[]; errorCount?: number } {
  const named = errors.slice(0, most.errors).map(({ path, message, ...rest }) => ({
    ...{ path: clipped(path, most.path), code: rest.code, message: clipped(message) },
    ...(rest.allowed === undefined ? {} : { allowed: rest.allowed }),
  }));
  return { errors: named, ...(errors.length > named.length ? { errorCount: errors.length } : {}) };
}

/**
 * An error a client may see. `code` is the HTTP status, `type` is stable and public (`LEAD_NOT_FOUND`).
 * Another node receives it as a plain Error with the same fields: branch on `type`, never on the class.
 */
export function appError(code: number, type: string, message: string, data?: Record<string, unknown>) {
  return new Errors.MoleculerError(message, code, type, data);
}

export const badRequest = (type: string, message: string) => appError(400, type, message);
/** Something is wrong with a query string. A filter and a cursor have codes of their own. */
export function badQuery(errors: FieldError[]) {
  const isAbout = (...parameters: string[]) =>
    errors.every(({ path }) => parameters.includes(path.split(".")[0] as string));
  if (isAbout("filter", "where"))
    return appError(400, "INVALID_FILTER", "The filter is not valid; see errors.", boundedErrors(errors));
  if (isAbout("cursor"))
    return appError(400, "INVALID_CURSOR", "The cursor is not one of this list in this order; see errors.", {
      errors,
    });
  return appError(400, "INVALID_QUERY", "The query string is not valid; see errors.", boundedErrors(errors));
}
export const unauthorized = (type: string, message: string) => appError(401, type, message);
export const forbidden = (permission: string) =>
  appError(403, "FORBIDDEN", `This needs the permission ${permission}.`);
export const conflict = (type: string, message: string) => appError(409, type, message);
export const invalid = (errors: FieldError[]) =>
  appError(422, "VALIDATION_FAILED", "The request is not valid; see errors.", boundedErrors(errors));
export const invalidField = (path: string, code: string, message: string) =>
  invalid([{ path, code, message }]);
export const versionMismatch = (current: number) =>
  appError(412, "VERSION_MISMATCH", `The resource has changed; its version is now ${current}.`, {
    version: current,
  });

export const badQueryField = (path: string, code: string, message: string) =>
  badQuery([{ path, code, message }]);

/** The public `type` of any error, also of one that crossed the network; undefined for a foreign error. */
export function errorType(error: unknown): string | undefined {
  return error instanceof Error && "type" in error && typeof error.type === "string" ? error.type : undefined;
}
/** SQLSTATE of a PostgreSQL error, also when MikroORM wrapped it. */
export function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" && /^[0-9A-Z]{5}$/.test(error.code) ? error.code : undefined;
}
/** Name of the constraint a PostgreSQL error is about. */
export function violatedConstraint(error: unknown): string | undefined {
  return error instanceof Error && "constraint" in error && typeof error.constraint === "string"
    ? error.constraint
    : undefined;
}
/** Why something failed, also where the message is empty: of several addresses that were tried, the first one's. */
export function reasonOf(error: unknown): string {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  const { message, code } = (first ?? {}) as { message?: string; code?: unknown };
  return message || String(code ?? first);
}
