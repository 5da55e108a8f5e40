import { appError } from "../../mixins/contract/errors.ts";
import { overloaded } from "./problem.ts";

/** Requests of one user, or one address, whose bodies are still on their way. */
const mostOfOne = 64;
/** Of all. They cost a socket and what has come of them. */
const mostTogether = 1_000;
/** What all of them together may have brought. */
const mostBytes = 128 * 1024 * 1024;
/** An upload fills a disk instead of memory, for longer. */
export const uploadWeight = 8;

/** A place among the requests whose bodies are still on their way. */
export interface UnfinishedPlace {
  /** Notes that so many bytes are held. @throws 503 OVERLOADED */
  grow(bytes: number): void;
  leave(): void;
}

/**
 * Bounds the requests whose bodies are still on their way. They are none that this process works on, so they may not
 * take the places of those it does; a client that sends slowly, or never ends, only stands in its own way.
 */
export class Unfinished {
  readonly #of = new Map<string, number>();
  #together = 0;
  #bytes = 0;

  /**
   * @param who the user, or of a stranger the network (see networkOf)
   * @param weight how many it counts as
   * @throws 429 TOO_MANY_UNFINISHED, 503 OVERLOADED
   */
  enter(who: string, weight = 1): UnfinishedPlace {
    const theirs = (this.#of.get(who) ?? 0) + weight;
    if (theirs > mostOfOne)
      throw appError(
        429,
        "TOO_MANY_UNFINISHED",
        "Too many of your requests are still on their way; finish some before you begin another.",
        { retryAfterSeconds: 1 },
      );
    if (this.#together + weight > mostTogether) throw overloaded();
    this.#of.set(who, theirs);
    this.#together += weight;
    let held = 0;
    let isIn = true;
    return {
      grow: (bytes) => {
        if (this.#bytes + bytes > mostBytes) throw overloaded();
        held += bytes;
        this.#bytes += bytes;
      },
      leave: () => {
        if (!isIn) return;
        isIn = false;
        const left = (this.#of.get(who) ?? 0) - weight;
        if (left > 0) this.#of.set(who, left);
        else this.#of.delete(who);
        this.#together -= weight;
        this.#bytes -= held;
      },
    };
  }
}
