import { dayIn } from "../../mixins/contract/time-zone.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { zoneOf } from "./analytics.rules.ts";

/** How far the figures of an organization are. */
export interface Refresh {
  /** Place in the feed up to which everything is counted; -1: nothing is. */
  seq: number;
  /** What the days were counted by: see dayRules. */
  rules: string;
}

/** Locks how far the organization's figures are, until the end of the transaction. */
export async function lockRefresh(tx: UnitOfWork): Promise<Refresh> {
  const [row] = await tx.query<Refresh & Record<string, unknown>>({
    name: "lock_analytics_refresh",
    text: `INSERT INTO analytics_refreshes AS r (organization_id, seq, timezone, refreshed_at) VALUES ($1, -1, '', $2)
      ON CONFLICT (organization_id) DO UPDATE SET seq = r.seq RETURNING seq::float8 AS seq, timezone AS rules`,
    values: [tx.organizationId, tx.now],
  });
  return row as Refresh;
}

/** Notes how far the figures are when this transaction commits. */
export function noteRefresh(tx: UnitOfWork, { seq, rules }: Refresh): void {
  tx.defer({
    name: "note_analytics_refresh",
    text: "UPDATE analytics_refreshes SET seq = $1, timezone = $2, refreshed_at = $3",
    values: [seq, rules, tx.now],
  });
}

/** When the figures were made, null before the first time, and which day it is where the organization is. */
export async function readRefresh(tx: UnitOfWork): Promise<{ refreshedAt: string | null; today: string }> {
  const [row] = await tx.query<{ refreshedAt: string; rules: string }>({
    name: "read_analytics_refresh",
    text: `SELECT refreshed_at AS "refreshedAt", timezone AS rules FROM analytics_refreshes`,
  });
  return { refreshedAt: row?.refreshedAt ?? null, today: dayIn(zoneOf(row?.rules ?? "UTC"), tx.now) };
}

/** Place of the newest event in the organization's feed; 0 without any. */
export async function headOf(tx: UnitOfWork): Promise<number> {
  const [head] = await tx.query<{ seq: number }>({
    name: "feed_head",
    text: "SELECT seq::float8 AS seq FROM event_heads",
  });
  return head?.seq ?? 0;
}

/** Organizations of a shard whose figures are behind their feeds, in any order: those that are suspended stay behind. */
export async function findStale(tx: UnitOfWork, limit: number): Promise<string[]> {
  const rows = await tx.query<{ organization_id: string }>({
    name: "stale_analytics",
    text: `SELECT h.organization_id FROM event_heads h LEFT JOIN analytics_refreshes r USING (organization_id)
      WHERE r.seq IS NULL OR r.seq < h.seq ORDER BY random() LIMIT $1`,
    values: [limit],
  });
  return rows.map(({ organization_id: organizationId }) => organizationId);
}
