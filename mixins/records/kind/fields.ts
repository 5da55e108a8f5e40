import { z } from "zod";
import * as schemas from "../../contract/schemas.ts";
import { currencyDigits } from "../../contract/currencies.ts";
import { customLimits } from "../../values/custom-value.ts";
import { readRecurrence } from "../../values/recurrence.ts";
import { phoneForms, readPhone, type CountryCode } from "../../values/phone.ts";
import { emailText, phoneText } from "../conditions/fields.ts";
import { namedKinds } from "./named-kinds.ts";
import type { Part, PartsSpec } from "./parts.ts";
import { recordLimits } from "./record-limits.ts";

/**
 * How a field is stored. `jsonText` is JSON that lists read as text, see `sharedJson`. `money` takes two columns: minor units of its currency, and
 * `<column>_currency`. `parts` are JSON of what the record's other columns do not say, see parts.ts. `anyRef` takes three: an id,
 * `<column>_kind`, and `<column>_owner`, whose that record is.
 */
export type StoredAs =
  | "text"
  | "uuid"
  | "integer"
  | "boolean"
  | "timestamp"
  | "text[]"
  | "json"
  | "jsonText"
  | "money"
  | "parts"
  | "anyRef";
/** Who gives a field its value. `unseen` is a column that the service keeps and nobody is shown. */
export type SetBy = "caller" | "service" | "unseen";
/** What merging does with the losers' values: adds keys, or elements, that the winner lacks. Default: fills what is empty. */
type Merging = "keys" | "union";

/** What is said of one field of a kind; everything else about it derives from this. */
export interface Field<
  I extends z.ZodType = z.ZodType,
  O extends z.ZodType = z.ZodType,
  S extends SetBy = SetBy,
  C extends StoredAs = StoredAs,
> {
  /** What a caller may give. Null empties the field. */
  input: I;
  /** What is shown, and stands in a row. */
  output: O;
  setBy: S;
  stored: C;
  /**
   * The form that is stored and looked for, or why there is none; of what the schema has let through.
   * @param country of phones that name none; default the installation's
   */
  normalise?: (
    value: unknown,
    country?: CountryCode,
  ) => { value: unknown } | { code: string; message: string };
  /** Completes "must be …" where `normalise` finds no form. */
  formExample?: string;
  isFilterable?: boolean;
  isSortable?: boolean;
  /** The values it may have. */
  values?: readonly string[];
  /** Those of them that no caller may give. */
  notGiven?: readonly string[];
  /** Of a new record, where nothing is given. Default null. */
  fallback?: unknown;
  /** Weight in search. */
  search?: "A" | "B" | "C";
  /** Whether the value is personal data. `email`, `phone` and `name` also identify the person to exports and erasures. */
  personal?: boolean | "email" | "phone" | "name";
  /** Whether two records with the same value may be one, and how likely, 0 to 1; default 0.8. Such a field has an index of its own. */
  matches?: boolean | number;
  /** All forms in which a value may be stored that means the same; default itself. */
  forms?: (value: string) => readonly string[];
  /**
   * Whether it names the user to whom the record belongs: who sees only their own sees it by this. `maker`: where nobody is named, it
   * is whoever makes the record.
   */
  isOwner?: boolean | "maker";
  /** Whether it names a user. */
  isUser?: boolean;
  /** The kind that it refers to. */
  refersTo?: string;
  /** Of a reference to any kind: the field that says when it happened, in the timeline of what is named. Default: when it was made. */
  happens?: string;
  merge?: Merging;
  /** The field from which it follows: a merge takes it from the record whose value of that one stays. */
  follows?: string;
  /** With `merge: "keys"`: the value that wins over any other when records are merged. For consent it is `false`. */
  prevails?: unknown;
  /** Headings of files by which imports know it, besides its name, whatever their case, spaces and punctuation. */
  aliases?: readonly string[];
  /** Of a list of parts: what they are. */
  parts?: PartsSpec;
  /** What else its values are called in files, in small letters without spaces: an import suggests what such a word may mean. */
  words?: Readonly<Record<string, readonly string[]>>;
  /**
   * Whether imports find a record by it, besides `externalId`; `asked`: only where they are told to, for several may share it, and
   * weaker than the others. Of several the one declared first is the strongest. Default: `always` where it `matches`.
   */
  importKey?: "always" | "asked";
  /** Of a reference: whether an import may name the record by its keys instead (`company.name`), and makes one that is not there. */
  isAssociated?: boolean;
  /** Of an id: whether a file may give the name instead; the kind's `importReader` finds the id. */
  isNamed?: boolean;
  /** Of what no caller sets: whether an import brings it along, as it was elsewhere. */
  isImported?: boolean;
  /** What its text is, where that can be written in several ways. */
  format?: "email" | "phone";
}
type Said = Omit<Partial<Field>, "input" | "output" | "setBy" | "stored">;

