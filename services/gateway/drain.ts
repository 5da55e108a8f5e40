import type { Server, ServerResponse } from "node:http";
import { Server as NetServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** Longest that requests in flight are waited for. */
const patienceMs = 20_000;

/** Lets a HTTP server end without failing a request. */
export class Drain {
  readonly #server: Server;
  readonly #inFlight = new Set<ServerResponse>();
  #isDraining = false;

  constructor(server: Server) {
    this.#server = server;
  }

  /** Must see the answer to every request begin, and end (`left`). */
  entered(response: ServerResponse): void {
    if (this.#isDraining) response.setHeader("Connection", "close");
    this.#inFlight.add(response);
  }

  left(response: ServerResponse): void {
    this.#inFlight.delete(response);
  }

  /**
   * Takes no new connection, asks for the end of each open one with its next answer, and finishes what is in flight.
   * @param idleMs how long an idle connection may still bring a request: a proxy may be writing one at this moment, and
   *   closing now would fail it. Longer than the proxy keeps idle connections, nothing can fail.
   */
  async drain(idleMs: number): Promise<void> {
    const start = performance.now();
    const elapsedMs = () => performance.now() - start;
    this.#isDraining = true;
    for (const response of this.#inFlight)
      if (!response.headersSent) response.setHeader("Connection", "close");
    // http's own close() ends idle connections at once
    NetServer.prototype.close.call(this.#server);
    while (elapsedMs() < patienceMs) {
      if (elapsedMs() >= idleMs) this.#server.closeIdleConnections();
      if (this.#inFlight.size === 0 && (elapsedMs() >= idleMs || (await this.#connections()) === 0)) break;
      await sleep(20);
    }
    this.#server.closeAllConnections();
  }

  #connections(): Promise<number> {
    return new Promise((done) => this.#server.getConnections((_error, count) => done(count)));
  }
}
