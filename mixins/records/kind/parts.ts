import { isDeepStrictEqual } from "node:util";
import type { z } from "zod";
import type { FieldError } from "../../contract/errors.ts";
import { newId } from "../../database/new-id.ts";
import type { CountryCode } from "../../values/phone.ts";
import { columnOf } from "../finding/listing.ts";

/** One element of a field that is a list of parts, as it is shown. */
export type Part = Readonly<Record<string, unknown>>;
type Values = Readonly<Record<string, unknown>>;

/** A field of the record that says which part is the first of its sort: `email` of the identities that are emails. */
export interface Primary {
  /** Of the record. */
  field: string;
  /** Of the part. */
  value: string;
  /** Which parts it is about; default all. */
  where?: Part;
}

/** What of the fields of a part is needed here, see Field in fields.ts. */
interface PartField {
  input: z.ZodType;
  output: z.ZodType;
  stored: string;
  normalise?: (
    value: unknown,
    country?: CountryCode,
  ) => { value: unknown } | { code: string; message: string };
  fallback?: unknown;
  refersTo?: string;
}
/** Fields of a record, of which some are lists of parts. */
export type HavingParts = Readonly<Record<string, { parts?: PartsSpec }>>;

/** What is said of parts. Each part is stored once: the primary one lives in the record's columns and is not repeated in the list. */
export interface PartsSpec {
  /** The fields of one part, by name. */
  of: Readonly<Record<string, PartField>>;
  /** Those by which parts are told apart; they are never empty. */
  key: readonly string[];
  /** Whether its key is an id of its own, which a part gets that is given without: such parts are nothing but themselves. */
  hasOwnId?: boolean;
  /** Whether the list is one whole: a merge keeps the winner's, unless that is empty. Default: lists are united. */
  isWhole?: boolean;
  /** The table by which they are found, see part-rows.ts. */
  table: string;
  primaries: readonly Primary[];
  /** A flag of the parts, true of the primary one, which is not stored. */
  flag?: string;
  /** Completes a part that a caller gives, or says what is wrong with which of its fields. */
  complete?: (
    part: Part,
    country?: CountryCode,
  ) => { part: Part } | { at: string; code: string; message: string };
  /** Whether no other record that is not deleted may have it. */
  isExclusive?: (part: Part) => boolean;
  /** A field that only those may give who have the permission `<kinds>:<verb>`; of others it stays as it is. */
  guarded?: { field: string; verb: string };
  /** What else the same part may be written as, in the records that may be the same; default as it is. */
  alike?: (part: Part) => readonly Part[];
  /** Fields by which records are listed, `identities.value`, and all that a text may mean there; default itself. */
  filters: Readonly<Record<string, (text: string) => readonly string[]>>;
}

/** The fields of a kind that are parts, by name. */
export const partsOf = (fields: HavingParts): [key: string, spec: PartsSpec][] =>
  Object.entries(fields).flatMap(([key, { parts }]): [string, PartsSpec][] => (parts ? [[key, parts]] : []));

/** What of a kind only those may give who hold `<plural>:<verb>`. */
export const guardedVerbs = ({ fields }: { fields: HavingParts }): string[] =>
  partsOf(fields).flatMap(([, { guarded }]) => (guarded ? [guarded.verb] : []));

/** Whether a part is of the sort of which a field names the first. */
export const isOf =
  ({ where = {} }: Primary) =>
  (part: Part): boolean =>
    Object.entries(where).every(([name, value]) => part[name] === value);

const emptyPart = ({ of }: PartsSpec): Record<string, unknown> =>
  Object.fromEntries(Object.entries(of).map(([name, { fallback = null }]) => [name, fallback]));
/** The part that says no more than the record's own field does. */
const plainPart = (spec: PartsSpec, { value, where }: Primary, given: unknown): Part => ({
  ...emptyPart(spec),
  ...where,
  [value]: given,
});

const nameOf = ({ key }: PartsSpec, part: Part): string => JSON.stringify(key.map((name) => part[name]));

/** Parts in the order in which they are shown, each once: of each primary's sort, in the order given, then the others. */
function inOrder(spec: PartsSpec, parts: readonly Part[]): Part[] {
  const sorts = spec.primaries.map(isOf);
  const placeOf = (part: Part) => {
    const place = sorts.findIndex((is) => is(part));
    return place < 0 ? sorts.length : place;
  };
  const each = [...new Map(parts.toReversed().map((part) => [nameOf(spec, part), part])).values()].reverse();
  return each.sort((one, other) => placeOf(one) - placeOf(other));
}

