import { isDeepStrictEqual } from "node:util";
import { invalid } from "../../contract/errors.ts";
import { contentOf, mergeKeys, requireIdentified } from "../writing/changes.ts";
import type { Field } from "../kind/fields.ts";
import { requireFits } from "../kind/record-limits.ts";
import { columnsIn, shownFields, stored, valueOf, type AnyKind, type AnyRow } from "../kind/kind.ts";
import { columnOf } from "../finding/listing.ts";
import {
  isOf,
  partsOf,
  primaryValues,
  settled,
  unitedParts,
  unmergedParts,
  wholeParts,
} from "../kind/parts.ts";

type Take = Readonly<Partial<Record<string, string>>>;

const isEmpty = (value: unknown): boolean =>
  value === null
  || value === undefined
  || (Array.isArray(value) && value.length === 0)
  || (typeof value === "object" && !Array.isArray(value) && Object.keys(value).length === 0);

/**
 * The winner's row with what the losers have and it lacks: fields that are empty, elements of lists, keys of objects. Pure.
 * @param losers in the order in which they are asked
 * @param take by field, whose value stays whatever the others have
 * @throws 422 where `take` names none of them, or where the record would be larger than one may be or have nothing left of what a
 *   new one must have
 */
export function mergedRow<R extends AnyRow>(
  kind: AnyKind,
  winner: R,
  losers: readonly R[],
  take: Take = {},
): R {
  const all = [winner, ...losers];
  const row: Record<string, unknown> = { ...winner };
  const takenFrom = (key: string) => {
    const chosen = take[key];
    if (chosen === undefined) return undefined;
    const from = all.find(({ id }) => id === chosen);
    if (!from)
      throw invalid([{ path: `take.${key}`, code: "not_found", message: "is none of the merged records" }]);
    return from;
  };
  for (const [key, field] of shownFields(kind.fields)) {
    if (field.parts) continue;
    const from =
      takenFrom(key) ?? (field.follows === undefined ? undefined : (takenFrom(field.follows) ?? winner));
    if (from) {
      Object.assign(row, columnsIn(from, key, field));
      continue;
    }
    const having = all.filter((one) => !isEmpty(valueOf(one, key, field)));
    const [first] = having;
    if (!first) continue;
    const values = having.map((one) => valueOf(one, key, field));
    Object.assign(
      row,
      field.merge === undefined ? columnsIn(first, key, field) : stored(key, field, combined(values, field)),
    );
  }
  for (const [key, spec] of partsOf(kind.fields)) {
    const column = columnOf(key);
    const from = takenFrom(key);
    const lists = (from ? [from] : all).map((one) => wholeParts(spec, column, one));
    const united = unitedParts(spec, spec.isWhole ? [lists.find((list) => list.length > 0) ?? []] : lists);
    // none of a sort, where the value of a record that has none is to stay
    const emptied = spec.primaries.filter(({ field }) => {
      const source = takenFrom(field);
      return source && source[columnOf(field)] == null;
    });
    const parts = united.filter((part) => !emptied.some((primary) => isOf(primary)(part)));
    // as if the value had been given: it stands before the others
    const first = Object.fromEntries(
      spec.primaries.flatMap(({ field }) => {
        const value = takenFrom(field)?.[columnOf(field)] ?? null;
        return value === null ? [] : [[field, value]];
      }),
    );
    Object.assign(
      row,
      storedParts(kind, key, settled({ [key]: kind.fields[key] as Field }, null, { ...first, [key]: parts })),
    );
  }
  requireFits(contentOf(kind, row as R), contentOf(kind, winner));
  for (const one of all) requireIdentified(kind, row as R, one);
  return row as R;
}

/** The columns of a list of parts, and of the fields that name its primary ones. */
function storedParts(kind: AnyKind, key: string, values: Values): Values {
  const { fields } = kind;
  const names = [key, ...(fields[key]?.parts?.primaries ?? []).map(({ field }) => field)];
  return Object.assign(
    {},
    ...names.map((name) => stored(name, fields[name] as Field, values[name])),
  ) as Values;
}

function combined(
  values: readonly unknown[],
  { merge, prevails }: Pick<Field, "merge" | "prevails">,
): unknown {
  if (merge === "union") return [...new Set(values.flat())];
  const objects = values as Values[];
  // the first has the last word
  const merged = objects.reduceRight<Values>((all, one) => mergeKeys(all, one), {});
  if (prevails !== undefined)
    for (const object of objects)
      for (const [key, value] of Object.entries(object)) if (value === prevails) merged[key] = value;
  return merged;
}
type Values = Record<string, unknown>;

/** The winner's row with what a merge has given it taken back, but for fields that were changed since. Pure. */
export function unmergedRow<R extends AnyRow>(
  kind: AnyKind,
  { before, after, now }: { before: R; after: R; now: R },
): R {
  const row: Record<string, unknown> = { ...now };
  for (const [key, field] of shownFields(kind.fields))
    if (!field.parts && isDeepStrictEqual(valueOf(now, key, field), valueOf(after, key, field)))
      Object.assign(row, columnsIn(before, key, field));
  for (const [key, spec] of partsOf(kind.fields)) {
    const [had, got, has] = [before, after, now].map((one) => wholeParts(spec, columnOf(key), one));
    const parts = unmergedParts(spec, { before: had ?? [], after: got ?? [], now: has ?? [] });
    Object.assign(row, storedParts(kind, key, { [key]: parts, ...primaryValues(spec, parts) }));
  }
  return row as R;
}
