import type { FieldError } from "../../contract/errors.ts";
import { customLimits, readCustomValue, type CustomValue } from "../../values/custom-value.ts";
import type { CountryCode } from "../../values/phone.ts";
import type { Definition, KindFields } from "./definitions.ts";
import { custom } from "./values-apart.ts";

/** Custom values as a caller gives them, by key. */
export type Given = Readonly<Record<string, unknown>>;
type Problem = Omit<FieldError, "path">;

/** Characters of a sealed value. They are no part of what a record may take: there are few fields, and this bounds each. */
const longestSealed = 1_000;
const notPermitted = { code: "not_permitted", message: "is sensitive" };
const required = { code: "required", message: "is required" };

interface Reading {
  fields: KindFields;
  /** Of a new record what is required must be there, and what has a default gets it. */
  isNew: boolean;
  maySeeSensitive: boolean;
  /** Of phones without one. */
  country: CountryCode;
  /** Whether it is an active user of the organization. */
  isActive: (user: string) => boolean;
}

/** Given values as they are stored: in the record, and apart from it, what is sealed or unique; and what does not fit. */
export function readValues(
  given: Given | undefined,
  reading: Reading,
): { kept: Record<string, unknown>; apart: Map<string, CustomValue | null>; problems: FieldError[] } {
  const { fields, isNew, maySeeSensitive } = reading;
  const problems: FieldError[] = [];
  const kept: Record<string, unknown> = {};
  const apart = new Map<string, CustomValue | null>();
  const put = (field: Definition, value: CustomValue | null) => {
    if (field.isSensitive || field.isUnique) apart.set(field.key, value);
    if (!field.isSensitive) kept[field.key] = value;
  };
  for (const [key, value] of Object.entries(given ?? {})) {
    const field = fields.all.get(key);
    const problem = (one: Problem) => problems.push({ path: `${custom}${key}`, ...one });
    if (field === undefined) {
      const refused = problemOfUndefined(fields, key, value);
      if (refused) problem(refused);
      else kept[key] = value;
    } else if (field.isSensitive && !maySeeSensitive) problem(notPermitted);
    else if (value === null) {
      if (field.isRequired) problem(required);
      else put(field, null);
    } else {
      const read = valueOf(field, value, reading);
      if ("value" in read) put(field, read.value);
      else problem(read);
    }
  }
  if (isNew)
    for (const field of fields.all.values()) {
      if (given !== undefined && Object.hasOwn(given, field.key)) continue;
      if (field.default !== null) put(field, field.default);
      // who may not write it is not asked for it
      else if (field.isRequired && (!field.isSensitive || maySeeSensitive))
        problems.push({ path: `${custom}${field.key}`, ...required });
    }
  return { kept, apart, problems };
}

function valueOf(
  field: Definition,
  given: unknown,
  { isActive, country }: Reading,
): { value: CustomValue } | Problem {
  const isChosen = field.type === "select" || field.type === "multiSelect";
  const { type, options } = field;
  const read = readCustomValue({ type, country, ...(isChosen && { options }) }, given);
  if (!("value" in read)) return read;
  const { value } = read;
  if (type === "user" && !isActive(value as string))
    return { code: "not_found", message: "is not an active user of the organization" };
  if (field.isSensitive && JSON.stringify(value).length - 2 > longestSealed)
    return {
      code: "too_big",
      message: `a sensitive value may have ${longestSealed} characters, this has ${JSON.stringify(value).length - 2}`,
    };
  return read;
}

function problemOfUndefined({ hidden }: KindFields, key: string, value: unknown): Problem | undefined {
  const deleted = hidden.get(key);
  if (deleted)
    return {
      code: "deleted",
      message: `was deleted; bring it back with POST /custom-fields/${deleted.id}/restore`,
    };
  if (typeof value === "object" && value !== null)
    return {
      code: "wrong_type",
      message: "is not defined: only fields that are defined as money or multiSelect have such values",
    };
  if (typeof value === "string" && value.length > customLimits.text)
    return {
      code: "too_big",
      message: `may have ${customLimits.text} characters, this has ${value.length}`,
    };
  return undefined;
}
