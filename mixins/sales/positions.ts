import { generateKeyBetween } from "fractional-indexing";

/**
 * Places on a board, as texts whose order by code points is that of the board: between two there is always another, so that a
 * move writes one row (fractional indexing). Columns that hold them have COLLATE "C".
 */

const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** Longer ones are made anew. */
export const longestPosition = 60;

/**
 * The last place of a column, found without looking at it: places that are made so are in the order of their times.
 * @param ms since 1970
 * @param id keeps those of one millisecond apart, in the order in which they were made
 */
export function lastPosition(ms: number, id: string): string {
  const time = base62(ms, 8);
  // a key ends in no zero
  // of UUIDs of version 7 a process makes ascending ones: the end of their milliseconds, and what counts within one
  const digitsOf = id.replaceAll("-", "");
  const made = base62(Number.parseInt(digitsOf.slice(7, 12), 16), 4);
  return `h${time}${made}${base62(Number.parseInt(digitsOf.slice(13, 22), 16), 7)}V`;
}

function base62(value: number, length: number): string {
  let text = "";
  for (let rest = value; text.length < length; rest = Math.floor(rest / 62))
    text = `${digits[rest % 62]}${text}`;
  return text;
}

/** A place between two; null: nothing is there. @throws when they are not in this order */
export const positionBetween = (above: string | null, below: string | null): string =>
  generateKeyBetween(above, below);
