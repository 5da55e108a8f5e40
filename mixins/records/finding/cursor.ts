import { hash } from "node:crypto";
import { badQuery } from "../../contract/errors.ts";

type Part = string | number | null;

/**
 * A cursor: where a page ends, and a mark of what was asked.
 * @param bound what the cursor holds for, as JSON: another list, filter or order must not go on from it
 */
export const encodeCursor = (bound: unknown, place: readonly Part[]): string =>
  Buffer.from(JSON.stringify([markOf(bound), ...place])).toString("base64url");

/** Whether a cursor was made for `bound`. */
export function isCursorOf(bound: unknown, cursor: string): boolean {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
    return Array.isArray(parsed) && parsed[0] === markOf(bound);
  } catch {
    return false;
  }
}

/** The `size` parts of a cursor's place. @throws 400 INVALID_CURSOR when it was not made for `bound` */
export function decodeCursor(bound: unknown, cursor: string, size: number): Part[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
  } catch {
    throw invalidCursor();
  }
  if (!Array.isArray(parsed) || parsed.length !== size + 1) throw invalidCursor();
  const [mark, ...place] = parsed as unknown[];
  if (mark !== markOf(bound) || !place.every(isPart)) throw invalidCursor();
  return place;
}

/** Of a cursor of another list, filter or order, and of one that is none. */
export const invalidCursor = () =>
  badQuery([
    {
      path: "cursor",
      code: "invalid_cursor",
      message: "is not a nextCursor of this list with this filter in this order",
    },
  ]);

const isPart = (value: unknown): value is Part =>
  value === null || typeof value === "string" || typeof value === "number";

/** Short: it keeps nobody out, but a mistake from going unnoticed. */
const markOf = (bound: unknown): string => hash("sha256", canonical(bound), "base64url").slice(0, 12);

/** JSON with sorted keys: the order of a filter's fields means nothing. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_key, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
