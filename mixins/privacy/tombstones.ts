import { pageBytes } from "../database/statement.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";
import { withoutFields } from "./personal-data.ts";

type EventKey = { entity_id: string; position: string; occurred_at: string };

/**
 * Empties the personal fields of events of these records: they keep place, type and time, and say `erased: true`.
 * @param most events in this transaction, fewer of large ones
 * @returns how many, and whether to ask again
 */
export async function entomb(
  tx: UnitOfWork,
  recordIds: readonly string[],
  fields: ReadonlySet<string>,
  most: number,
): Promise<{ count: number; hasMore: boolean }> {
  const { rows, isCut } = await tx.queryWithin<EventKey & { data: Record<string, unknown> }>({
    text: `SELECT entity_id, position, occurred_at::text AS occurred_at, data FROM events
      WHERE entity_id = ANY ($1) AND NOT data ? 'erased' ORDER BY position LIMIT $2 FOR NO KEY UPDATE`,
    values: [recordIds, most],
    mostBytes: pageBytes,
  });
  const tombstones = rows.map(({ data, ...key }) => ({
    ...key,
    data: { ...(withoutFields(data, fields) as object), erased: true },
  }));
  if (rows.length > 0)
    await tx.execute({
      text: `UPDATE events e SET data = t.data
        FROM json_to_recordset($1) AS t (entity_id uuid, position bigint, occurred_at timestamptz, data jsonb)
        WHERE (e.entity_id, e.position, e.occurred_at) = (t.entity_id, t.position, t.occurred_at)`,
      values: [JSON.stringify(tombstones)],
    });
  return { count: rows.length, hasMore: isCut || rows.length === most };
}
