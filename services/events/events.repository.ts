import { pageBytes } from "../../mixins/database/statement.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { sequencedEvent, type EventRow, type SequencedEvent } from "../../mixins/events/feed.ts";

export interface PlacedEvent {
  organizationId: string;
  event: SequencedEvent;
  /** Bytes of the event; undefined where its data was left out. */
  size: number | undefined;
}

/** Of events that get their places at once, so much data comes along; the rest is read by whoever needs it. */
const mostBytes = 4 * pageBytes;

/** Gives at most `most` events of a shard their places; answers them by organization and seq. */
export async function placeEvents(tx: UnitOfWork, most: number): Promise<PlacedEvent[]> {
  const { rows, sizes } = await tx.queryWithin<EventRow>({
    name: "sequence_events",
    text: `SELECT organization_id, seq, id, type, entity_kind, entity_id, entity_version, actor_id, occurred_at, audience, data
      FROM sequence_events($1)`,
    values: [most],
    mostBytes,
    beyond: "lean",
  });
  return rows.map((row, index) => ({
    organizationId: row.organization_id,
    event: sequencedEvent(row),
    size: row.data === null ? undefined : sizes[index],
  }));
}

/** How many events of a shard have no place yet; counts no further than `most`. */
export async function countUnplaced(tx: UnitOfWork, most: number): Promise<number> {
  const [row] = await tx.query<{ unplaced: number }>({
    name: "count_unplaced",
    text: `SELECT count(*)::int AS unplaced
      FROM (SELECT FROM events WHERE seq IS NULL ORDER BY position LIMIT $1) unplaced`,
    values: [most],
  });
  return row?.unplaced ?? 0;
}

/** Forgets at most `most` idempotency keys older than 24 hours; answers how many it forgot. */
export function deleteOldKeys(tx: UnitOfWork, most: number): Promise<number> {
  return tx.execute({
    name: "delete_old_keys",
    text: `DELETE FROM idempotency_keys k USING (
        SELECT organization_id, key FROM idempotency_keys
        WHERE created_at <= now() - interval '24 hours'
        ORDER BY created_at LIMIT $1 FOR UPDATE SKIP LOCKED
      ) old WHERE k.organization_id = old.organization_id AND k.key = old.key`,
    values: [most],
  });
}
