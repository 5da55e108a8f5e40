import type { IncomingMessage, ServerResponse } from "node:http";
import type { ServiceBroker } from "moleculer";
import { z } from "zod";
import { appError, boundedErrors, clipped, type FieldError } from "../../mixins/contract/errors.ts";
import { fieldError } from "../../mixins/contract/schemas.ts";
import { traceIdOf } from "../../mixins/process/trace.ts";
import { endEarly } from "./early-end.ts";

/** Longest path that an answer or a log line repeats. */
const mostOfPath = 200;

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
    /** Of every 400 and 422: each thing that is wrong, the first hundred. */
    errors: z.array(fieldError).min(1).optional(),
    /** How many there are, where there are more. */
    errorCount: z.number().int().optional(),
    /** Of the 410 MERGED: the record that it is part of now. */
    mergedInto: z.string().optional(),
    /** Of the 409 IN_USE: by how many records. */
    uses: z.number().int().optional(),
    /** Of the 409 CALL_OPEN: the call in hand. */
    callId: z.string().optional(),
  })
  .meta({ id: "Problem" });
export type Problem = z.output<typeof problem>;

/** What an error says besides, by its code. */
const members = new Map([
  ["MERGED", "mergedInto"],
  ["IN_USE", "uses"],
  ["CALL_OPEN", "callId"],
]);

/** Titles of problems, by status. */
export const titles: Record<number, string> = {
  400: "Bad request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not found",
  405: "Method not allowed",
  408: "Request timeout",
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
const foreign = new Map<string, { status: number; code: string; detail: string }>(
  Object.entries({
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
  }),
);
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
    data?: { errors?: FieldError[]; errorCount?: number } & Record<string, unknown>;
  };
  const known = foreign.get(String(type)) ?? foreign.get(String(name));
  const isOurs = typeof type === "string" && /^[A-Z][A-Z0-9_]+$/.test(type) && typeof code === "number";
  const said =
    known
    ?? (isOurs && code >= 400 && code !== 500
      ? { status: code, code: type, detail: message ?? "" }
      : { status: 500, code: "INTERNAL_ERROR", detail: "Something went wrong here; it has been logged." });
  const detail = clipped(said.detail);
  const member = members.get(said.code);
  return {
    type: "about:blank",
    title: titles[said.status] ?? "Error",
    status: said.status,
    detail,
    instance: clipped(instance, mostOfPath),
    code: said.code,
    requestId,
    ...(member !== undefined && data?.[member] !== undefined ? { [member]: data[member] } : {}),
    ...(said.status === 400 || said.status === 422 ? errorsOf(data ?? {}, said.code, detail) : {}),
  };
}

/** What is wrong, one by one; where nobody said more than the problem itself, that. */
function errorsOf(
  { errors = [], errorCount }: { errors?: FieldError[]; errorCount?: number },
  code: string,
  message: string,
): Pick<Problem, "errors" | "errorCount"> {
  if (errors.length === 0) return { errors: [{ path: "", code: code.toLowerCase(), message }] };
  const bounded = boundedErrors(errors);
  const count = errorCount ?? bounded.errorCount;
  return {
    errors: bounded.errors,
    ...(count === undefined ? {} : { errorCount: count }),
  };
}

/** A request as a problem needs it; `problemCode` is noted on it for the request log. */
interface Refused extends IncomingMessage {
  originalUrl?: string;
  traceparent?: string;
  problemCode?: string;
}

/** Ends a request with a problem; 5xx are logged with their cause. */
export function sendProblem(
  request: Refused,
  response: ServerResponse,
  error: unknown,
  requestId: string,
  logger: ServiceBroker["logger"],
): void {
  const path = (request.originalUrl ?? request.url ?? "/").split("?")[0] as string;
  const problem = problemOf(error, path, requestId);
  request.problemCode = problem.code;
  if (problem.status >= 500 && problem.code !== "OVERLOADED")
    // the fields first: pino drops what stands behind the message
    logger.error(
      { requestId, traceId: traceIdOf(request.traceparent), code: problem.code, err: error },
      `${request.method} ${problem.instance} failed`,
    );
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.statusCode = problem.status;
  response.setHeader("Content-Type", "application/problem+json; charset=utf-8");
  const { retryAfterSeconds, allow } =
    (error as { data?: { retryAfterSeconds?: number; allow?: string[] } }).data ?? {};
  if (problem.status === 503 || problem.status === 429 || retryAfterSeconds !== undefined)
    response.setHeader("Retry-After", String(retryAfterSeconds ?? 1));
  if (problem.status === 401) response.setHeader("WWW-Authenticate", "Bearer");
  if (problem.status === 405 && allow) response.setHeader("Allow", allow.join(", "));
  endEarly(request, response, JSON.stringify(problem));
}
