import { can, type Principal } from "../../access/principal.ts";
import { visibleRows } from "../../access/visibility.ts";
import { pageBytes } from "../../database/statement.ts";
import type { CallFields } from "../custom/of-call.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import type { AnyKind, AnyRow } from "../kind/kind.ts";
import { kinds } from "../kind/kinds.ts";
import { relationsOf } from "./include.ts";
import { columnOf, Values } from "./listing.ts";
import { namingKinds } from "./timeline.ts";

/** Records that a section shows, the newest. */
const most = 20;

/** Something that an overview shows beside its record: what it refers to, or the records of a kind that refer to it. */
export interface Section {
  name: string;
  kind: AnyKind;
  /** Of one record: the field that names it. */
  field?: string;
  /** Of a list: the column that names the record, and in which order. */
  column?: string;
  order?: string;
  /** Of a reference to any kind: the column that says which. */
  kindColumn?: string;
}

/**
 * The sections of records of a kind, as far as the principal may read them: each kind is one by referring to this one, or by being
 * referred to.
 */
export function sectionsOf(kind: AnyKind, principal: Principal): Section[] {
  const up = [...relationsOf(kind.fields)].flatMap(([name, { key, kind: of, part }]): Section[] => {
    const target = of === undefined || part !== undefined ? undefined : kinds.get(of);
    return target ? [{ name, kind: target, field: key }] : [];
  });
  const down = [...kinds.values()].flatMap((other): Section[] => {
    const key = Object.keys(other.fields).find((one) => other.fields[one]?.refersTo === kind.name);
    if (key === undefined || other.name === kind.name) return [];
    return [{ name: other.plural, kind: other, column: columnOf(key), order: "created_at" }];
  });
  const naming = namingKinds(kind, principal).map(({ kind: other, key }): Section => {
    const happens = other.fields[key]?.happens;
    return {
      ...{ name: other.plural, kind: other, column: columnOf(key), kindColumn: `${columnOf(key)}_kind` },
      order: happens === undefined ? "created_at" : `coalesce(${columnOf(happens)}, created_at)`,
    };
  });
  return [...up, ...down, ...naming].filter(({ kind: { plural } }) => can(principal, `${plural}:read`));
}

/** What a section shows of a record: one statement, or none where the record names nothing. */
export async function readSection(
  { tx, principal }: { tx: UnitOfWork; principal: Principal },
  { kind, field, column, order = "id", kindColumn }: Section,
  { of, row, fields }: { of: AnyKind; row: AnyRow; fields: CallFields },
): Promise<{ shown: unknown; hasMore: boolean }> {
  const values = new Values();
  const named = field === undefined ? row.id : row[columnOf(field)];
  if (named == null) return { shown: null, hasMore: false };
  const conditions = [
    `${column ?? "id"} = ${values.add(named)}`,
    ...(kindColumn === undefined ? [] : [`${kindColumn} = ${values.add(of.name)}`]),
    "deleted_at IS NULL",
    ...visibleRows(principal, values, kind.owners),
  ];
  const { rows, isCut } = await tx.queryWithin<AnyRow>({
    text: `SELECT ${kind.columns.join(", ")} FROM ${kind.table} WHERE ${conditions.join(" AND ")}
      ORDER BY ${order} DESC, id DESC LIMIT ${most + 1}`,
    values: values.list,
    mostBytes: pageBytes,
  });
  const records = rows.slice(0, most).map((one) => fields.hide(kind.show(one)));
  return field === undefined
    ? { shown: records, hasMore: isCut || rows.length > most }
    : { shown: records[0] ?? null, hasMore: false };
}
