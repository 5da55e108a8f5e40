import { createServer, STATUS_CODES, type RequestListener, type Server } from "node:http";
import type { Socket } from "node:net";

/** Longest that a request's head may take to come. */
const headersTimeoutMs = 15_000;
/**
 * Longest that a request may take to come: an upload of 200 MB at 57 kB/s. Other bodies have less (body.ts), and an
 * upload that pauses too (upload.ts).
 */
const requestTimeoutMs = 3_600_000;
/** How late these are noticed at most. */
const checkEveryMs = 5_000;
/** Longer than the 60 s proxies keep idle connections, so that it is never us who closes one in use. */
const keepAliveTimeoutMs = 65_000;

/** The gateway's HTTP server: what it waits for, and how long. */
export function createHttpServer(handle: RequestListener): Server {
  const server = createServer(
    {
      headersTimeout: headersTimeoutMs,
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: checkEveryMs,
      keepAliveTimeout: keepAliveTimeoutMs,
    },
    handle,
  );
  // who waits to be asked for a body is asked once it is known who it is: see beginBody
  server.on("checkContinue", handle);
  server.on("clientError", (error: Error & { code?: string }, socket: Socket & { _httpMessage?: Answer }) => {
    const answered = socket._httpMessage?.headersSent ?? false;
    if (socket.writable && error.code !== "ECONNRESET" && !answered) socket.write(refusalOf(error.code));
    socket.destroySoon();
  });
  return server;
}
interface Answer {
  headersSent: boolean;
}

const reasons: Record<string, { status: number; code: string; detail: string }> = {
  HPE_HEADER_OVERFLOW: { status: 431, code: "HEADERS_TOO_LARGE", detail: "The headers are too large." },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    code: "REQUEST_TIMEOUT",
    detail: "The request took too long to come.",
  },
};
const malformed = {
  status: 400,
  code: "MALFORMED_REQUEST",
  detail: "The request cannot be read as HTTP/1.1.",
};

/** The answer to what was never a request: a problem without a requestId, for nothing was begun. */
function refusalOf(reason: string | undefined): string {
  const { status, code, detail } = reasons[reason ?? ""] ?? malformed;
  const title = STATUS_CODES[status] ?? "";
  const errors = status === 400 ? { errors: [{ path: "", code: "malformed", message: detail }] } : {};
  const said = { type: "about:blank", title, status, detail, instance: "/", code, requestId: "", ...errors };
  const body = JSON.stringify(said);
  return [
    `HTTP/1.1 ${status} ${title}`,
    "Content-Type: application/problem+json; charset=utf-8",
    "X-Content-Type-Options: nosniff",
    "Cache-Control: no-store",
    "Connection: close",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "",
    body,
  ].join("\r\n");
}
