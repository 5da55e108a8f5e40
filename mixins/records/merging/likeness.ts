import type { Field } from "../kind/fields.ts";
import type { AnyKind, AnyRow } from "../kind/kind.ts";
import { shownFields, valueOf } from "../kind/kind.ts";
import { columnOf, Values } from "../finding/listing.ts";
import { partsOf, wholeParts, type Part, type PartsSpec, type Primary } from "../kind/parts.ts";

/** Why two records may be one, or may not. */
export interface LikenessReason {
  field: string;
  /** How much it says, -1 to 1. */
  weight: number;
  detail: string;
}
export interface Likeness {
  /** Fields that say so. */
  matchedBy: string[];
  /** How likely they are one, 0 to 1. */
  confidence: number;
  reasons: LikenessReason[];
}

/** Of a part that no field of the record names: nobody else has it, so whoever has one written as it is the same. */
const partWeight = 0.9;
const sameName = 0.5;
/** What is left of a likeness where names differ: two people share a phone, two companies a domain. */
const otherName = -0.6;

interface MatchingPart {
  key: string;
  spec: PartsSpec;
  alike: (part: Part) => readonly Part[];
}
const matchingParts = ({ fields }: Pick<AnyKind, "fields">): MatchingPart[] =>
  partsOf(fields).flatMap(([key, spec]) => (spec.alike ? [{ key, spec, alike: spec.alike }] : []));

/** The fields that match by themselves: those that name the first of some parts match with these. */
function matchingFields(kind: Pick<AnyKind, "fields">) {
  const named = new Set(matchingParts(kind).flatMap(({ spec }) => spec.primaries.map(({ field }) => field)));
  return shownFields(kind.fields).filter(([key, { matches }]) => matches && !named.has(key));
}

const partsIn = ({ key, spec }: MatchingPart, row: Readonly<Record<string, unknown>>) =>
  wholeParts(spec, columnOf(key), row);

const weightOf = ({ matches }: Pick<Field, "matches">): number =>
  typeof matches === "number" ? matches : 0.8;

/** Selects of the ids of records that have something in common with one, an index scan each; none where it has nothing. */
export function alikeSelects(kind: AnyKind, row: AnyRow, values: Values): string[] {
  const ofFields = matchingFields(kind).flatMap(([key, field]) => {
    const value = valueOf(row, key, field);
    if (value === null) return [];
    const forms = field.forms?.(value as string) ?? [value];
    return [`SELECT id FROM ${kind.plural} WHERE ${columnOf(key)} = ANY (${values.add(forms)})`];
  });
  const ofParts = matchingParts(kind).flatMap((matching) => {
    const { spec, alike } = matching;
    const sought = partsIn(matching, row).flatMap(alike);
    if (sought.length === 0) return [];
    const columns = spec.primaries.flatMap((primary) => {
      const forms = sought.filter(isOf(primary)).map((part) => part[primary.value]);
      if (forms.length === 0) return [];
      return [`SELECT id FROM ${kind.plural} WHERE ${columnOf(primary.field)} = ANY (${values.add(forms)})`];
    });
    const keys = spec.key.map(columnOf);
    const lists = spec.key.map((name) => `${values.add(sought.map((part) => part[name]))}::text[]`);
    // the last of the key is what the table has an index of
    const stored = `SELECT record_id FROM ${spec.table} WHERE ${keys.at(-1) ?? ""} = ANY (${lists.at(-1) ?? ""})
      AND (${keys.join(", ")}) IN (SELECT * FROM unnest(${lists.join(", ")}))`;
    return [...columns, stored];
  });
  return [...ofFields, ...ofParts];
}

const isOf =
  ({ where = {} }: Primary) =>
  (part: Part): boolean =>
    // what a part may be written as says its key alone
    Object.entries(where).every(([name, value]) => !(name in part) || part[name] === value);

/** What two records have in common, and what of it speaks for their being one. Pure. */
export function likenessOf(kind: AnyKind, row: AnyRow, other: AnyRow): Likeness {
  const reasons: LikenessReason[] = [];
  for (const [key, field] of matchingFields(kind)) {
    const [one, two] = [valueOf(row, key, field), valueOf(other, key, field)];
    if (one === null || two === null) continue;
    const forms = field.forms?.(one as string) ?? [one];
    if (forms.includes(two as string))
      reasons.push({ field: key, weight: weightOf(field), detail: `${key} is ${two as string} too` });
  }
  for (const matching of matchingParts(kind)) {
    const { key, spec, alike } = matching;
    const theirs = new Map(partsIn(matching, other).map((part) => [nameOf(spec, part), part]));
    for (const part of partsIn(matching, row)) {
      const found = alike(part).find((form) => theirs.has(nameOf(spec, form)));
      if (!found) continue;
      const primary = spec.primaries.find((one) => isOf(one)(part));
      const field = primary?.field ?? key;
      const named = primary && kind.fields[primary.field];
      const weight = named ? weightOf(named) : partWeight;
      if (reasons.some((reason) => reason.field === field)) continue;
      reasons.push({
        field,
        weight,
        detail: `has the ${spec.key.map((name) => String(found[name])).join(" ")} too`,
      });
    }
  }
  const matchedBy = reasons.map(({ field }) => field);
  const names = reasonOfNames(kind, row, other);
  if (names) reasons.push(names);
  let apart = 1;
  for (const { weight } of reasons) if (weight > 0) apart *= 1 - weight;
  const against = names && names.weight < 0 ? 1 + names.weight : 1;
  return { matchedBy, confidence: Math.round((1 - apart) * against * 100) / 100, reasons };
}

const nameOf = ({ key }: PartsSpec, part: Part): string => JSON.stringify(key.map((name) => part[name]));

/** As names are compared: in any case, with accents or without. */
const folded = (text: string): string =>
  text
    .normalize("NFKD")
    .replaceAll(/[\u0300-\u036f.]/g, "")
    .toLowerCase()
    .trim();

function reasonOfNames(kind: AnyKind, row: AnyRow, other: AnyRow): LikenessReason | undefined {
  const persons = shownFields(kind.fields).flatMap(([key, { personal }]) =>
    personal === "name" ? [key] : [],
  );
  const names = persons.length > 0 ? persons : kind.title.slice(0, 1);
  const both = names.flatMap((key) => {
    const [one, two] = [row[columnOf(key)], other[columnOf(key)]];
    return typeof one === "string" && typeof two === "string"
      ? [[key, folded(one), folded(two)] as const]
      : [];
  });
  const [differing] = both.find(([, one, two]) => !one.startsWith(two) && !two.startsWith(one)) ?? [];
  if (differing !== undefined)
    return { field: differing, weight: otherName, detail: `has another ${differing}` };
  const [same] = both
    .filter(([, one, two]) => one === two)
    .map(([key]) => key)
    .slice(-1);
  return same !== undefined && both.every(([, one, two]) => one === two)
    ? { field: same, weight: sameName, detail: "has the same name" }
    : undefined;
}