/** A field that callers set. */
const field = <I extends z.ZodType, O extends z.ZodType, C extends StoredAs>(
  stored: C,
  input: I,
  output: O,
  says: Said,
): Field<I, O, "caller", C> => ({ input, output, stored, setBy: "caller", isFilterable: true, ...says });

const shownText = z.string().nullable();
/** Text on any number of lines. @param most characters */
export const text = (most: number, says: Said = {}) =>
  field("text", schemas.text(most).nullable(), shownText, says);
/** The id that a record has elsewhere. */
export const externalId = (says: Said = {}) => field("text", schemas.externalId.nullable(), shownText, says);
/** An email address; lowercased. */
export const email = (says: Said = {}) =>
  field("text", schemas.email.nullable(), shownText, {
    normalise: (value) => ({ value: emailText.normalise(String(value)) }),
    format: "email",
    ...says,
  });
/** A phone number as people write it; as `readPhone` stores it. */
export const phone = (says: Said = {}) =>
  field("text", schemas.text(40).nullable(), shownText, {
    normalise(value, country) {
      const reading = readPhone(String(value), country);
      if ("phone" in reading) return { value: reading.phone };
      return { code: "invalid_phone", message: reading.doubt };
    },
    formExample: phoneText.example,
    forms: phoneForms,
    format: "phone",
    ...says,
  });
/** One of a few values. */
export const oneOf = <const T extends readonly [string, ...string[]]>(
  values: T,
  fallback: T[number],
  says: Said = {},
) =>
  field(
    "text",
    says.notGiven === undefined
      ? z.enum(values)
      : z.enum(values.filter((value) => !says.notGiven?.includes(value)) as unknown as T),
    z.enum(values),
    { values, fallback, ...says },
  );
export const integer = (least: number, most: number, says: Said = {}) =>
  field("integer", z.number().int().min(least).max(most).nullable(), z.number().int().nullable(), says);
/**
 * A number of a part, in exactly so many digits as it is given: 2, or 1.125. Lists know nothing of it.
 * @param digits after the point
 */
export const decimal = (least: number, most: number, digits: number, says: Said = {}) =>
  field(
    "json",
    z
      .number()
      .min(least)
      .max(most)
      // what JavaScript writes as 1e-7 has more digits too
      .refine((value) => new RegExp(`^-?\\d+(\\.\\d{1,${digits}})?$`).test(String(value)), {
        error: `may have up to ${digits} digits after the point`,
        params: { code: "too_precise" },
      })
      .nullable(),
    z.number().nullable(),
    { isFilterable: false, ...says },
  );
/** As `integer`, of what always has a value. Default 0. */
export const count = (least: number, most: number, says: Said = {}) =>
  field("integer", z.number().int().min(least).max(most), z.number().int().min(least).max(most), {
    fallback: 0,
    ...says,
  });
/** JSON of a shape of its own. Given, it takes the place of the whole. Default an empty array. */
export const json = <I extends z.ZodType, O extends z.ZodType>(input: I, output: O, says: Said = {}) =>
  field("jsonText", input, output, { isFilterable: false, fallback: [], ...says });
