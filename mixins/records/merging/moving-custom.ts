import type { UnitOfWork } from "../../database/unit-of-work.ts";
import { CallFields } from "../custom/of-call.ts";
import type { RecordContext, RecordDesk } from "../writing/desk.ts";
import type { AnyKind, AnyRow } from "../kind/kind.ts";
import { allMatching, matchConditions, Values } from "../finding/listing.ts";
import { mostRelated, type Moved, type Moving } from "./moved.ts";
import type { PendingChanges } from "../writing/pending.ts";

/** A custom field that refers to a kind. */
interface CustomReference {
  /** Whose field it is. */
  kind: AnyKind;
  fields: CallFields;
  key: string;
}
/** A record that refers by such a field, and to which of those that were asked for. */
interface Referring {
  row: AnyRow;
  to: string;
}

const pathOf = (key: string) => `customFields.${key}`;

/** Custom fields of any kind by which records refer to those of one. */
export class CustomReferences {
  readonly #kind: AnyKind;
  readonly #references: readonly CustomReference[];

  private constructor(kind: AnyKind, references: readonly CustomReference[]) {
    this.#kind = kind;
    this.#references = references;
  }

  static async of(ctx: RecordContext, desk: RecordDesk, kind: AnyKind): Promise<CustomReferences> {
    const references: CustomReference[] = [];
    for (const other of desk.kinds.values()) {
      const fields = await CallFields.of(ctx, desk, other);
      for (const key of fields.referringTo(kind)) references.push({ kind: other, fields, key });
    }
    return new CustomReferences(kind, references);
  }

  async move(tx: UnitOfWork, pending: PendingChanges, { from, to }: Moving): Promise<Moved[]> {
    const moved: Moved[] = [];
    for (const reference of this.#references) {
      const referring = await this.#referring(tx, reference, from, [to, ...from]);
      for (const one of referring) {
        write(pending, reference, one, to);
        moved.push({
          ...{ table: reference.kind.plural, column: pathOf(reference.key) },
          ...{ id: one.row.id, from: one.to },
        });
      }
    }
    return moved;
  }

  async moveBack(
    tx: UnitOfWork,
    pending: PendingChanges,
    moved: readonly Moved[],
    winnerId: string,
  ): Promise<void> {
    for (const reference of this.#references) {
      const those = new Map(
        moved.flatMap(({ table, column, id, from }) =>
          table === reference.kind.plural && column === pathOf(reference.key) ? [[id, from]] : [],
        ),
      );
      if (those.size === 0) continue;
      for (const one of await this.#referring(tx, reference, [winnerId], [winnerId])) {
        const loser = those.get(one.row.id);
        if (loser !== undefined) write(pending, reference, one, loser);
      }
    }
  }

  withoutOwn<R extends AnyRow>(row: R, ids: readonly string[]): R {
    const values = { ...(row.custom_fields as Record<string, unknown> | undefined) };
    const own = this.#references.filter(
      ({ kind, key }) => kind.name === this.#kind.name && ids.includes(values[key] as string),
    );
    if (own.length === 0) return row;
    for (const { key } of own) delete values[key];
    return { ...row, custom_fields: values };
  }

  /** Records, but for some, that refer to one of these by a field, locked in the order of their ids. */
  async #referring(
    tx: UnitOfWork,
    { kind, fields, key }: CustomReference,
    to: readonly string[],
    but: readonly string[],
  ): Promise<Referring[]> {
    const values = new Values();
    const filter = { [pathOf(key)]: { in: [...to] } };
    const matching = matchConditions(fields.listing(kind.listing, {}), { filter }, values);
    const rows = await tx.query<AnyRow>({
      text: `SELECT ${kind.columns.join(", ")} FROM ${kind.plural}
        WHERE ${[...allMatching(matching), `id <> ALL (${values.add(but)}::uuid[])`].join(" AND ")}
        ORDER BY id LIMIT ${mostRelated + 1} FOR NO KEY UPDATE`,
      values: values.list,
    });
    return rows.map((row) => ({ row, to: String((row.custom_fields as Record<string, unknown>)[key]) }));
  }
}

function write(
  pending: PendingChanges,
  { kind, fields, key }: CustomReference,
  { row }: Referring,
  to: string,
): void {
  pending.change(kind, row, { customFields: { [key]: to } }, fields);
}
