import { pageBytes, type BoundedRows } from "../../database/statement.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import type { Changes } from "./changes.ts";
import { decodeCursor, encodeCursor, invalidCursor } from "../finding/cursor.ts";

/** A page of what belongs to one record. */
export type PageOfOne = { id: string; limit: number; cursor?: string | undefined };
/**
 * What an event says of its record. Events of leads from before they were a kind of record call it `lead`, and name in `changes`
 * the fields only, as a list. Whoever reads events that are kept reads the record by `recordSql`.
 */
interface RecordData {
  record?: Record<string, unknown>;
  lead?: Record<string, unknown>;
}
const recordOf = ({ record, lead }: RecordData) => record ?? lead;
/** As `recordOf`, in SQL over the column `data` of events. */
export const recordSql = "coalesce(data -> 'record', data -> 'lead')";

/** As SQL: events that say what a record was, or did until it was erased; others tell of what hangs on it, as of a comment. */
const ofVersions = "data ?| '{record,lead,erased}'";

type EventRow = {
  id: string;
  type: string;
  actor_id: string | null;
  occurred_at: string;
  entity_version: number;
  data: { changes?: Changes | readonly string[]; erased?: boolean } & RecordData;
  /** A bigint, as text. */
  position: string;
};

/** Greatest bigint. */
const lastPosition = "9223372036854775807";

/**
 * A page of the changes of a record, newest first. The cursor is the position of an event in the order of writing.
 * @param what the list that its cursors belong to
 * @throws 400 INVALID_CURSOR
 */
export async function pageOfEvents<Item>(
  tx: UnitOfWork,
  kind: string,
  { id, limit, cursor }: PageOfOne,
  what: string,
  view: (event: EventRow) => Item,
) {
  const bound = [what, id];
  const before = cursor === undefined ? undefined : String(decodeCursor(bound, cursor, 1)[0]);
  const { rows, isCut } = await eventsBefore(tx, kind, { id, limit: limit + 1, before }, ofVersions);
  const hasMore = rows.length > limit || isCut;
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const nextCursor = hasMore && last ? encodeCursor(bound, [last.position]) : null;
  return { data: shown.map(view), page: { nextCursor, hasMore } };
}

/**
 * Events of a record, newest first.
 * @param before a position in the order of writing, of a cursor. @param test which of them, as SQL
 * @throws 400 INVALID_CURSOR
 */
export async function eventsBefore(
  tx: UnitOfWork,
  kind: string,
  { id, limit, before = lastPosition }: { id: string; limit: number; before?: string | undefined },
  test: string,
): Promise<BoundedRows<EventRow>> {
  if (before !== lastPosition && !/^\d{1,18}$/.test(before)) throw invalidCursor();
  return tx.queryWithin<EventRow>({
    text: `SELECT id, type, actor_id, occurred_at, entity_version, data, position FROM events
      WHERE entity_id = $1 AND entity_kind = $2 AND position < $3 AND ${test} ORDER BY position DESC LIMIT $4`,
    values: [id, kind, before, limit],
    mostBytes: pageBytes,
  });
}

/** An event as a timeline shows it. */
export const timelineItem = (event: EventRow) => ({
  part: "changes",
  id: event.id,
  type: event.type,
  actorId: event.actor_id,
  occurredAt: event.occurred_at,
  entityVersion: event.entity_version,
  data: event.data,
});

export type TimelineItem =
  ReturnType<typeof timelineItem> | (Omit<ReturnType<typeof timelineItem>, "data"> & { data: unknown });

/** An event as a history of fields shows it. */
export const historyItem = (event: EventRow) => ({
  id: event.id,
  type: event.type,
  version: event.entity_version,
  actorId: event.actor_id,
  occurredAt: event.occurred_at,
  changes: Array.isArray(event.data.changes) ? {} : pairsOf((event.data.changes ?? {}) as Changes),
});

/** Older tombstones have nothing where a pair was. */
const pairsOf = (changes: Changes): Changes =>
  Object.fromEntries(
    Object.entries(changes).map(([field, [before = null, after = null]]) => [field, [before, after]]),
  );

/** What a record was at a version; undefined where that is not kept, or was erased. */
export async function recordAt(
  tx: UnitOfWork,
  kind: string,
  { id, version }: { id: string; version: number },
): Promise<Record<string, unknown> | undefined> {
  const [then] = await tx.query<Pick<EventRow, "data">>({
    text: `SELECT data FROM events WHERE entity_id = $1 AND entity_kind = $2 AND entity_version = $3 AND ${ofVersions}
      ORDER BY position DESC LIMIT 1`,
    values: [id, kind, version],
  });
  return then?.data.erased === true ? undefined : then && recordOf(then.data);
}
