import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

/** `up`: from the one who connected to the server behind; `down`: the answers. */
export type Direction = "up" | "down";

const named = (directions: Direction[]): readonly Direction[] =>
  directions.length > 0 ? directions : ["up", "down"];

/**
 * A TCP proxy on the loopback in front of a port, for faults of the network: a cut connection, a slow one, one that
 * is open but silent. Faults hold for connections that are open and for new ones, until `resume`.
 */
export class TcpProxy {
  readonly port: number;
  readonly #server: Server;
  readonly #target: { host: string; port: number };
  readonly #links = new Set<[client: Socket, server: Socket]>();
  readonly #lost = new Set<Direction>();
  readonly #held: (() => void)[] = [];
  #accepted = 0;
  readonly #paused = new Set<Direction>();
  #isRefusing = false;
  #delayMs = 0;

  private constructor(server: Server, target: { host: string; port: number }) {
    this.#server = server;
    this.#target = target;
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (client) => this.#link(client));
  }

  /** Listens on a free port and forwards to `port`. */
  static async listen(port: number, host = "127.0.0.1"): Promise<TcpProxy> {
    const server = createServer({ allowHalfOpen: true });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    return new TcpProxy(server, { host, port });
  }

  /** The same URL with this proxy in place of its host and port. */
  through(url: string): string {
    const changed = new URL(url);
    changed.hostname = "127.0.0.1";
    changed.port = String(this.port);
    return changed.href;
  }

  /** Where new connections go from now on. */
  forwardTo(port: number): void {
    this.#target.port = port;
  }

  /** Connections taken since it listens. */
  get accepted(): number {
    return this.#accepted;
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#links.size;
  }

  /** Holds every byte of a direction back, in order; default both. `resume` lets them go: late, as TCP does. */
  pause(...directions: Direction[]): void {
    for (const direction of named(directions)) this.#paused.add(direction);
  }

  /** Swallows what is sent in a direction, as a network does that drops packets; default both. */
  blackhole(...directions: Direction[]): void {
    for (const direction of named(directions)) this.#lost.add(direction);
  }

  /** Delivers every byte this much later. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  /** Resets every open connection. New ones are taken. */
  cut(): void {
    for (const [client, server] of this.#links) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  /** Resets every open connection and every new one, as if nothing listened. */
  refuse(): void {
    this.#isRefusing = true;
    this.cut();
  }

  /** Ends all faults. What a black hole swallowed stays lost. */
  resume(): void {
    this.#paused.clear();
    this.#isRefusing = false;
    this.#delayMs = 0;
    this.#lost.clear();
    for (const go of this.#held.splice(0)) go();
  }

  close(): Promise<void> {
    this.resume();
    this.cut();
    return new Promise((done) => this.#server.close(() => done()));
  }

  #link(client: Socket): void {
    if (this.#isRefusing) return void client.resetAndDestroy();
    this.#accepted++;
    const server = connect({ ...this.#target, allowHalfOpen: true });
    const link: [Socket, Socket] = [client, server];
    this.#links.add(link);
    this.#forward(client, server, "up");
    this.#forward(server, client, "down");
    for (const [socket, other] of [link, [server, client]] as const) {
      socket.setNoDelay(true);
      socket.on("error", () => other.resetAndDestroy());
      socket.on("close", () => {
        // an end that a black hole swallowed leaves the other half open, to be cut
        if (other.destroyed) this.#links.delete(link);
        if (socket.errored) other.resetAndDestroy();
      });
    }
  }

  #forward(from: Socket, to: Socket, direction: Direction): void {
    from.on("data", (chunk) => this.#deliver(direction, () => void (to.writable && to.write(chunk))));
    from.on("end", () => this.#deliver(direction, () => void to.end()));
  }

  #deliver(direction: Direction, send: () => void): void {
    if (this.#lost.has(direction)) return;
    if (this.#paused.has(direction)) this.#held.push(send);
    else if (this.#delayMs > 0) setTimeout(send, this.#delayMs);
    else send();
  }
}
