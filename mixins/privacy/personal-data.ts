import { z } from "zod";
import { id } from "../contract/schemas.ts";

/** How long records are kept that nobody works with any more, in days; an organization may choose within the bounds. */
export interface RetentionSpec {
  default: number;
  least: number;
  most: number;
}

/**
 * One kind of data about persons that a service holds. The service supplies the handlers, which find, export and
 * erase it; they are actions that only the system may call: `leads.contacts.erase`.
 */
export interface PersonalDataSpec {
  /** What is held, and what becomes of it at an erasure; one sentence, shown in the docs. */
  summary: string;
  /** The tables it lies in, control tables with their schema. */
  tables: readonly string[];
  /** Names of fields that are personal wherever they appear in the data of an event about the person's records. */
  fields?: readonly string[];
  /** With it, the service supplies `expire` too. */
  retention?: RetentionSpec;
}

/** Gives `spec` its precise type. */
export const personalData = <S extends PersonalDataSpec>(spec: S): S => spec;

const subject = z.strictObject({ kind: z.string(), id });
const texts = z.array(z.string());

/** What a person is known by. Emails in lower case, phones in E.164. */
export const person = z.strictObject({
  emails: texts,
  phones: texts,
  /** First and last name, with a space between. */
  names: texts,
  /** The person's records. */
  subjects: z.array(subject),
  /** `email a@b.c`, `phone +49…`: what a later import knows the person by. */
  marks: texts,
});
export type Person = z.output<typeof person>;

export const nobody: Person = { emails: [], phones: [], names: [], subjects: [], marks: [] };
export const emailMark = (email: string): string => `email ${email}`;
export const phoneMark = (phone: string): string => `phone ${phone}`;

/** Everything that either knows of the person, once. */
export function mergePersons(one: Person, other: Person): Person {
  const distinct = (values: string[]) => [...new Set(values)];
  const subjects = new Map([...one.subjects, ...other.subjects].map((each) => [each.id, each]));
  return {
    emails: distinct([...one.emails, ...other.emails]),
    phones: distinct([...one.phones, ...other.phones]),
    names: distinct([...one.names, ...other.names]),
    subjects: [...subjects.values()],
    marks: distinct([...one.marks, ...other.marks]),
  };
}

export const subjectIds = (of: Person, kind: string): string[] =>
  of.subjects.filter((each) => each.kind === kind).map((each) => each.id);

/** Where a walk goes on; null: at the beginning, or at its end. */
const place = z.string().nullable();

/** What the handlers of each kind are asked and answer. A call is one transaction, and so bounded. */
export const personalDataCalls = {
  find: {
    summary: "Finds the records of a person, and what else they say the person is known by",
    params: z.strictObject({ person }),
    returns: person,
  },
  export: {
    summary: "The next records of a person, or with null of everybody",
    params: z.strictObject({ person: person.nullable(), after: place }),
    returns: z.strictObject({ records: z.array(z.unknown()), next: place }),
  },
  erase: {
    summary: "Erases some of what is held of a person",
    params: z.strictObject({ person, after: place, requestedAt: z.string() }),
    returns: z.strictObject({
      count: z.number().int(),
      /** Records that were left, because of a duty that the docs name. */
      kept: z.number().int(),
      next: place,
      /** Something must end first: it is asked again, from the beginning, in a while. */
      isBusy: z.boolean().optional(),
    }),
  },
  expire: {
    summary: "Erases some of the records that have served their time",
    params: z.strictObject({ before: z.string(), after: place }),
    returns: z.strictObject({ count: z.number().int(), next: place }),
  },
} as const;
export type PersonalDataVerb = keyof typeof personalDataCalls;
export type PersonalDataParams<V extends PersonalDataVerb> = z.output<
  (typeof personalDataCalls)[V]["params"]
>;
export type PersonalDataAnswer<V extends PersonalDataVerb> = z.output<
  (typeof personalDataCalls)[V]["returns"]
>;

