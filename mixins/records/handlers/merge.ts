import { conflict, invalidField } from "../../contract/errors.ts";
import { newId } from "../../database/new-id.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import { ancestorsOf, parentFields } from "../writing/ancestors.ts";
import { changesBetween, nextVersion } from "../writing/changes.ts";
import { fieldsOf } from "./crud.ts";
import { about, type Counter, type RecordContext, type RecordDesk } from "../writing/desk.ts";
import type { AnyKind, AnyRow } from "../kind/kind.ts";
import { columnOf } from "../finding/listing.ts";
import { mergedRow, unmergedRow } from "../merging/merging.ts";
import type { Moved } from "../merging/moved.ts";
import { References } from "../merging/moving.ts";
import { notFound, storeOf } from "../writing/store.ts";

/** Stands as the table of sealed values that the winner has of a loser. */
const sealedTable = "custom_field_values";
/** Make one record of several. */
export function mergeHandlers<R extends AnyRow, P>(counter: Counter<R, P>) {
  const { kind, store, desk, rules } = counter;
  return {
    /** Of two merges of one record the second waits, and is told that it is part of another now. */
    async merge(ctx: RecordContext<{ id: string; loserIds: string[]; take?: Record<string, string> }>) {
      const { principal, tx } = ctx.locals;
      const fields = await fieldsOf(counter, ctx);
      const references = await References.of(ctx, desk, kind);
      const { id, take } = ctx.params;
      const loserIds = [...new Set(ctx.params.loserIds)];
      if (loserIds.includes(id))
        throw invalidField("loserIds", "is_winner", "may not name the record itself");
      const prepared = (await rules.prepare?.(ctx, [])) as P;
      const rows = await store.lockAll(tx, principal, [id, ...loserIds]);
      const winner = rows.get(id) as R;
      const losers = loserIds.map((loser) => rows.get(loser) as R);
      const now = tx.now.toISOString();
      const merged = {
        ...references.withoutOwn(
          await withoutOwn(tx, kind, mergedRow(kind, winner, losers, take), [id, ...loserIds]),
          [id, ...loserIds],
        ),
        version: winner.version + 1,
        updated_at: now,
      };
      const change = { row: merged, changes: changesBetween(kind, winner, merged) };
      const { row: written, changes } = rules.decide?.(winner, change, prepared, principal) ?? change;
      const gone = losers.map((loser) => nextVersion(loser, now, { deleted_at: now, merged_into: id }));
      const moved = await references.move(tx, { from: loserIds, to: id, actorId: principal.userId });
      // the losers first: what is unique is free then
      store.update(tx, gone);
      fields.release(tx, loserIds);
      store.update(tx, [written]);
      fields.store(tx, [{ id, apart: fields.marksOf(written) }]);
      const taken = await fields.takeOver(tx, id, loserIds);
      const sealed: Moved[] = taken.map(({ key, from }) => ({ table: sealedTable, column: key, id, from }));
      const mergeId = newId();
      tx.defer({
        text: `INSERT INTO merges (organization_id, id, kind, winner_id, record_ids, before, after, moved, actor_id, created_at)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
        values: [
          ...[tx.organizationId, mergeId, kind.name, id, [id, ...loserIds]],
          ...[
            JSON.stringify([winner, ...losers]),
            JSON.stringify(written),
            JSON.stringify([...moved, ...sealed]),
          ],
          ...[principal.userId, now],
        ],
      });
      for (const loser of gone)
        about(tx, { kind, verb: "deleted", row: loser, actorId: principal.userId, fields });
      about(tx, {
        ...{ kind, verb: "merged", row: written, actorId: principal.userId },
        changes,
        more: { mergedIds: loserIds, mergeId },
        fields,
      });
      const apart = new Map(taken.map(({ key, value }) => [key, value]));
      return { mergeId, record: await fields.showOne(tx, kind.show(written), apart) };
    },
  };
}

/** The row with nothing above it that is below it, or part of it now. */
async function withoutOwn<R extends AnyRow>(
  tx: UnitOfWork,
  kind: AnyKind,
  row: R,
  ids: readonly string[],
): Promise<R> {
  const alone: Record<string, unknown> = { ...row };
  for (const key of parentFields(kind)) {
    const parent = row[columnOf(key)];
    if (typeof parent !== "string") continue;
    const above = await ancestorsOf(tx, kind, key, parent);
    if (ids.some((id) => above.has(id))) alone[columnOf(key)] = null;
  }
  return alone as R;
}

interface MergeRow extends Record<string, unknown> {
  id: string;
  kind: string;
  winner_id: string;
  before: AnyRow[];
  after: AnyRow;
  moved: Moved[];
  undone_at: string | null;
}
const mergeNotFound = () => notFound({ name: "merge" });
const alreadyUndone = () => conflict("ALREADY_UNDONE", "The merge was undone already.");

/** The kind of a merge, before it is undone. @throws 404 */
export async function kindOfMerge(tx: UnitOfWork, id: string, desk: RecordDesk): Promise<AnyKind> {
  const [row] = await tx.query<MergeRow>({ text: "SELECT kind FROM merges WHERE id = $1", values: [id] });
  const kind = row && desk.kinds.get(row.kind);
  if (!kind) throw mergeNotFound();
  return kind;
}

/**
 * Makes several records again of what was merged: the losers as they were, with what referred to them and still refers to the
 * winner; the winner without what it was given, but for fields that were changed since.
 */
export async function undoMerge(
  ctx: RecordContext,
  id: string,
  kind: AnyKind,
  desk: RecordDesk,
): Promise<unknown[]> {
  const { tx, principal } = ctx.locals;
  const fields = await fieldsOf({ kind, desk }, ctx);
  const references = await References.of(ctx, desk, kind);
  const store = storeOf(kind);
  const [merge] = await tx.query<MergeRow>({
    text: "SELECT * FROM merges WHERE id = $1 FOR NO KEY UPDATE",
    values: [id],
  });
  if (!merge) throw mergeNotFound();
  if (merge.undone_at !== null) throw alreadyUndone();
  const now = tx.now.toISOString();
  const [before, ...losers] = merge.before as [AnyRow, ...AnyRow[]];
  const ids = merge.before.map((row) => row.id);
  const locked = new Map<string, AnyRow>();
  for (const one of ids.toSorted()) locked.set(one, await store.lockAny(tx, principal, one));
  const winner = locked.get(merge.winner_id) as AnyRow;
  if (winner.deleted_at !== null) throw notFound(kind);
  for (const { id: loser } of losers)
    if (locked.get(loser)?.merged_into !== merge.winner_id) throw alreadyUndone();

  const unmerged = unmergedRow(kind, { before, after: merge.after, now: winner });
  const restored = losers.map(({ id: loser }) => {
    // as it is kept, with what the service has computed anew since
    const row = locked.get(loser) as AnyRow;
    return nextVersion(row, now, { deleted_at: null, merged_into: null });
  });
  tx.defer({ text: "UPDATE merges SET undone_at = $2 WHERE id = $1", values: [id, now] });
  await references.moveBack(tx, merge.moved, { winnerId: merge.winner_id, actorId: principal.userId });
  const written = { ...unmerged, version: winner.version + 1, updated_at: now };
  // the winner first: it gives back what is unique
  store.update(tx, [written]);
  await fields.giveBack(
    tx,
    written.id,
    merge.moved.flatMap(({ table, column, from }) => (table === sealedTable ? [{ key: column, from }] : [])),
  );
  fields.store(tx, [{ id: written.id, apart: fields.marksOf(written) }]);
  store.update(tx, restored, undefined, principal);
  await fields.claim(
    tx,
    restored.map((row) => row.id),
    written.id,
  );
  about(tx, {
    ...{ kind, verb: "updated", row: written, actorId: principal.userId, fields },
    changes: changesBetween(kind, winner, written),
  });
  for (const row of restored) about(tx, { kind, verb: "restored", row, actorId: principal.userId, fields });
  return fields.show(
    tx,
    [written, ...restored].map((row) => kind.show(row) as { id: string }),
  );
}
