import { conflict } from "../../contract/errors.ts";
import { pageBytes } from "../../database/statement.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import { changeRecord, type Changes } from "../changes.ts";
import { decodeCursor, encodeCursor, invalidCursor } from "../cursor.ts";
import type { Counter, RecordContext } from "../desk.ts";
import type { AnyRow } from "../kind.ts";
import { accepted, requireVersion, storeChange } from "./crud.ts";

type PageOfOne = { id: string; limit: number; cursor?: string | undefined };
type EventRow = {
  id: string;
  type: string;
  actor_id: string | null;
  occurred_at: string;
  entity_version: number;
  data: { record?: Record<string, unknown>; changes?: Changes };
  /** A bigint, as text. */
  position: string;
};

/** Greatest bigint. */
const lastPosition = "9223372036854775807";

/** A page of what happened to a record, newest first. The cursor is the position of an event in the order of writing. */
async function eventsOf(
  tx: UnitOfWork,
  kind: string,
  { id, limit, cursor }: PageOfOne,
  what: "timeline" | "history",
): Promise<{ rows: EventRow[]; page: { nextCursor: string | null; hasMore: boolean } }> {
  const bound = [what, kind, id];
  const [position = lastPosition] = cursor === undefined ? [] : decodeCursor(bound, cursor, 1).map(String);
  if (!/^\d{1,19}$/.test(position)) throw invalidCursor();
  const { rows, isCut } = await tx.queryWithin<EventRow>({
    text: `SELECT id, type, actor_id, occurred_at, entity_version, data, position FROM events
      WHERE entity_id = $1 AND entity_kind = $2 AND position < $3
      ORDER BY position DESC LIMIT $4`,
    values: [id, kind, position, limit + 1],
    mostBytes: pageBytes,
  });
  const hasMore = rows.length > limit || isCut;
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const nextCursor = hasMore && last ? encodeCursor(bound, [last.position]) : null;
  return { rows: shown, page: { nextCursor, hasMore } };
}

const versionGone = () =>
  conflict(
    "VERSION_NOT_KEPT",
    "What the record was at that version is not kept: there was no such version, its time is over, or it was erased.",
  );

/** What happened to a record, who changed what, and the way back. */
export function historyHandlers<R extends AnyRow, P>(counter: Counter<R, P>) {
  const { kind, store, rules } = counter;
  return {
    async timeline(ctx: RecordContext<PageOfOne>) {
      const { actor, tx } = ctx.locals;
      const [, { rows, page }] = await Promise.all([
        store.get(tx, actor, ctx.params.id),
        eventsOf(tx, kind.name, ctx.params, "timeline"),
      ]);
      const data = rows.map((row) => ({
        id: row.id,
        type: row.type,
        actorId: row.actor_id,
        occurredAt: row.occurred_at,
        entityVersion: row.entity_version,
        data: row.data,
      }));
      return { data, page };
    },
    async history(ctx: RecordContext<PageOfOne>) {
      const { actor, tx } = ctx.locals;
      const [, { rows, page }] = await Promise.all([
        store.get(tx, actor, ctx.params.id),
        eventsOf(tx, kind.name, ctx.params, "history"),
      ]);
      const data = rows.map((row) => ({
        id: row.id,
        type: row.type,
        version: row.entity_version,
        actorId: row.actor_id,
        occurredAt: row.occurred_at,
        changes: row.data.changes ?? {},
      }));
      return { data, page };
    },
    /**
     * As it was, as a change of its own: what may not be changed any more is refused as everywhere, and what a caller never
     * sets stays.
     */
    async revert(ctx: RecordContext<{ id: string; version: number; expectedVersion?: number | undefined }>) {
      const { actor, tx } = ctx.locals;
      const { id, version, expectedVersion } = ctx.params;
      const reader = counter.desk.database.reader(tx.organizationId);
      const [then] = await reader.query<Pick<EventRow, "data">>({
        text: `SELECT data FROM events WHERE entity_id = $1 AND entity_kind = $2 AND entity_version = $3
          ORDER BY position DESC LIMIT 1`,
        values: [id, kind.name, version],
      });
      const seen = await store.get(reader, actor, id);
      const { record } = then?.data ?? {};
      if (!record) throw versionGone();
      const input = await accepted(counter, ctx, inputOf(counter, record, seen), {
        isNew: false,
      });
      const prepared = (await rules.prepare?.(ctx, [input])) as P;
      const before = await store.lock(tx, actor, id);
      requireVersion(before, expectedVersion);
      const change = changeRecord(kind, before, input, tx.now.toISOString());
      return kind.show(change ? await storeChange(counter, { tx, actor }, before, change, prepared) : before);
    },
  };
}

/** The input that makes a record what it was: keys that it did not have then are taken away. */
function inputOf({ kind }: Counter, record: Record<string, unknown>, now: AnyRow): Record<string, unknown> {
  const view = kind.show(now) as Record<string, unknown>;
  return Object.fromEntries(
    Object.entries(kind.fields).flatMap(([key, { setBy, merge }]) => {
      if (setBy === "service" || !(key in record)) return [];
      if (merge !== "keys") return [[key, record[key]]];
      const gone = Object.keys(view[key] as object).map((one): [string, unknown] => [one, null]);
      return [[key, { ...Object.fromEntries(gone), ...(record[key] as object) }]];
    }),
  );
}
