/** Writes one line in `everyMs` and counts what it left out: a server that is down fails every command. */
export class ThrottledLog {
  readonly #write: (line: string) => void;
  readonly #everyMs: number;
  #silentUntil = 0;
  #leftOut = 0;

  constructor(write: (line: string) => void, everyMs = 10_000) {
    this.#write = write;
    this.#everyMs = everyMs;
  }

  warn(line: string): void {
    const now = performance.now();
    if (now < this.#silentUntil) {
      this.#leftOut++;
      return;
    }
    const more = this.#leftOut === 0 ? "" : ` (and ${this.#leftOut} more before it)`;
    this.#silentUntil = now + this.#everyMs;
    this.#leftOut = 0;
    this.#write(line + more);
  }
}
