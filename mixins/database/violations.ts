import { violatedConstraint } from "../contract/errors.ts";

/** What the violation of a constraint means. */
interface Meaning<Reader> {
  error: () => Error;
  explain?: ((reader: Reader) => Promise<Error | undefined>) | undefined;
}
export type Explain<Reader> = Meaning<Reader>["explain"];

/** What violations of constraints mean in one transaction, and which of them undid it. */
export class Violations<Reader> {
  readonly #meanings = new Map<string, Meaning<Reader>>();
  #met: Meaning<Reader> | undefined;

  /** @param explain looks for a better error, such as one that names who has what is taken, once everything is undone */
  mean(constraint: string, error: () => Error, explain?: Explain<Reader>): void {
    this.#meanings.set(constraint, { error, explain });
  }

  /** What an error of PostgreSQL means; undefined where nothing is said of it. */
  errorOf(error: unknown): Error | undefined {
    this.#met = this.#meanings.get(violatedConstraint(error) ?? "");
    return this.#met?.error();
  }

  /** Looks for the better error of the violation that was met. */
  get explain(): Explain<Reader> {
    return this.#met?.explain;
  }
}
