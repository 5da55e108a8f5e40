import { conflict } from "../../contract/errors.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import { ownersOf, type RecordContext, type RecordDesk, type Reference } from "../writing/desk.ts";
import type { Field } from "../kind/fields.ts";
import { ownerColumnOf, valueOf, type AnyKind, type AnyRow } from "../kind/kind.ts";
import { columnOf } from "../finding/listing.ts";
import { mostRelated, type Moved, type Moving } from "./moved.ts";
import { CustomReferences } from "./moving-custom.ts";
import { movePartsBack, moveParts, partReferencesTo } from "./moving-parts.ts";
import { audienceOf } from "../writing/ownership.ts";
import { PendingChanges } from "../writing/pending.ts";

const tooManyRelated = () =>
  conflict("TOO_MANY_RELATED", `More than ${mostRelated} records refer to these; merge fewer at once.`);

/** Every column that refers to a kind, but for those that name the first of some parts: they follow these. */
function referencesTo(kind: AnyKind, { kinds, references = [] }: RecordDesk): Reference[] {
  const ofKinds = [...kinds.values()].flatMap((other) => {
    const firsts = new Set(
      partReferencesTo(kind, kinds).flatMap(({ kind: { name }, spec }) =>
        name === other.name ? spec.primaries.map(({ field }) => field) : [],
      ),
    );
    return Object.entries(other.fields).flatMap(([key, { refersTo, stored }]): Reference[] =>
      refersTo === kind.name && !firsts.has(key)
        ? [{ refersTo, table: other.table, column: columnOf(key), event: eventOf(other, key) }]
        : stored === "anyRef"
          ? [anyReference(other, key)]
          : [],
    );
  });
  return [...ofKinds, ...references.filter(({ refersTo = kind.name }) => refersTo === kind.name)];
}
const anyReference = (other: AnyKind, key: string): Reference => ({
  table: other.table,
  ...{ column: columnOf(key), kindColumn: `${columnOf(key)}_kind`, ownerColumn: ownerColumnOf(key) },
  event: eventOf(other, key),
});
const eventOf = (other: AnyKind, key: string) => (row: AnyRow & { moved_from?: unknown }) => {
  const { [key]: field } = other.fields as Record<string, Field>;
  const now = field && valueOf(row, key, field);
  const before = field && valueOf({ ...row, [columnOf(key)]: row.moved_from }, key, field);
  return {
    ...{ type: `${other.name}.updated`, kind: other.name, owners: ownersOf(other, row) },
    data: { record: other.show(row), changes: { [key]: [before ?? null, now ?? null] } },
  };
};

/** What refers to records of a kind, in columns, parts and custom fields, as a merge moves it. */
export class References {
  readonly #kind: AnyKind;
  readonly #desk: RecordDesk;
  readonly #custom: CustomReferences;

  private constructor(kind: AnyKind, desk: RecordDesk, custom: CustomReferences) {
    this.#kind = kind;
    this.#desk = desk;
    this.#custom = custom;
  }

  /** Ask for it before the call's transaction has begun: definitions may have to be loaded. */
  static async of(ctx: RecordContext, desk: RecordDesk, kind: AnyKind): Promise<References> {
    return new References(kind, desk, await CustomReferences.of(ctx, desk, kind));
  }

