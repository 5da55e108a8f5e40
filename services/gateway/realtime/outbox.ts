/** The part of an Engine.IO socket that is written to. */
export interface Wire {
  /** @param onSent called when the message has left the process; never, if the socket closes first */
  send(message: string, options: { compress: boolean }, onSent: () => void): unknown;
}

/** More than this unsent when the next events come: the reader is too slow. In bytes, about. */
const mostPending = 1_048_576;
/** As `mostPending`, of all sockets of an organization in this process together. */
const mostPendingOfOrganization = 64 * 1_048_576;
/** A replay goes on when no more than this is unsent. */
const lowWater = 65_536;
/** What a waiting message costs beyond its text. */
const overhead = 200;
const options = { compress: false };

/** What the sockets of one organization have been given and not sent yet, together. */
export interface SharedPending {
  size: number;
}

/** Counts what a socket has been given and has not sent yet, so that slow readers, one or many, cost bounded memory. */
export class Outbox {
  readonly #wire: Wire;
  readonly #shared: SharedPending;
  #pending = 0;
  #resume: (() => void) | undefined;
  #isClosed = false;

  /** @param shared with the organization's other sockets */
  constructor(wire: Wire, shared: SharedPending) {
    this.#wire = wire;
    this.#shared = shared;
  }

  /**
   * Whether the reader is so far behind that it must go: by itself, or as one of many that are behind. One batch more than the
   * bound may be waiting.
   */
  get isOverfull(): boolean {
    return this.#pending > mostPending || (this.#pending > 0 && this.isCrowded);
  }

  /** Whether so much waits for the organization's sockets that none may begin to replay. */
  get isCrowded(): boolean {
    return this.#shared.size > mostPendingOfOrganization;
  }

  send(messages: readonly string[]): void {
    if (this.#isClosed) return;
    const last = messages.length - 1;
    let size = 0;
    for (const message of messages) size += message.length + overhead;
    this.#pending += size;
    this.#shared.size += size;
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
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#shared.size -= this.#pending;
    this.#resume?.();
  }

  #sent(size: number): void {
    if (this.#isClosed) return;
    this.#pending -= size;
    this.#shared.size -= size;
    if (this.#pending <= lowWater) this.#resume?.();
  }
}

const ignore = () => undefined;