/**
 * JSON of which many records have the same: a list has it parsed once for all of them. Default an empty array.
 * @param output what it holds
 */
export const sharedJson = <O extends z.ZodType>(output: O, says: Said = {}) =>
  field("jsonText", output, output, { isFilterable: false, fallback: [], ...says });
export const time = (says: Said = {}) =>
  field("timestamp", schemas.timeInput.nullable(), schemas.timestamp.nullable(), says);
/** A user of the organization. */
export const user = (says: Said = {}) =>
  field("uuid", schemas.id.nullable(), schemas.id.nullable(), { isUser: true, ...says });
/** Whether something is so. Default false. */
export const flag = (says: Said = {}) =>
  field("boolean", z.boolean(), z.boolean(), { fallback: false, ...says });
/** A record of another kind, or of the same one. */
export const ref = (kind: string, says: Said = {}) =>
  field("uuid", schemas.id.nullable(), schemas.id.nullable(), { refersTo: kind, ...says });
/**
 * A record of whatever kind that names none itself: `{ kind, id }`. Whoever sees that record sees those that name it, too. Lists find
 * them by `<key>.kind` and `<key>.id`.
 */
export const anyRef = (says: Said = {}) => {
  const reference = z.strictObject({
    kind: z.lazy(() => z.enum(namedKinds as [string, ...string[]])),
    id: schemas.id,
  });
  return field(
    "anyRef",
    reference.nullable(),
    z.strictObject({ kind: z.string(), id: schemas.id }).nullable(),
    { ...says, isFilterable: false },
  );
};
/** When something comes up again, as a rule of iCalendar: `FREQ=WEEKLY;BYDAY=MO`. See mixins/values/recurrence.ts. */
export const recurrence = (says: Said = {}) =>
  field("text", schemas.text(300).nullable(), shownText, {
    normalise: (value) => readRecurrence(String(value)),
    ...{ isFilterable: false, ...says },
  });
/** An id of what is no record. */
export const identifier = (says: Said = {}) =>
  field("uuid", schemas.id.nullable(), schemas.id.nullable(), says);
/** A strict object of texts, such as an address. Given, it takes the place of the whole. */
export const texts = <const K extends readonly [string, ...string[]]>(
  keys: K,
  most: number,
  says: Said = {},
) => {
  const shape = Object.fromEntries(
    keys.map((key) => [key, schemas.text(most).nullable().optional()]),
  ) as Record<K[number], z.ZodOptional<z.ZodNullable<ReturnType<typeof schemas.text>>>>;
  const input = z.strictObject(shape);
  const output = z.record(z.string(), z.string().nullable());
  return field("json", input, output, { isFilterable: false, fallback: {}, ...says });
};
/**
 * A list of parts, each with fields of its own, some of which may refer to other records. Given, it takes the place of the whole; what
 * a part leaves out stays as it is. Fields of the record may name the primary ones, see `settled` in parts.ts.
 * @param spec.most parts of one record
 */
export const parts = <const P extends Record<string, Field>>(
  of: P,
  { most, ...spec }: Omit<PartsSpec, "of"> & { most: number },
  says: Said = {},
) => {
  const inputs = Object.entries(of).map(([name, { input }]): [string, z.ZodType] =>
    spec.key.includes(name) && spec.hasOwnId !== true
      ? [name, input instanceof z.ZodNullable ? (input.unwrap() as z.ZodType) : input]
      : [name, input.optional()],
  );
  const input = z.array(z.strictObject(Object.fromEntries(inputs))).max(most);
  const outputs = Object.fromEntries(Object.entries(of).map(([name, { output }]) => [name, output]));
  const output = z.array(z.strictObject(outputs as { [K in keyof P]: P[K]["output"] }));
  return field("parts", input.nullable() as z.ZodType<Part[] | null>, output, {
    ...{ isFilterable: false, fallback: [], ...says },
    parts: { of, ...spec },
  });
};
/** Each once, in the order given. */
export const distinct = (labels: readonly string[]): string[] => [...new Set(labels)];
/** Labels, each once, in the order given. */
export const tags = () =>
  field("text[]", z.array(schemas.text(50)).max(recordLimits.tags), z.array(z.string()), {
    normalise: (value) => ({ value: distinct(value as string[]) }),
    ...{ fallback: [], personal: true, merge: "union" },
  });