function withFlag(spec: PartsSpec, parts: readonly Part[]): Part[] {
  const { flag } = spec;
  return flag === undefined ? [...parts] : parts.map((part, index) => ({ ...part, [flag]: index === 0 }));
}

/** Parts as a caller is shown them, of the record's row, whose columns say which are the primary ones. */
export function wholeParts(spec: PartsSpec, column: string, row: Values): Part[] {
  const kept = ((row[column] ?? []) as Part[]).map((part) => ({ ...emptyPart(spec), ...part }));
  const parts: Part[] = [...kept];
  for (const primary of spec.primaries.toReversed()) {
    const value = row[columnOf(primary.field)] ?? null;
    if (value === null) continue;
    const at = parts.findIndex((part) => isOf(primary)(part) && part[primary.value] === value);
    const own = at < 0 ? plainPart(spec, primary, value) : (parts.splice(at, 1)[0] as Part);
    parts.unshift(own);
  }
  return withFlag(spec, inOrder(spec, parts));
}

/** Of parts as they are shown, those that say more than the record's own columns do: what is stored. */
export function keptParts(spec: PartsSpec, whole: readonly Part[]): Part[] {
  const plain = whole.map((part): Part => {
    const { [spec.flag ?? ""]: _flag, ...own } = part;
    return own;
  });
  const said = new Set<Part>();
  for (const primary of spec.primaries) {
    const first = plain.find(isOf(primary));
    if (!first) continue;
    const { [spec.flag ?? ""]: _flag, ...own } = plainPart(spec, primary, first[primary.value]);
    if (isDeepStrictEqual(own, first)) said.add(first);
  }
  return plain.filter((part) => !said.has(part));
}

/**
 * Parts that a caller gives, in the form that is stored, the one with the flag first; what they leave out stays undefined.
 * @returns beside them, what is wrong, each at its path within the list
 */
export function readParts(
  spec: PartsSpec,
  given: readonly Part[],
  country?: CountryCode,
): { parts: Part[]; problems: FieldError[] } {
  const problems: FieldError[] = [];
  const parts = given.map((part, index): Part => {
    const read: Record<string, unknown> = { ...part };
    for (const [name, value] of Object.entries(part)) {
      const normalise = spec.of[name]?.normalise;
      if (!normalise || value == null) continue;
      const form = normalise(value, country);
      if ("value" in form) read[name] = form.value;
      else problems.push({ path: `${index}.${name}`, ...form });
    }
    const [key = ""] = spec.key;
    if (spec.hasOwnId) read[key] ??= newId();
    const whole = spec.complete?.(read, country) ?? { part: read };
    if ("part" in whole) return whole.part;
    const { at, ...problem } = whole;
    problems.push({ path: `${index}.${at}`, ...problem });
    return read;
  });
  const { flag } = spec;
  if (spec.hasOwnId) problems.push(...repeatedNames(spec, parts));
  if (flag === undefined) return { parts, problems };
  const flagged = parts.filter((part) => part[flag] === true);
  if (flagged.length > 1)
    problems.push({ path: "", code: "too_many", message: `one of them may be ${flag}` });
  return { parts: [...new Set([...flagged, ...parts])], problems };
}

/** Of parts that are nothing but themselves none may be left out because another is named as it is. */
function repeatedNames(spec: PartsSpec, parts: readonly Part[]): FieldError[] {
  const seen = new Set<string>();
  return parts.flatMap((part, index): FieldError[] => {
    const name = nameOf(spec, part);
    const isRepeated = seen.has(name);
    seen.add(name);
    return isRepeated
      ? [{ path: `${index}.${spec.key[0]}`, code: "duplicate", message: "is given twice" }]
      : [];
  });
}

/** What an input says of parts and of the fields that name the primary ones. */
interface Settling {
  spec: PartsSpec;
  /** The parts as they were. */
  former: readonly Part[];
  /** What the record's fields said. */
  fields: Values;
}