  /**
   * Has what referred to the losers refer to the winner, each as a change of its own. Answers what it moved.
   * @throws 409 TOO_MANY_RELATED
   */
  async move(tx: UnitOfWork, moving: Moving): Promise<Moved[]> {
    const moved: Moved[] = [];
    const add = (more: readonly Moved[]) => {
      moved.push(...more);
      if (moved.length > mostRelated) throw tooManyRelated();
    };
    const merged = [moving.to, ...moving.from];
    for (const reference of referencesTo(this.#kind, this.#desk))
      add(
        await moveColumn(tx, this.#kind, reference, moving, {
          text: `${reference.column} = ANY ($2) AND id <> ALL ($3)${notTwice(reference)}`,
          values: [moving.from, merged],
        }),
      );
    const pending = new PendingChanges(tx);
    for (const reference of partReferencesTo(this.#kind, this.#desk.kinds))
      add(await moveParts(tx, pending, reference, moving));
    add(await this.#custom.move(tx, pending, moving));
    pending.store(moving.actorId);
    return moved;
  }

  /** The opposite, of what still refers to the winner. */
  async moveBack(
    tx: UnitOfWork,
    moved: readonly Moved[],
    { winnerId, actorId }: { winnerId: string; actorId: string | null },
  ): Promise<void> {
    const of = (table: string, column: string) =>
      moved.filter((one) => one.table === table && one.column === column);
    for (const reference of referencesTo(this.#kind, this.#desk)) {
      const { table, column } = reference;
      for (const [loser, those] of Map.groupBy(of(table, column), ({ from }) => from))
        await moveColumn(
          tx,
          this.#kind,
          reference,
          { from: [winnerId], to: loser, actorId },
          { text: `id = ANY ($2) AND ${column} = $3`, values: [those.map(({ id }) => id), winnerId] },
        );
    }
    const pending = new PendingChanges(tx);
    for (const reference of partReferencesTo(this.#kind, this.#desk.kinds))
      await movePartsBack(tx, pending, reference, of(reference.kind.table, reference.key), winnerId);
    await this.#custom.moveBack(tx, pending, moved, winnerId);
    pending.store(actorId);
  }

  /** A row without custom fields by which it would refer to itself. */
  withoutOwn<R extends AnyRow>(row: R, ids: readonly string[]): R {
    return this.#custom.withoutOwn(row, ids);
  }
}

/** Of a merge ($1: the winner, $2: the losers): rows that would not stand beside one of the winner's, or of another loser's. */
const notTwice = ({ table, column, once }: Reference): string =>
  once === undefined
    ? ""
    : ` AND NOT EXISTS (SELECT FROM ${table} o WHERE o.${once} = ${table}.${once}
        AND (o.${column} = $1 OR o.${column} = ANY ($2) AND o.id < ${table}.id))`;

async function moveColumn(
  tx: UnitOfWork,
  kind: AnyKind,
  { table, column, kindColumn, ownerColumn, event }: Reference,
  { to, actorId }: Moving,
  { text, values }: { text: string; values: unknown[] },
): Promise<Moved[]> {
  const isVersioned = event !== undefined;
  const versioned = isVersioned ? `, version = version + 1, updated_at = $${values.length + 2}` : "";
  const ofKind = kindColumn === undefined ? "" : ` AND ${kindColumn} = '${kind.name}'`;
  const whose =
    kind.owner === undefined ? "NULL" : `(SELECT ${columnOf(kind.owner)} FROM ${kind.table} WHERE id = $1)`;
  const owned = ownerColumn === undefined ? "" : `, ${ownerColumn} = ${whose}`;
  const rows = await tx.query<AnyRow & { moved_from: string }>({
    text: `WITH old AS (SELECT id, ${column} AS moved_from FROM ${table} WHERE ${text}${ofKind} ORDER BY id LIMIT ${mostRelated + 1} FOR NO KEY UPDATE)
      UPDATE ${table} t SET ${column} = $1${owned}${versioned} FROM old WHERE t.id = old.id
      RETURNING t.*, old.moved_from`,
    values: [to, ...values, ...(isVersioned ? [tx.now] : [])],
  });
  for (const row of rows) {
    if (event === undefined) continue;
    const { type, kind: of, owners, data } = event(row);
    tx.record({
      type,
      entity: { kind: of, id: row.id, version: row.version },
      actorId,
      audience: audienceOf(...owners),
      data,
    });
  }
  return rows.map((row) => ({ table, column, id: row.id, from: row.moved_from }));
}
