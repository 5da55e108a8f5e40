import type { ServerResponse } from "node:http";
import type { Env } from "../../mixins/process/env.ts";
import { traceIdOf } from "../../mixins/process/trace.ts";
import type { GatewayRequest } from "./api-route.ts";

/** One in so many of those that are not logged for their own sake. */
const sampleOf = 100;
/** From here on a request is worth a line by itself. */
const slowMs = 1_000;

/** What a line of the request log says. Neither query strings nor headers nor bodies are in it: they may hold secrets. */
export interface RequestLine {
  method: string;
  /** Its pattern, `/api/v1/leads/:id`, also where the method does not work there; null where there is none. */
  route: string | null;
  status: number;
  ms: number;
  /** Of the answer, its head included. */
  bytes: number;
  requestId: string;
  traceId: string | undefined;
  organizationId?: string;
  userId?: string;
  address: string;
  /** Of a problem. */
  code?: string;
  /** True when the client left before the answer was complete. */
  aborted?: true;
}

/** Whether a request gets a line: by setting, outcome and time. */
export function isLogged(
  setting: Env["REQUEST_LOG"],
  { status, ms }: Pick<RequestLine, "status" | "ms">,
  random = Math.random(),
): boolean {
  if (setting === "off") return false;
  if (setting === "all") return true;
  // a flood that limits and load shedding refuse must not become a flood of lines
  const isRefusedByLimit = status === 429 || status === 503;
  const isNotable = (status >= 400 && !isRefusedByLimit) || ms >= slowMs;
  if (isNotable) return true;
  return (setting === "sampled" || isRefusedByLimit) && random < 1 / sampleOf;
}

/**
 * Writes lines of requests as `setting` says.
 * @param patternOf the pattern of a path, for requests that were refused before their route was looked for
 * @param write one line
 */
export class RequestLog {
  readonly #setting: Env["REQUEST_LOG"];
  readonly #patternOf: (path: string) => string | undefined;
  readonly #write: (line: RequestLine) => void;

  constructor(
    setting: Env["REQUEST_LOG"],
    patternOf: (path: string) => string | undefined,
    write: (line: RequestLine) => void,
  ) {
    this.#setting = setting;
    this.#patternOf = patternOf;
    this.#write = write;
  }

  /** Notes the beginning of a request; answers what to call at its end. */
  begin(request: GatewayRequest, response: ServerResponse): (() => void) | undefined {
    if (this.#setting === "off") return undefined;
    const { socket, url = "" } = request;
    const start = performance.now();
    const bytesBefore = socket.bytesWritten;
    return () => {
      const ms = Math.round((performance.now() - start) * 10) / 10;
      const status = response.statusCode;
      if (!isLogged(this.#setting, { status, ms })) return;
      const { organizationId, userId } = request.$ctx?.meta ?? {};
      this.#write({
        method: request.method ?? "",
        route: request.$alias?.fullPath ?? this.#patternOf(url.split("?")[0] as string) ?? null,
        status,
        ms,
        bytes: socket.bytesWritten - bytesBefore,
        requestId: request.requestId,
        traceId: traceIdOf(request.traceparent),
        ...(organizationId === undefined ? {} : { organizationId }),
        ...(userId === undefined ? {} : { userId }),
        address: request.clientAddress,
        ...(request.problemCode === undefined ? {} : { code: request.problemCode }),
        ...(response.writableFinished ? {} : { aborted: true }),
      });
    };
  }
}
