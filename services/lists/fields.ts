import { invalid, type FieldError } from "../../mixins/contract/errors.ts";
import { short } from "../../mixins/contract/field-errors.ts";
import { KindFields } from "../../mixins/records/custom/definitions.ts";
import { readValues } from "../../mixins/records/custom/read-values.ts";
import type { CustomType } from "../../mixins/values/custom-value.ts";
import type { CountryCode } from "../../mixins/values/phone.ts";
import type { ListField } from "./lists.contract.ts";

type Values = Readonly<Record<string, unknown>>;

/** The fields of a list, as custom fields are known. */
export const fieldsOfList = (kind: string, fields: readonly ListField[]): KindFields =>
  new KindFields(
    fields.map(({ type, ...field }) => ({
      ...{ ...field, type: type as CustomType, id: field.key, kind, references: null, default: null },
      ...{ isUnique: false, isSensitive: false, isIndexed: false, isDeleted: false, version: 1 },
    })),
  );

interface Reading {
  isNew: boolean;
  country: CountryCode;
  isActive: (userId: string) => boolean;
}

/** Given values as they are stored. @throws 422 that names each one that the list does not have, or that does not fit */
export function readEntry(fields: KindFields, given: Values, reading: Reading): Record<string, unknown> {
  const known = [...fields.all.keys()];
  const unknown: FieldError[] = Object.keys(given)
    .filter((key) => !fields.all.has(key))
    .map((key) => ({
      ...{ path: `values.${key}`, code: "unknown_field", message: `the list has no field ${key}` },
      ...short(known),
    }));
  const { kept, problems } = readValues(given, { ...reading, fields, maySeeSensitive: true });
  const misfits = problems
    .map((problem) => ({ ...problem, path: problem.path.replace(/^customFields\./, "values.") }))
    .filter(({ path }) => !unknown.some((one) => one.path === path));
  if (unknown.length + misfits.length > 0) throw invalid([...unknown, ...misfits]);
  return kept;
}

/** Stored values with those that are given; null takes one away. */
export const withValues = (before: Values, given: Values): Record<string, unknown> =>
  Object.fromEntries(Object.entries({ ...before, ...given }).filter(([, value]) => value !== null));

/** Users that values name. */
export const usersIn = (fields: KindFields, given: Values): string[] =>
  [...fields.all.values()].flatMap(({ key, type }) => {
    const value = given[key];
    return type === "user" && typeof value === "string" && value.length === 36 ? [value.toLowerCase()] : [];
  });
