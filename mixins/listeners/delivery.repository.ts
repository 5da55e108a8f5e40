import { sequencedEvent, type EventRow, type SequencedEvent } from "../events/feed.ts";
import { pageBytes } from "../database/statement.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";
import { conflict } from "../contract/errors.ts";

/** How far a listener is in an organization's feed. */
export interface Cursor {
  /** Everything up to here was handled, or is held. */
  seq: number;
  /** There are events for it up to here. */
  target: number;
  /** Changes when a hold ends. */
  revision: number;
}

const eventColumns = `e.organization_id, e.seq, e.id, e.type, e.entity_kind, e.entity_id, e.entity_version,
  e.actor_id, e.occurred_at, e.data, e.audience`;
const isHeard = `($2::text[] IS NULL OR e.type = ANY ($2))`;
/** As a parameter: null hears all. */
const typesOf = (on: readonly string[]) => (on.includes("*") ? null : on);

/**
 * The next events for a listener, in order, and the entities it holds; undefined before its first event. There are no further ones
 * up to the target unless `hasMore`.
 */
export async function readAhead(
  tx: UnitOfWork,
  listener: { name: string; on: readonly string[] },
  most: number,
): Promise<{ cursor: Cursor; events: SequencedEvent[]; hasMore: boolean; held: Set<string> } | undefined> {
  const [[cursor], { rows, isCut }, holds] = await Promise.all([
    tx.query<{ seq: string; target: string; revision: number }>({
      name: "listener_cursor",
      text: "SELECT seq, target, revision FROM listener_cursors WHERE listener = $1",
      values: [listener.name],
    }),
    tx.queryWithin<EventRow>({
      name: "listener_events",
      text: `SELECT ${eventColumns} FROM listener_cursors c JOIN events e ON e.seq > c.seq AND e.seq <= c.target
        WHERE c.listener = $1 AND ${isHeard} ORDER BY e.seq LIMIT $3`,
      values: [listener.name, typesOf(listener.on), most],
      mostBytes: pageBytes,
    }),
    tx.query<{ entity_id: string }>({
      name: "listener_holds",
      text: "SELECT entity_id FROM listener_holds WHERE listener = $1",
      values: [listener.name],
    }),
  ]);
  if (!cursor) return undefined;
  const target = Number(cursor.target);
  // the second statement may have seen a later target
  const events = rows.map(sequencedEvent).filter(({ seq }) => seq <= target);
  return {
    cursor: { seq: Number(cursor.seq), target, revision: cursor.revision },
    events,
    hasMore: events.length === rows.length && (isCut || rows.length === most),
    held: new Set(holds.map((row) => row.entity_id)),
  };
}

/** Type of the error when somebody else has moved a cursor: nothing of the transaction may stand. */
export const cursorMoved = "LISTENER_CURSOR_MOVED";

/**
 * Moves a listener on to `seq`.
 * @param options.isScheduled whether a job stays under way for it; default: if there is more
 * @throws cursorMoved
 */
export async function advance(
  tx: UnitOfWork,
  listener: string,
  from: Cursor,
  seq: number,
  options: { isScheduled?: boolean } = {},
): Promise<{ hasMore: boolean }> {
  const [row] = await tx.query<{ has_more: boolean }>({
    name: "listener_advance",
    text: `UPDATE listener_cursors SET seq = $4, is_scheduled = $5 OR target > $4
      WHERE listener = $1 AND seq = $2 AND revision = $3 RETURNING target > $4 AS has_more`,
    values: [listener, from.seq, from.revision, seq, options.isScheduled ?? false],
  });
  if (!row) throw conflict(cursorMoved, "Another run has moved this listener's cursor.");
  return { hasMore: row.has_more };
}

/** Says that a listener waits with this entity from `seq` on. */
export function hold(tx: UnitOfWork, listener: string, entityId: string, seq: number): void {
  tx.defer({
    text: "INSERT INTO listener_holds (organization_id, listener, entity_id, seq) VALUES ($1, $2, $3, $4)",
    values: [tx.organizationId, listener, entityId, seq],
  });
}

/** The first event of a held entity that waits, or none; undefined when the entity is not held. */
export async function nextHeld(
  tx: UnitOfWork,
  listener: { name: string; on: readonly string[] },
  entityId: string,
): Promise<{ from: number; event: SequencedEvent | undefined } | undefined> {
  const [[held], rows] = await Promise.all([
    tx.query<{ seq: string }>({
      text: "SELECT seq FROM listener_holds WHERE listener = $1 AND entity_id = $2",
      values: [listener.name, entityId],
    }),
    tx.query<EventRow>({
      text: `SELECT ${eventColumns} FROM listener_holds h
        JOIN listener_cursors c ON c.listener = h.listener
        JOIN events e ON e.entity_id = h.entity_id AND e.seq >= h.seq AND e.seq <= c.seq
        WHERE h.listener = $1 AND h.entity_id = $3 AND ${isHeard} ORDER BY e.seq LIMIT 1`,
      values: [listener.name, typesOf(listener.on), entityId],
    }),
  ]);
  if (!held) return undefined;
  return { from: Number(held.seq), event: rows[0] && sequencedEvent(rows[0]) };
}

/** Moves a hold behind an event that was handled; false when somebody else has moved it meanwhile. */
export async function advanceHold(
  tx: UnitOfWork,
  listener: string,
  entityId: string,
  from: number,
  handled: number,
): Promise<boolean> {
  const moved = await tx.execute({
    text: "UPDATE listener_holds SET seq = $4 WHERE listener = $1 AND entity_id = $2 AND seq = $3",
    values: [listener, entityId, from, handled + 1],
  });
  return moved > 0;
}

/**
 * Keeps the listener's cursor from moving until the end of this transaction, and makes runs that have read the
 * holds already begin anew.
 */
export async function stopCursor(tx: UnitOfWork, listener: string): Promise<void> {
  await tx.execute({
    text: "UPDATE listener_cursors SET revision = revision + 1 WHERE listener = $1",
    values: [listener],
  });
}

export async function endHold(tx: UnitOfWork, listener: string, entityId: string): Promise<void> {
  await tx.execute({
    text: "DELETE FROM listener_holds WHERE listener = $1 AND entity_id = $2",
    values: [listener, entityId],
  });
}

/** Gives up the event that a held entity waits with; false when the entity is not held. */
export async function skipHeld(
  tx: UnitOfWork,
  held: { organizationId: string; listener: string; entityId: string },
): Promise<boolean> {
  const skipped = await tx.execute({
    text: `UPDATE listener_holds SET seq = seq + 1
      WHERE organization_id = $1 AND listener = $2 AND entity_id = $3`,
    values: [held.organizationId, held.listener, held.entityId],
  });
  return skipped > 0;
}