/** As many keys at once as a record may have: more would only be refused later. */
const isUpTo = (most: number) => (given: Record<string, unknown>) => Object.keys(given).length <= most;
/** What an organization adds to its records. Given, keys are merged into those that are there; null removes one. */
export const customFields = () =>
  field(
    "json",
    z
      .record(
        z.string().regex(/^[\w -]{1,64}$/, "keys are up to 64 letters, digits, spaces, _ and -"),
        z.union([
          schemas.text(customLimits.longText),
          z.number(),
          z.boolean(),
          z.null(),
          // of multiSelect, and of money
          z.array(schemas.text(200)).max(customLimits.chosen),
          z.strictObject({ amount: z.string().max(40), currency: z.string().max(3) }),
        ]),
      )
      .refine(isUpTo(recordLimits.customFields), `at most ${recordLimits.customFields} custom fields`),
    z.record(z.string(), z.unknown()),
    { isFilterable: false, fallback: {}, personal: true, merge: "keys" },
  );
/** What a person has agreed to, by channel. Keys merge as those of custom fields do. */
export const consent = () =>
  field(
    "json",
    z
      .record(
        z.string().regex(/^\w{1,32}$/, "keys are up to 32 letters, digits and _"),
        z.union([z.boolean(), schemas.text(200), z.null()]),
      )
      .refine(isUpTo(recordLimits.consent), `at most ${recordLimits.consent} consent keys`),
    z.record(z.string(), z.unknown()),
    { isFilterable: false, fallback: {}, personal: true, merge: "keys", prevails: false },
  );

/** More minor units than any price has; they fit a bigint. */
export const mostDigits = 18;
/** An amount with its currency; 0 or more. Lists do not filter by it. */
export const money = (says: Said = {}) =>
  field(
    "money",
    schemas.price
      .refine(({ amount }) => amount.replace(".", "").length <= mostDigits, {
        path: ["amount"],
        error: `may have up to ${mostDigits} digits`,
      })
      .nullable(),
    schemas.money.nullable(),
    { ...says, isFilterable: false },
  );

/** `{ amount: "12.50", currency: "INR" }` as the 1250 that is stored. */
export const toMinorUnits = ({ amount }: { amount: string }): string => {
  return amount.replace(".", "").replace(/^0+(?=\d)/, "");
};
/** The opposite of `toMinorUnits`. */
export function fromMinorUnits(units: string, currency: string): { amount: string; currency: string } {
  const digits = currencyDigits.get(currency) ?? 0;
  const padded = units.padStart(digits + 1, "0");
  const amount = digits === 0 ? padded : `${padded.slice(0, -digits)}.${padded.slice(-digits)}`;
  return { amount, currency };
}

/** The same field, of what always has a value: the service gives it one where the caller does not, and nobody empties it. */
export const always = <I extends z.ZodType, O extends z.ZodType, C extends StoredAs>(
  given: Field<z.ZodNullable<I>, z.ZodNullable<O>, "caller", C>,
): Field<I, O, "caller", C> => ({
  ...given,
  ...{ input: given.input.unwrap(), output: given.output.unwrap(), fallback: null },
});
/** The same field, set by the service alone: shown, never taken from a caller. */
export const byService = <I extends z.ZodType, O extends z.ZodType, C extends StoredAs>(
  given: Field<I, O, "caller", C>,
): Field<I, O, "service", C> => ({ ...given, setBy: "service" });
/** The same field, as a column that the service keeps and nobody is shown, filters or sorts by. */
export const unseen = <I extends z.ZodType, O extends z.ZodType, C extends StoredAs>(
  given: Field<I, O, "caller", C>,
): Field<I, O, "unseen", C> => ({ ...given, setBy: "unseen", isFilterable: false, isSortable: false });
