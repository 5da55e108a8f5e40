import type { IncomingMessage, ServerResponse } from "node:http";

/** Bytes of a refused body that are still taken, so that its sender gets to read the answer. */
const mostDiscarded = 256 * 1024;
/** How long. */
const patienceMs = 1_000;

/**
 * Ends an answer whose request may still be coming. A connection that is closed while bytes arrive is reset, and the
 * answer lost with it: so the rest is taken and dropped, up to a bound, before the connection is closed.
 */
export function endEarly(request: IncomingMessage, response: ServerResponse, body: string): void {
  if (request.complete || request.destroyed) {
    response.end(body);
    return;
  }
  response.setHeader("Connection", "close");
  response.setHeader("Content-Length", Buffer.byteLength(body));
  // all that the client waits for; `end` would close at once
  if (request.method === "HEAD") response.flushHeaders();
  else response.write(body);
  discard(request, () => response.end());
}

/** Takes and drops what comes of a request, until it ends or that is enough; then stops taking. */
export function discard(request: IncomingMessage, done: () => void = () => undefined): void {
  let left = mostDiscarded;
  const take = (chunk: Buffer) => {
    left -= chunk.length;
    if (left <= 0) finish();
  };
  const finish = () => {
    clearTimeout(timer);
    request.off("data", take).off("end", finish).off("close", finish);
    request.pause();
    done();
  };
  const timer = setTimeout(finish, patienceMs);
  request.on("data", take).on("end", finish).on("close", finish);
  request.resume();
}
