import type { Part } from "../kind/parts.ts";

/** More records that refer to the losers would make the transaction too long. */
export const mostRelated = 5_000;

/** A record whose reference a merge has moved. */
export interface Moved {
  table: string;
  /** A column, a field that is a list of parts, or `customFields.<key>`. */
  column: string;
  id: string;
  from: string;
  /** Of a list of parts: the part as it was, whether it was the first, and the winner's where the list had one already. */
  part?: Part;
  wasFirst?: boolean;
  other?: Part;
}

/** What is moved, and by whom. */
export interface Moving {
  from: readonly string[];
  to: string;
  actorId: string | null;
}
