import type { IncomingMessage, ServerResponse } from "node:http";
import type { ServiceBroker } from "moleculer";
import { z } from "zod";
import { appError, type FieldError } from "../../mixins/contract/errors.ts";
import { fieldError } from "../../mixins/contract/schemas.ts";
import { traceIdOf } from "../../mixins/process/trace.ts";

/** RFC 9457, with the API's stable `code`. */
export const problem = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    instance: z.string(),
    code: z.string(),
    requestId: z.string(),
    /** Of every 400 and 422: each thing that is wrong. */
    errors: z.array(fieldError).min(1).optional(),
  })
  .meta({ id: "Problem" });
export type Problem = z.output<typeof problem>;

/** Titles of problems, by status. */
export const titles: Record<number, string> = {
  400: "Bad request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not found",
  409: "Conflict",
  410: "Gone",
  412: "Precondition failed",
  413: "Content too large",
  415: "Unsupported media type",
  422: "Unprocessable content",
  429: "Too many requests",
  500: "Internal server error",
  503: "Service unavailable",
  504: "Gateway timeout",
};

/** Errors of the HTTP layer and of Moleculer, by their type or name, as the API names them. */
const foreign: Record<string, { status: number; code: string; detail: string }> = {
  "entity.parse.failed": { status: 400, code: "MALFORMED_JSON", detail: "The body is not valid JSON." },
  "entity.too.large": { status: 413, code: "BODY_TOO_LARGE", detail: "The body is larger than 1 MB." },
  "parameters.too.many": { status: 413, code: "BODY_TOO_LARGE", detail: "The form has too many fields." },
  "encoding.unsupported": {
    status: 415,
    code: "UNSUPPORTED_ENCODING",
    detail: "The body's Content-Encoding is not supported.",
  },
  "charset.unsupported": { status: 415, code: "UNSUPPORTED_CHARSET", detail: "Send JSON in UTF-8." },
  "request.size.invalid": {
    status: 400,
    code: "MALFORMED_REQUEST",
    detail: "The body is not as long as Content-Length says.",
  },
  "request.aborted": { status: 400, code: "REQUEST_ABORTED", detail: "The request was cut off." },
  ORIGIN_NOT_ALLOWED: {
    status: 403,
    code: "ORIGIN_NOT_ALLOWED",
    detail: "Pages of this origin may not call the API.",
  },
  BadRequestError: { status: 400, code: "MALFORMED_REQUEST", detail: "The URL cannot be read." },
  NotFoundError: { status: 404, code: "ROUTE_NOT_FOUND", detail: "There is no such route." },
  ServiceNotFoundError: unavailable("No node offers this now; try again."),
  ServiceNotAvailableError: unavailable("No node offers this now; try again."),
  // moleculer-web's, when this gateway has not heard of the service yet
  ServiceUnavailableError: unavailable("No node offers this now; try again."),
  BrokerDisconnectedError: unavailable("The other nodes cannot be reached now; try again."),
  // it may have been done: only the key makes a repetition of a change safe
  RequestTimeoutError: unavailable(
    "The answer took too long; repeat a change with the same Idempotency-Key.",
  ),
  RequestSkippedError: unavailable(
    "The answer took too long; repeat a change with the same Idempotency-Key.",
  ),
  RequestRejectedError: unavailable("The node was lost; repeat a change with the same Idempotency-Key."),
  GracefulStopTimeoutError: unavailable("The node is stopping; try again."),
  QueueIsFullError: unavailable("The node is busy; try again."),
};
/** For a request that load shedding refuses. It is counted, not logged. */
export const overloaded = () =>
  appError(503, "OVERLOADED", "The server has more to do than it can; try again.", { retryAfterSeconds: 1 });
function unavailable(detail: string) {
  return { status: 503, code: "SERVICE_UNAVAILABLE", detail };
}

/** What a client may know of an error. Whatever is not meant for clients becomes a bare 500. */
export function problemOf(error: unknown, instance: string, requestId: string): Problem {
  const { name, type, code, message, data } = (error ?? {}) as {
    name?: string;
    type?: unknown;
    code?: unknown;
    message?: string;
    data?: { errors?: FieldError[] };
  };
  const known = foreign[String(type)] ?? foreign[String(name)];
  const isOurs = typeof type === "string" && /^[A-Z][A-Z0-9_]+$/.test(type) && typeof code === "number";
  const said =
    known
    ?? (isOurs && code >= 400 && code !== 500
      ? { status: code, code: type, detail: message ?? "" }
      : { status: 500, code: "INTERNAL_ERROR", detail: "Something went wrong here; it has been logged." });
  return {
    type: "about:blank",
    title: titles[said.status] ?? "Error",
    status: said.status,
    detail: said.detail,
    instance,
    code: said.code,
    requestId,
    ...(said.status === 400 || said.status === 422 ? { errors: errorsOf(said, data?.errors) } : {}),
  };
}

/** What is wrong, at least as a whole. */
const errorsOf = (said: { code: string; detail: string }, errors: FieldError[] = []): FieldError[] =>
  errors.length > 0 ? errors : [{ path: "", code: said.code.toLowerCase(), message: said.detail }];

/** Ends a request with a problem; 5xx are logged with their cause. */
export function sendProblem(
  request: IncomingMessage & { originalUrl?: string; traceparent?: string },
  response: ServerResponse,
  error: unknown,
  requestId: string,
  logger: ServiceBroker["logger"],
): void {
  const instance = (request.originalUrl ?? request.url ?? "/").split("?")[0] as string;
  const problem = problemOf(error, instance, requestId);
  if (problem.status >= 500 && problem.code !== "OVERLOADED")
    // the fields first: pino drops what stands behind the message
    logger.error(
      { requestId, traceId: traceIdOf(request.traceparent), code: problem.code, err: error },
      `${request.method} ${instance} failed`,
    );
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.statusCode = problem.status;
  response.setHeader("Content-Type", "application/problem+json; charset=utf-8");
  const retryAfterSeconds = (error as { data?: { retryAfterSeconds?: number } }).data?.retryAfterSeconds;
  if (problem.status === 503 || problem.status === 429 || retryAfterSeconds !== undefined)
    response.setHeader("Retry-After", String(retryAfterSeconds ?? 1));
  if (problem.status === 401) response.setHeader("WWW-Authenticate", "Bearer");
  // the rest of a refused body would otherwise be read as the next request
  if (!request.complete) response.setHeader("Connection", "close");
  response.end(JSON.stringify(problem));
}
