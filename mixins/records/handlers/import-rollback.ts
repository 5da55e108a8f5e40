import type { UnitOfWork } from "../../database/unit-of-work.ts";
import { changesBetween } from "../writing/changes.ts";
import { CallFields } from "../custom/of-call.ts";
import { about, type Counter, type RecordContext, type RecordDesk } from "../writing/desk.ts";
import { sidesOf } from "../importing/associations.ts";
import { importFenced, importOvertaken } from "../importing/import.errors.ts";
import { findChanges, forgetChanges, type ImportChange } from "../importing/import.repository.ts";
import { batchBytes } from "../importing/matches.ts";
import type { AnyKind, AnyRow } from "../kind/kind.ts";
import { columnOf } from "../finding/listing.ts";
import type { Store } from "../writing/store.ts";

/** What rollbackImport is given. */
export interface RollbackParams {
  importId: string;
  epoch: number;
  limit: number;
}

/** Turns imports of a kind back. */
export function rollbackHandlers<R extends AnyRow, P>(counter: Counter<R, P>) {
  const { kind, desk, store, rules } = counter;
  const others = new Map(sidesOf(kind, desk.kinds).map((side) => [side.target.name, side]));
  return {
    /**
     * Undoes some changes of an import, in one transaction that also forgets them: run again, it goes on with the rest.
     * A record somebody has worked on since stays as it is, and so does one that was made beside others and that somebody refers to.
     */
    async rollbackImport(ctx: RecordContext<RollbackParams>) {
      const { principal, tx } = ctx.locals;
      const fieldsByKind = new Map<string, CallFields>();
      for (const one of [kind, ...[...others.values()].map(({ target }) => target)])
        fieldsByKind.set(one.name, await CallFields.of(ctx, desk, one));
      const prepared = (await rules.prepare?.(ctx, [])) as P;
      const found = await findChanges(tx, { ...ctx.params, kind: kind.name });
      if (!found) throw importFenced();
      const [first] = found.changes;
      if (!first) return { undone: 0, kept: 0, remaining: 0 };
      // those of one kind at a time
      const side = first.kind === kind.name ? undefined : others.get(first.kind);
      const target: AnyKind = side?.target ?? kind;
      const fields = fieldsByKind.get(target.name) as CallFields;
      const { changes, rows, kept } = await undone(tx, desk, target, {
        changes: found.changes.filter((change) => change.kind === first.kind),
        restored: (row) => (side ? row : ((rules.turnedBack ?? rules.complete)?.(row as R, prepared) ?? row)),
        isBeside: side !== undefined,
      });
      const written: Store = side?.store ?? store;
      written.update(
        tx,
        rows.map(({ row }) => row),
        () => importOvertaken(target),
      );
      const living = rows.filter(({ row }) => row.deleted_at === null);
      fields.release(
        tx,
        rows.flatMap(({ row }) => (row.deleted_at === null ? [] : [row.id])),
      );
      // what an import changed of unique values is as it was
      fields.store(
        tx,
        living.map(({ row }) => ({ id: row.id, apart: fields.marksOf({ ...row }) })),
      );
      for (const { row, former } of rows)
        about(tx, {
          ...{ kind: target, row, actorId: principal.userId, fields },
          verb: row.deleted_at === null ? "updated" : "deleted",
          changes: changesBetween(target, former, row),
        });
      forgetChanges(tx, ctx.params.importId, changes);
      return { undone: rows.length, kept, remaining: found.total - changes.length };
    },
  };
}

/** What changes of records of one kind are, undone; the rows are locked. */
async function undone(
  tx: UnitOfWork,
  desk: RecordDesk,
  kind: AnyKind,
  {
    changes: asked,
    restored,
    isBeside,
  }: {
    changes: readonly ImportChange[];
    /** Completes a row that gets its fields back. */
    restored: (row: AnyRow) => AnyRow;
    /** Whether the import made them beside the records of its file. */
    isBeside: boolean;
  },
): Promise<{ changes: ImportChange[]; rows: { row: AnyRow; former: AnyRow }[]; kept: number }> {
  const lostIds = asked.flatMap(({ before }) => (before?.external_id as string | null | undefined) ?? []);
  const [{ rows: locked, isCut }, holders] = await Promise.all([
    // in one order, deleted or not: two who lock many never wait for each other in a circle
    tx.queryWithin<AnyRow>({
      text: `SELECT ${kind.columns.join(", ")} FROM ${kind.plural} WHERE id = ANY ($1) ORDER BY id
        FOR ${isBeside ? "UPDATE" : "NO KEY UPDATE"}`,
      values: [asked.map((change) => change.record_id)],
      mostBytes: batchBytes,
    }),
    lostIds.length === 0
      ? []
      : tx.query<{ id: string; external_id: string }>({
          text: `SELECT id, external_id FROM ${kind.plural} WHERE external_id = ANY ($1) AND deleted_at IS NULL`,
          values: [lostIds],
        }),
  ]);
  // large records are turned back a few at a time
  const end = isCut ? locked.at(-1)?.id : undefined;
  const changes = asked.filter((change) => end === undefined || change.record_id <= end);
  const stored = new Map(locked.map((row) => [row.id, row]));
  const holderOf = new Map<unknown, string>(holders.map((row) => [row.external_id, row.id]));
  const used = isBeside ? await referredTo(tx, desk, kind, [...stored.keys()]) : new Set<string>();
  const now = tx.now.toISOString();
  const rows = changes.flatMap(({ record_id: id, version, before }) => {
    const former = stored.get(id);
    if (former?.version !== version || used.has(id)) return [];
    const next = { version: former.version + 1, updated_at: now };
    const row =
      before === null
        ? { ...former, ...next, deleted_at: now }
        : restored({ ...before, ...next, ...("import_id" in former && { import_id: former.import_id }) });
    // another record has the external id now, and keeps it
    if ((holderOf.get(row.external_id) ?? id) !== id) row.external_id = former.external_id;
    return [{ row, former }];
  });
  return { changes, rows, kept: changes.length - rows.length };
}

/** Those of these records that something refers to that is there. */
async function referredTo(
  tx: UnitOfWork,
  { kinds, references = [] }: RecordDesk,
  { name }: AnyKind,
  ids: readonly string[],
): Promise<ReadonlySet<string>> {
  const own = [...kinds.values()].flatMap(({ table, fields }) =>
    Object.entries(fields).flatMap(([key, { refersTo }]) =>
      refersTo === name
        ? [
            `SELECT ${columnOf(key)} AS id FROM ${table} WHERE deleted_at IS NULL AND ${columnOf(key)} = ANY ($1)`,
          ]
        : [],
    ),
  );
  const others = references
    .filter(({ refersTo }) => refersTo === name)
    .map(({ table, column }) => `SELECT ${column} AS id FROM ${table} WHERE ${column} = ANY ($1)`);
  if (own.length + others.length === 0) return new Set();
  const rows = await tx.query<{ id: string }>({ text: [...own, ...others].join(" UNION "), values: [ids] });
  return new Set(rows.map(({ id }) => id));
}
