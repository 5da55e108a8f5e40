import { connect, type Socket } from "node:net";
import { eventually } from "./eventually.ts";

/** A connection whose bytes a test writes itself. */
export class RawHttp {
  readonly socket: Socket;
  #heard = "";
  isClosed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk) => (this.#heard += chunk.toString("latin1")));
    socket.on("close", () => (this.isClosed = true));
    // a reset is how a refused connection may end
    socket.on("error", () => undefined);
  }

  static open(origin: string): Promise<RawHttp> {
    return new Promise((done, fail) => {
      const socket = connect(Number(new URL(origin).port), "127.0.0.1", () => done(new RawHttp(socket)));
      socket.once("error", fail);
    });
  }

  /** Begins a request: its head, and what of its body is given. */
  begin(
    method: string,
    path: string,
    headers: Record<string, string | number>,
    body: string | Buffer = "",
  ): this {
    const head = Object.entries({ Host: "localhost", ...headers }).map(
      ([name, value]) => `${name}: ${value}`,
    );
    this.socket.write(`${[`${method} ${path} HTTP/1.1`, ...head].join("\r\n")}\r\n\r\n`);
    if (body.length > 0) this.socket.write(body);
    return this;
  }

  /** One chunk of a chunked body. */
  chunk(text: string): void {
    this.socket.write(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`);
  }

  get heard(): string {
    return this.#heard;
  }

  /** The status and body of the next answer; the 100 that asks for a body is none. */
  async answer(timeoutMs = 10_000): Promise<{ status: number; body: { code?: string } }> {
    const text = await eventually(() => {
      const [, rest = ""] = /^(?:HTTP\/1\.1 100 .*?\r\n\r\n)?([^]*)$/.exec(this.#heard) ?? [];
      const length = Number(/content-length: (\d+)/i.exec(rest)?.[1] ?? NaN);
      const at = rest.indexOf("\r\n\r\n");
      const isWhole = at >= 0 && (rest.length >= at + 4 + length || rest.endsWith("\r\n0\r\n\r\n"));
      return isWhole && rest;
    }, timeoutMs);
    const [head = "", body = ""] = text.split("\r\n\r\n", 2);
    const status = Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]);
    return { status, body: (body.startsWith("{") ? JSON.parse(body) : {}) as { code?: string } };
  }

  closed = (timeoutMs = 5_000): Promise<true> => eventually(() => this.isClosed, timeoutMs);

  end(): void {
    this.socket.destroy();
  }
}