/** Most bytes of records in one answer: NATS carries 1 MiB. Queries of rows that may be large stop there. */
export const exportBytes = 700_000;

/**
 * The rows that fit into one answer.
 * @param limit how many were asked for: fewer are the last ones
 * @param placeOf where a walk goes on after the row
 * @param isCut whether the query stopped before the last row it found
 */
export function exportPage<Row>(
  rows: readonly Row[],
  limit: number,
  placeOf: (row: Row) => string,
  isCut = false,
): PersonalDataAnswer<"export"> {
  const records: Row[] = [];
  let bytes = 0;
  for (const row of rows) {
    bytes += Buffer.byteLength(JSON.stringify(row));
    if (records.length > 0 && bytes > exportBytes) break;
    records.push(row);
  }
  const last = records.at(-1);
  const isAll = records.length === rows.length && rows.length < limit && !isCut;
  return { records, next: isAll || last === undefined ? null : placeOf(last) };
}

const fewestLetters = 6;
const fewestDigits = 7;

/**
 * How a person shows in JSON text, for SQL. `patterns` are regular expressions for `~*`: emails, and full names in either
 * order, as whole words. `digits` are patterns of LIKE for the text without all but its digits: the ends of phone
 * numbers, whatever the country code was written as. What is too short to tell somebody is left out.
 */
export function tracesOf({ emails, phones, names }: Person): { patterns: string[]; digits: string[] } {
  const literal = (text: string) => text.replace(/[^\p{L}\p{N}]/gu, "\\$&");
  const word = (text: string) => `\\W${literal(text)}(?=\\W)`;
  const namePatterns = names.flatMap((name) => {
    const words = name.split(/\s+/).map(word);
    if (words.length < 2 || name.length < fewestLetters) return [];
    return [words.join(".*"), words.toReversed().join(".*")];
  });
  const numbers = phones.map((phone) => phone.replace(/\D/g, "").slice(-9));
  return {
    patterns: [...emails.map((email) => `(?<![\\w.+-])${literal(email)}(?![\\w-]|\\.\\w)`), ...namePatterns],
    digits: numbers.filter((digits) => digits.length >= fewestDigits).map((digits) => `%${digits}%`),
  };
}

/** Whether a value shows a person, as `tracesOf` says. */
export function recogniser(person: Person): (value: unknown) => boolean {
  const { patterns, digits } = tracesOf(person);
  const texts = patterns.map((pattern) => new RegExp(pattern, "i"));
  const numbers = digits.map((pattern) => pattern.slice(1, -1));
  return (value) => {
    const json = JSON.stringify(value);
    const plain = json.replace(/\D/g, "");
    return texts.some((one) => one.test(json)) || numbers.some((one) => plain.includes(one));
  };
}

/**
 * Replaces personal fields, and keys of theirs such as `customFields.city`, at any depth, by what is empty of their type. Of `changes`
 * the value before and the one after are emptied each.
 */
export function withoutFields(value: unknown, fields: ReadonlySet<string>): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutFields(item, fields));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      name === "changes"
        ? withoutChanged(inner, fields)
        : isOf(fields, name)
          ? emptyOf(inner)
          : withoutFields(inner, fields),
    ]),
  );
}

const isOf = (fields: ReadonlySet<string>, name: string): boolean => fields.has(name.split(".")[0] ?? name);

function withoutChanged(changes: unknown, fields: ReadonlySet<string>): unknown {
  // of leads of before they were a kind: the names of fields
  if (typeof changes !== "object" || changes === null || Array.isArray(changes))
    return withoutFields(changes, fields);
  return Object.fromEntries(
    Object.entries(changes).map(([name, pair]) => [
      name,
      isOf(fields, name) && Array.isArray(pair) ? pair.map(emptyOf) : withoutFields(pair, fields),
    ]),
  );
}

function emptyOf(value: unknown): unknown {
  if (Array.isArray(value)) return [];
  return typeof value === "object" && value !== null ? {} : null;
}
