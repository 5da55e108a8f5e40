import type { QueryResultRow } from "pg";
import { pageBytes } from "../database/statement.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";

/** An event in its place in its organization's feed, with the audience that decides who may see it. */
export interface SequencedEvent {
  /** 1, 2, 3 … without holes in an organization. */
  seq: number;
  id: string;
  type: string;
  entity: { kind: string; id: string; version: number };
  actorId: string | null;
  occurredAt: string;
  data: unknown;
  /** Users whose records it is about, see feedFilter; null: everybody who may read the kind. */
  audience: string[] | null;
}

/**
 * Broker event `feed.advanced`, broadcast after events got their places: a hint to whoever shows the feed.
 * It may be lost, doubled or late; the feed itself is in PostgreSQL.
 */
export interface FeedAdvanced {
  organizationId: string;
  /** First and last seq of the events that were placed. */
  from: number;
  head: number;
  /** Exactly the events from … head, when they are few; else they are to be read. */
  events?: SequencedEvent[];
}

/** A row of `events` that has its seq. */
export interface EventRow extends QueryResultRow {
  organization_id: string;
  seq: string;
  id: string;
  type: string;
  entity_kind: string;
  entity_id: string;
  entity_version: number;
  actor_id: string | null;
  occurred_at: string;
  data: unknown;
  audience: string[] | null;
}

export const sequencedEvent = (row: EventRow): SequencedEvent => ({
  seq: Number(row.seq),
  id: row.id,
  type: row.type,
  entity: { kind: row.entity_kind, id: row.entity_id, version: row.entity_version },
  actorId: row.actor_id,
  occurredAt: row.occurred_at,
  data: row.data,
  audience: row.audience,
});

/** The event as clients see it. */
export function publicEvent({ audience: _, ...event }: SequencedEvent): Omit<SequencedEvent, "audience"> {
  return event;
}

/** The newest seq of the organization's feed; 0 before its first event. */
export async function readFeedHead(tx: UnitOfWork): Promise<number> {
  const [row] = await tx.query<{ seq: string }>({ name: "feed_head", text: "SELECT seq FROM event_heads" });
  return Number(row?.seq ?? 0);
}

/** A piece of a feed. */
export interface FeedPage {
  events: SequencedEvent[];
  /** About what they take in memory. */
  bytes: number;
  /** Whether the feed goes on behind them, as far as was looked. */
  hasMore: boolean;
}

/**
 * The events after seq `after`, in order, at most `most` of them and `mostBytes`, but one in any case. They follow each other
 * without a hole, except where retention has dropped some: a lower seq is never committed after a higher one.
 */
export async function readFeed(
  tx: UnitOfWork,
  after: number,
  most: number,
  mostBytes = pageBytes,
): Promise<FeedPage> {
  const { rows, sizes, isCut } = await tx.queryWithin<EventRow>({
    name: "feed_page",
    text: `SELECT organization_id, seq, id, type, entity_kind, entity_id, entity_version, actor_id, occurred_at,
        data, audience
      FROM events WHERE seq > $1 ORDER BY seq LIMIT $2`,
    values: [after, most],
    mostBytes,
  });
  return {
    events: rows.map(sequencedEvent),
    bytes: sizes.reduce((sum, size) => sum + size, 0),
    hasMore: isCut || rows.length === most,
  };
}