/**
 * An input in which lists of parts and the fields that name their primary ones say the same, where it says something of either.
 * A list takes the place of what is there; of a part that stays, what it leaves out stays. A field that is given puts its value
 * first: in the place of the one that was, unless a list is given too. Null takes that one away, and the next moves up. A field
 * that is given as it was, says nothing. Pure.
 * @param before null for a new record
 */
export function settled<T extends Values>(fields: HavingParts, before: Values | null, input: T): T {
  let all = input;
  for (const [key, spec] of partsOf(fields)) {
    const names = [key, ...spec.primaries.map(({ field }) => field)];
    if (names.every((name) => input[name] === undefined)) continue;
    const column = columnOf(key);
    const settling = { spec, former: before ? wholeParts(spec, column, before) : [], fields: before ?? {} };
    const parts = settledParts(settling, input, input[key] as readonly Part[] | null | undefined);
    all = { ...all, [key]: parts, ...primaryValues(spec, parts) };
  }
  return all;
}

/** What the record's own fields say, of parts as they are shown. */
export const primaryValues = (spec: PartsSpec, parts: readonly Part[]): Record<string, unknown> =>
  Object.fromEntries(
    spec.primaries.map((primary) => [primary.field, parts.find(isOf(primary))?.[primary.value] ?? null]),
  );

function settledParts(
  { spec, former, fields }: Settling,
  input: Values,
  list: readonly Part[] | null | undefined,
): Part[] {
  const known = new Map(former.map((part) => [nameOf(spec, part), part]));
  const given = list?.map((part) => {
    const stays = Object.entries(part).filter(([, value]) => value !== undefined);
    return { ...emptyPart(spec), ...known.get(nameOf(spec, part)), ...Object.fromEntries(stays) };
  });
  let parts = withFlag(spec, inOrder(spec, list === undefined ? former : (given ?? [])));
  const isChanged = list !== undefined && !isDeepStrictEqual(parts, former);
  for (const primary of spec.primaries) {
    const wanted = input[primary.field];
    const was = fields[columnOf(primary.field)] ?? null;
    if (wanted === undefined || wanted === was) continue;
    const is = (value: unknown) => (part: Part) => isOf(primary)(part) && part[primary.value] === value;
    const own = parts.find(is(wanted));
    const leaves = wanted === null || (!own && !isChanged) ? is(was) : () => false;
    const others = parts.filter((part) => part !== own && !leaves(part));
    parts = wanted === null ? others : [own ?? plainPart(spec, primary, wanted), ...others];
  }
  return withFlag(spec, inOrder(spec, parts));
}

/** Parts of several records as those of one: each once, what one lacks from the next; the first has the last word. */
export function unitedParts(spec: PartsSpec, lists: readonly (readonly Part[])[]): Part[] {
  const united = new Map<string, Part>();
  for (const part of lists.flat()) {
    const name = nameOf(spec, part);
    const has = Object.entries(united.get(name) ?? {}).filter(([, value]) => value !== null);
    united.set(name, { ...part, ...Object.fromEntries(has) });
  }
  return withFlag(spec, inOrder(spec, [...united.values()]));
}

/** Parts without what a merge has given, and with what it took: those that were given or taken away since stay so. */
export function unmergedParts(
  spec: PartsSpec,
  { before, after, now }: { before: readonly Part[]; after: readonly Part[]; now: readonly Part[] },
): Part[] {
  const named = (parts: readonly Part[]) => new Map(parts.map((part) => [nameOf(spec, part), part]));
  const [had, got, has] = [named(before), named(after), named(now)];
  const back = before.filter((part) => !got.has(nameOf(spec, part)) && !has.has(nameOf(spec, part)));
  const stays = now.flatMap((part) => {
    const name = nameOf(spec, part);
    if (!got.has(name)) return [part];
    const former = had.get(name);
    if (!former) return [];
    return [isDeepStrictEqual(part, got.get(name)) ? former : part];
  });
  // the order that it had is that of which the first was the primary one
  const places = new Map(before.map((part, index) => [nameOf(spec, part), index]));
  const placeOf = (part: Part) => places.get(nameOf(spec, part)) ?? places.size;
  const isAsMerged = after.every(
    (part, index) => now[index] && nameOf(spec, now[index]) === nameOf(spec, part),
  );
  const parts = [...stays, ...back];
  if (isAsMerged) parts.sort((one, other) => placeOf(one) - placeOf(other));
  return withFlag(spec, inOrder(spec, parts));
}
