import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { definitionsChanged } from "../../mixins/records/custom/definitions.ts";
import type { CustomKind } from "../../mixins/records/kind/kind.ts";
import { enqueue, type JobCtx } from "../contracts.ts";
import { tooManyIndexed } from "./custom-fields.errors.ts";
import { mostIndexed } from "./custom-fields.rules.ts";
import type { Row } from "./custom-fields.view.ts";

// A trigger keeps the index of a field from when is_indexed is true until indexed_at is null again; indexed_at is set, and lists
// use it, once a job has taken up what was there before.

/** Records that one step takes up; rows that one step removes. */
const atOnce = { records: 2_000, rows: 20_000 };
/** Longer than any process goes by what a field was. */
const graceMs = 60_000;
const waitMs = 500;

/** @throws 422 where a kind has as many indexed fields as it may */
export async function requireRoomInIndex(tx: UnitOfWork, kind: string): Promise<void> {
  // one after the other, each after what the one before has stored
  await tx.query({
    text: "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
    values: [`indexed fields ${tx.organizationId} ${kind}`],
  });
  const [row] = await tx.query<{ count: number }>({
    text: "SELECT count(*)::int AS count FROM custom_fields WHERE entity = $1 AND is_indexed AND deleted_at IS NULL",
    values: [kind],
  });
  if (row && row.count >= mostIndexed) throw tooManyIndexed(kind, mostIndexed);
}

const keyOf = (verb: "index" | "unindex", fieldId: string) => ({ key: `custom-fields.${verb}:${fieldId}` });

/** Has a field's values indexed, of the records that are there. */
export const takeUp = (tx: UnitOfWork, fieldId: string): void =>
  void enqueue(tx, "custom-fields.index", { fieldId }, keyOf("index", fieldId));

/** Has a field's index removed, once no process sorts by it any more. */
export const letGo = (tx: UnitOfWork, fieldId: string): void =>
  void enqueue(
    tx,
    "custom-fields.unindex",
    { fieldId },
    { ...keyOf("unindex", fieldId), runAt: new Date(tx.now.getTime() + graceMs) },
  );

async function lock(tx: UnitOfWork, fieldId: string): Promise<Row | undefined> {
  const [row] = await tx.query<Row>({
    text: "SELECT *, entity AS kind FROM custom_fields WHERE id = $1 FOR UPDATE",
    values: [fieldId],
  });
  return row;
}

/** Removes some rows of a field's index; answers whether more may be left. */
async function removeRows(tx: UnitOfWork, { kind, key }: Row): Promise<boolean> {
  const removed = await tx.execute({
    text: `DELETE FROM custom_field_index WHERE (organization_id, record_id, key) IN (
      SELECT organization_id, record_id, key FROM custom_field_index WHERE kind = $1 AND key = $2 LIMIT ${atOnce.rows})`,
    values: [kind, key],
  });
  return removed === atOnce.rows;
}

/** Takes up the next records of a field, in the order of their ids; what died or runs twice does the same again. */
export async function index(
  ctx: JobCtx<"custom-fields.index">,
  { kinds }: { kinds: ReadonlyMap<string, CustomKind> },
): Promise<void> {
  const { tx } = ctx.locals;
  const { fieldId, before, after } = ctx.params;
  const row = await lock(tx, fieldId);
  const kind = row && kinds.get(row.kind);
  if (!kind || row.deleted_at !== null || !row.is_indexed || row.indexed_at !== null) return;
  const again = (how: { before?: string | undefined; after?: string }, pauseMs = 0) =>
    enqueue(
      tx,
      "custom-fields.index",
      { fieldId, ...how },
      { ...keyOf("index", fieldId), ...(pauseMs > 0 && { runAt: new Date(Date.now() + pauseMs) }) },
    );
  if (after === undefined) {
    // whoever wrote before the field was to be indexed has no rows in the index, and may not be over
    const [snapshot] = await tx.query<{ next: string; isOver: boolean }>({
      text: `SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS next,
        pg_snapshot_xmin(pg_current_snapshot()) >= $1::text::xid8 AS "isOver"`,
      values: [before ?? null],
    });
    if (snapshot?.isOver !== true) return void again({ before: before ?? snapshot?.next }, waitMs);
    // of a time when it was indexed before
    if (await removeRows(tx, row)) return void again({ before });
  }
  const [step] = await tx.query<{ count: number; last: string | null }>({
    text: `WITH page AS (
        SELECT id, custom_fields -> $2 AS value FROM ${kind.plural}
        WHERE custom_fields ? $2 AND deleted_at IS NULL AND ($3::uuid IS NULL OR id > $3)
        ORDER BY id LIMIT ${atOnce.records} FOR NO KEY UPDATE
      ), stored AS (
        INSERT INTO custom_field_index (organization_id, kind, key, record_id, number, text)
        SELECT $4::uuid, $1, $2, page.id, v.number, v.text FROM page CROSS JOIN LATERAL indexed_value($5, page.value) v
        WHERE v.number IS NOT NULL OR v.text IS NOT NULL
        ON CONFLICT (organization_id, record_id, key) DO UPDATE SET number = excluded.number, text = excluded.text
      ) SELECT count(*)::int AS count, (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last FROM page`,
    values: [kind.name, row.key, after ?? null, tx.organizationId, row.type],
  });
  if (step?.last != null && step.count === atOnce.records) return void again({ after: step.last });
  tx.defer({
    text: "UPDATE custom_fields SET indexed_at = $2 WHERE id = $1",
    values: [fieldId, tx.now.toISOString()],
  });
  tellProcesses(ctx);
}

/** Removes the index of a field, some rows at a time. One that is to be indexed again keeps it. */
export async function unindex(ctx: JobCtx<"custom-fields.unindex">): Promise<void> {
  const { tx } = ctx.locals;
  const { fieldId } = ctx.params;
  const row = await lock(tx, fieldId);
  if (!row || (row.is_indexed && row.deleted_at === null)) return;
  await tx.execute({ text: "UPDATE custom_fields SET indexed_at = NULL WHERE id = $1", values: [fieldId] });
  if (await removeRows(tx, row)) enqueue(tx, "custom-fields.unindex", { fieldId }, keyOf("unindex", fieldId));
}

function tellProcesses(ctx: JobCtx<"custom-fields.index">): void {
  const { tx } = ctx.locals;
  const { organizationId } = tx;
  tx.afterCommit(() => void ctx.broker.broadcast(definitionsChanged, { organizationId }));
}
