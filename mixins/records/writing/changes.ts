import { isDeepStrictEqual } from "node:util";
import { invalid, invalidField, type FieldError } from "../../contract/errors.ts";
import type { CountryCode } from "../../values/phone.ts";
import {
  columnsOf,
  shownFields,
  stored,
  unidentified,
  valueOf,
  type AnyRow,
  type AnyKind,
} from "../kind/kind.ts";
import { columnOf } from "../finding/listing.ts";
import { readParts, settled, type Part } from "../kind/parts.ts";
import { requireFits, type RecordContent } from "../kind/record-limits.ts";

/** What differs, by field: the value before and the one after. */
export type Changes = Record<string, [before: unknown, after: unknown]>;
/** A record after a change. */
export interface Change<R extends AnyRow = AnyRow> {
  row: R;
  changes: Changes;
}
type Values = Readonly<Record<string, unknown>>;

/**
 * An input with every value in the form that is stored, and which have none.
 * @param country of phones that name none; default the installation's
 */
export function normalForm<T extends Values>(
  kind: AnyKind,
  input: T,
  country?: CountryCode,
): { input: T; problems: FieldError[] } {
  const normal: Record<string, unknown> = { ...input };
  const problems: FieldError[] = [];
  for (const [key, value] of Object.entries(input)) {
    const { normalise, parts } = kind.fields[key] ?? {};
    if (value === undefined || value === null) continue;
    if (parts) {
      const read = readParts(parts, value as Part[], country);
      normal[key] = read.parts;
      for (const { path, ...problem } of read.problems)
        problems.push({ path: path === "" ? key : `${key}.${path}`, ...problem });
    }
    if (!normalise) continue;
    const found = normalise(value, country);
    if ("value" in found) normal[key] = found.value;
    else problems.push({ path: key, ...found });
  }
  return { input: normal as T, problems };
}

/** As `normalForm`. @throws 422 naming each that has none */
export function normalised<T extends Values>(kind: AnyKind, given: T, country: CountryCode): T {
  const { input, problems } = normalForm(kind, given, country);
  if (problems.length > 0) throw invalid(problems);
  return input;
}

/** A row as a change makes it: of the next version. */
export const nextVersion = <R extends AnyRow>(row: R, now: string, changed: Partial<AnyRow> = {}): R => ({
  ...row,
  ...changed,
  ...{ version: row.version + 1, updated_at: now },
});

/** The row of a record to be. @throws 422 when it is larger than a record may be */
export function composeRecord<R extends AnyRow>(
  kind: AnyKind,
  input: Values,
  own: { id: string; organizationId: string; now: string },
): R {
  const given: Record<string, unknown> = { ...settled(kind.fields, null, input) };
  for (const [key, { merge }] of Object.entries(kind.fields))
    if (merge === "keys" && given[key] !== undefined) given[key] = mergeKeys({}, given[key] as Values);
  const row = kind.compose(given, own);
  requireFits(contentOf(kind, row));
  return row as R;
}

/**
 * What an input makes of a record; null when nothing differs. Custom fields and consent merge key by key, and are told of key by
 * key: `customFields.city`.
 * @throws 422 when it would make the record larger than one may be, or take all that says who or what it is
 */
export function changeRecord<R extends AnyRow>(
  kind: AnyKind,
  before: R,
  input: Values,
  now: string,
): Change<R> | null {
  const wanted: Record<string, unknown> = {};
  const changes: Changes = {};
  for (const [key, value] of Object.entries(settled(kind.fields, before, input))) {
    const field = kind.fields[key];
    if (value === undefined || !field) continue;
    const former = valueOf(before, key, field);
    const next = field.merge === "keys" ? mergeKeys(former as Values, value as Values) : value;
    if (isDeepStrictEqual(next, former)) continue;
    Object.assign(wanted, stored(key, field, next));
    Object.assign(changes, differences(key, former, next, field.merge === "keys"));
  }
  if (Object.keys(changes).length === 0) return null;
  const row = nextVersion(before, now, wanted);
  requireFits(contentOf(kind, row), contentOf(kind, before));
  requireIdentified(kind, row, before);
  return { row, changes };
}

/**
 * Refuses a change that leaves nothing of what a new record must have one of. One that had nothing before may still be changed.
 * @throws 422 naming the fields
 */
export function requireIdentified(kind: AnyKind, after: AnyRow, before: AnyRow): void {
  if (isIdentified(kind, after) || !isIdentified(kind, before)) return;
  throw invalidField("", unidentified, `leave at least one of ${kind.identifiedBy.join(", ")}`);
}

/** Whether a record has one of what a new one must have one of. One that was erased has none. */
export const isIdentified = ({ identifiedBy }: Pick<AnyKind, "identifiedBy">, row: AnyRow): boolean =>
  identifiedBy.some((key) => {
    const value = row[columnOf(key)] ?? null;
    return Array.isArray(value) ? value.length > 0 : value !== null;
  });

/** What differs between two versions of a record, by the fields that callers and the service set. */
export function changesBetween(kind: AnyKind, before: AnyRow, after: AnyRow): Changes {
  const changes: Changes = {};
  for (const [key, field] of shownFields(kind.fields)) {
    const [former, next] = [valueOf(before, key, field), valueOf(after, key, field)];
    if (!isDeepStrictEqual(former, next))
      Object.assign(changes, differences(key, former, next, field.merge === "keys"));
  }
  return changes;
}

function differences(key: string, before: unknown, after: unknown, isByKey: boolean): Changes {
  if (!isByKey) return { [key]: [before, after] };
  const [former, next] = [before as Values, after as Values];
  const keys = new Set([...Object.keys(former), ...Object.keys(next)]);
  return Object.fromEntries(
    [...keys].flatMap((one) =>
      isDeepStrictEqual(former[one], next[one])
        ? []
        : [[`${key}.${one}`, [former[one] ?? null, next[one] ?? null]]],
    ),
  );
}

/** `changes` over `stored`, key by key; null removes a key. */
export function mergeKeys(stored: Values, changes: Values): Record<string, unknown> {
  const merged = { ...stored, ...changes };
  for (const [key, value] of Object.entries(changes)) if (value === null) delete merged[key];
  return merged;
}

/** What of a record its callers decide how large it is. */
export function contentOf(kind: AnyKind, row: AnyRow): RecordContent {
  const content = {
    texts: [] as (string | null)[],
    tags: [] as string[],
    customFields: {} as Record<string, unknown>,
    consent: {} as Record<string, unknown>,
  };
  for (const [key, field] of Object.entries(kind.fields)) {
    // one of a few values is not how large its callers make it
    if (field.setBy !== "caller" || field.values) continue;
    const [column = ""] = columnsOf(key, field);
    const value = row[column];
    if (field.stored === "text") content.texts.push(value as string | null);
    else if (field.parts || (field.stored === "json" && field.merge !== "keys"))
      content.texts.push(JSON.stringify(value));
    else if (key in content) Object.assign(content, { [key]: value });
  }
  return content;
}
