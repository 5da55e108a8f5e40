import type { FieldError } from "../../mixins/contract/errors.ts";
import { isReport, reportColumns } from "./file/format.ts";
import { hashedKey, keyOf } from "./field-keys.rules.ts";
import { letters } from "./letters.rules.ts";
import { exportTargets, type KindTargets } from "./targets.ts";

/** Keys of fields that have keys of their own. */
const keyedTargets: Record<string, RegExp> = {
  customFields: /^customFields\.(?!__proto__$)[\w -]{1,64}$/,
  consent: /^consent\.(?!__proto__$)\w{1,32}$/,
};
const maxCustomFields = 100;

/** Column → field, `customFields.<key>`, `consent.<key>`, or null to leave the column out. */
export type Mapping = Readonly<Record<string, string | null>>;
/** The same for every column of a file, in its order. */
export type ColumnTargets = [column: string, target: string | null][];

/** What is wrong with a mapping, whatever the file: unknown fields, what the caller may not fill, and fields that two columns fill. */
export function mappingErrors(
  { kind, targets, keyed, withheld }: KindTargets,
  mapping: Mapping,
): FieldError[] {
  const isKnown = (target: string) =>
    targets.has(target) || keyed.some((key) => keyedTargets[key]?.test(target));
  const errors: FieldError[] = [];
  const taken = new Set<string>();
  for (const [column, target] of Object.entries(mapping)) {
    const path = `mapping.${column}`;
    if (target === null) continue;
    if (!isKnown(target))
      errors.push({
        path,
        code: "unknown_field",
        message: `"${target}" is no field of a ${kind.name}. Fields are ${[...targets.keys(), ...keyed.map((key) => `${key}.<key>`)].join(", ")}.`,
      });
    else if (withheld.has(target))
      errors.push({ path, code: "not_permitted", message: withheld.get(target) as string });
    else if (taken.has(target))
      errors.push({ path, code: "duplicate_field", message: `Two columns are mapped to ${target}.` });
    taken.add(target);
  }
  return errors;
}

/** Which of the columns that are named a file does not have. */
export const unknownColumns = (named: readonly string[], columns: readonly string[]): string[] => [
  ...new Set(named.filter((column) => !columns.includes(column))),
];

/**
 * Where each column goes: as `mapping` says, else by its name, else into a custom field named after it. What an export or a file
 * of rejected rows has added is left out, and so is a column without a heading, which would make a field of its place.
 * @returns an error instead when a record would get too many custom fields
 */
export function resolveMapping(
  known: KindTargets,
  columns: readonly string[],
  mapping: Mapping,
): ColumnTargets | FieldError {
  const own = isReport(columns) ? columns.slice(0, reportColumns.length) : [];
  const file = columns.slice(own.length);
  const targets = new Map<string, string | null>([
    ...own.map((column) => [column, null] as const),
    ...exportTargets(known, file),
    ...columns.filter((c) => Object.hasOwn(mapping, c)).map((c) => [c, mapping[c] ?? null] as const),
  ]);
  // what the mapping gives to one column, no other has
  for (const [column, target] of targets)
    if (target !== null && !Object.hasOwn(mapping, column) && Object.values(mapping).includes(target))
      targets.delete(column);
  const taken = new Set<string | null>(targets.values());
  for (const [field, { names }] of known.targets) {
    if (taken.has(field) || known.withheld.has(field)) continue;
    const free = columns.filter((column) => !targets.has(column));
    const found = names.flatMap((name) => free.filter((column) => letters(column) === name))[0];
    if (found !== undefined) targets.set(found, field);
  }
  for (const target of targets.values()) taken.add(target);
  for (const column of columns) {
    if (targets.has(column)) continue;
    if (nameless.test(column)) {
      targets.set(column, null);
      continue;
    }
    let target = `customFields.${keyOf(column)}`;
    for (let nth = 0; taken.has(target); nth++) target = `customFields.${hashedKey(column, nth)}`;
    taken.add(target);
    targets.set(column, target);
  }
  const custom = [...targets.values()].filter((target) => target?.startsWith("customFields.")).length;
  if (custom > maxCustomFields)
    return {
      path: "mapping",
      code: "too_many_custom_fields",
      message: `${custom} columns would become custom fields; ${maxCustomFields} are allowed. Map columns to null to leave them out.`,
    };
  return columns.map((column) => [column, targets.get(column) ?? null]);
}

/** What a column without a heading is called. */
const nameless = /^column \d+$/;
