/** The part of an Engine.IO socket that is written to. */
export interface Wire {
  /** @param onSent called when the message has left the process; never, if the socket closes first */
  send(message: string, options: { compress: boolean }, onSent: () => void): unknown;
}

/** More than this unsent when the next events come: the reader is too slow. In bytes, about. */
const mostPending = 1_048_576;
/** A replay goes on when no more than this is unsent. */
const lowWater = 65_536;
/** What a waiting message costs beyond its text. */
const overhead = 200;
const options = { compress: false };

/** Counts what a socket has been given and has not sent yet, so that a slow reader costs bounded memory. */
export class Outbox {
  readonly #wire: Wire;
  #pending = 0;
  #resume: (() => void) | undefined;
  #isClosed = false;

  constructor(wire: Wire) {
    this.#wire = wire;
  }

  /** Whether the reader is so far behind that it must go. One batch more than the bound may be waiting. */
  get isOverfull(): boolean {
    return this.#pending > mostPending;
  }

  send(messages: readonly string[]): void {
    const last = messages.length - 1;
    let size = 0;
    for (const message of messages) size += message.length + overhead;
    this.#pending += size;
    messages.forEach((message, index) => {
      this.#wire.send(message, options, index === last ? () => this.#sent(size) : ignore);
    });
  }

  /** Resolves when the reader has taken most of what it was sent, or is gone. One caller at a time. */
  drained(): Promise<void> {
    if (this.#isClosed || this.#pending <= lowWater) return Promise.resolve();
    return new Promise((resume) => (this.#resume = resume));
  }

  close(): void {
    this.#isClosed = true;
    this.#resume?.();
  }

  #sent(size: number): void {
    this.#pending -= size;
    if (this.#pending <= lowWater) this.#resume?.();
  }
}

const ignore = () => undefined;
