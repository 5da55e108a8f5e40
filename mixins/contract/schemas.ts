import { z } from "zod";
import { currencyDigits } from "./currencies.ts";

/** Text a person typed: trimmed, in NFC, so that what looks alike is found alike; 1 to `most` characters of well-formed Unicode, no control characters but tab and newline. */
export const text = (most: number) =>
  z
    .string()
    .trim()
    .normalize("NFC")
    .min(1)
    .max(most)
    .refine((value) => !hasControlCharacters(value) && value.isWellFormed(), {
      error: "may not contain control characters or halves of characters",
      params: { code: "invalid_characters" },
    });

/**
 * The id that a record has elsewhere. It stands in an address, where `.` and `..` mean another one: clients take them out before
 * they send (RFC 3986, 6.2.2.3; the URL standard also where they are percent-encoded), so nobody could ask for the record by it.
 */
export const externalId = text(200).refine((value) => value !== "." && value !== "..", {
  error: "may not be . or .., which mean another address in a URL",
  params: { code: "not_an_address" },
});

/** As `text`, on one line and without what turns the direction of reading: what things and people are called. */
export const nameText = (most: number) =>
  text(most).refine((value) => !/[\t\n\u0085\u2028\u2029\u202a-\u202e\u2066-\u2069]/.test(value), {
    error: "must be one line of text, without control characters",
    params: { code: "invalid_characters" },
  });

// NUL cannot be stored; the others only hide things from readers
const controlCharacters = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/;
const hasControlCharacters = (value: string): boolean => controlCharacters.test(value);

/** A whole number, also as a query string writes it: in digits alone. */
export const wholeNumber = (least: number, most: number) =>
  z
    .unknown()
    .transform((given, issues) => {
      const number = typeof given === "string" && /^-?\d{1,16}$/.test(given) ? Number(given) : given;
      if (Number.isSafeInteger(number) && (number as number) >= least && (number as number) <= most)
        return number as number;
      const code = typeof number !== "number" ? "invalid_type" : number < least ? "too_small" : "too_big";
      issues.addIssue({
        code: "custom",
        message: `must be a whole number from ${least} to ${most}, in digits`,
        params: { code: Number.isSafeInteger(number) ? code : "invalid_type" },
      });
      return z.NEVER;
    })
    .meta({ type: "integer", minimum: least, maximum: most });
/** A UUID; in lower case, as PostgreSQL answers it. */
export const id = z.uuid().toLowerCase();
export const timestamp = z.iso.datetime({ precision: 3 });
/** The times that ISO 8601 writes with four digits of a year, and PostgreSQL takes: of the years 1 to 9999, UTC. */
const firstTime = Date.parse("0001-01-01T00:00:00.000Z");
const lastTime = Date.parse("9999-12-31T23:59:59.999Z");
/** Whether an instant, in ms since 1970, is of these years; NaN is not. */
export const isTimeInRange = (ms: number): boolean => ms >= firstTime && ms <= lastTime;
/** A day, or a time with an offset or without, as `parseTime` takes them. */
const timeText = z.union([z.iso.datetime({ offset: true, local: true }), z.iso.date()]);
/**
 * Milliseconds since 1970 of a day (its beginning) or time in ISO 8601, in UTC where it names no offset; undefined for what is
 * none of the years 1 to 9999.
 */
export function parseTime(text: string): number | undefined {
  // a time without an offset would be of the zone of this process
  const whole = /T[^Z+-]*$/.test(text) ? `${text}Z` : text;
  const ms = timeText.safeParse(text).success ? Date.parse(whole) : NaN;
  return isTimeInRange(ms) ? ms : undefined;
}
/** A time a caller gives, of the years 1 to 9999, any ISO 8601 offset; becomes UTC with milliseconds. */
export const timeInput = z.iso.datetime({ offset: true }).transform((value, issues) => {
  const ms = Date.parse(value);
  if (isTimeInRange(ms)) return new Date(ms).toISOString();
  issues.addIssue({
    ...{ code: "custom", params: { code: "out_of_range" } },
    message: "Must be a time of the years 0001 to 9999 (UTC).",
  });
  return z.NEVER;
});
/** Lowercased; at most 254 characters (RFC 5321). */
export const email = z.string().trim().toLowerCase().max(254).pipe(z.email());
/** Money as it is shown: a decimal, never a float, with its currency of ISO 4217. */
export const money = z.strictObject({ amount: z.string(), currency: z.string() }).meta({ id: "Money" });
/** A currency of ISO 4217; in capitals. */
export const currency = z
  .string()
  .toUpperCase()
  .refine((code) => currencyDigits.has(code), "must be a currency of ISO 4217, such as INR, USD or KWD");
/** Digits before the point. */
const wholeDigits = 16;
/**
 * A price a caller gives: 0 or more, with no more digits after the point than its currency has (JPY 0, INR 2, KWD 3).
 * Becomes an amount with exactly those digits: `"5"` of INR is `"5.00"`.
 */
export const price = z
  .strictObject({
    amount: z.string().regex(/^-?\d+(\.\d+)?$/, 'must be a decimal in quotes, such as "1234.50"'),
    currency: z
      .string()
      .refine((code) => currencyDigits.has(code), "must be a currency of ISO 4217, such as INR, USD or KWD"),
  })
  .transform(({ amount, currency }, { issues }) => {
    const digits = currencyDigits.get(currency) ?? 0;
    // one way to read it, however long: this runs for what the pattern above has refused too
    const [, sign = "", written = "", fraction = ""] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(amount) ?? [];
    const whole = written.replace(/^0+(?=\d)/, "");
    const refuse = (message: string) =>
      issues.push({ code: "custom", path: ["amount"], message, input: amount });
    if (sign !== "" && /[1-9]/.test(amount)) refuse("must be a price: 0 or more");
    if (whole.length > wholeDigits) refuse(`may have up to ${wholeDigits} digits before the point`);
    if (fraction.length > digits)
      refuse(
        digits === 0
          ? `${currency} has no digits after the point`
          : `${currency} has ${digits} digits after the point`,
      );
    return { amount: digits === 0 ? whole : `${whole}.${fraction.padEnd(digits, "0")}`, currency };
  });
/** For PATCH and DELETE: the version the caller saw; the gateway fills it from If-Match. */
export const expectedVersion = z.number().int().positive().optional();
export const byId = z.strictObject({ id });
export const byIdVersioned = z.strictObject({ id, expectedVersion });

/** One thing that is wrong with a request; see FieldError. */
export const fieldError = z
  .strictObject({
    /** `items.3.email`; empty: the request as a whole. */
    path: z.string(),
    code: z.string(),
    message: z.string(),
    /** What may stand there, where that is a short list. */
    allowed: z.array(z.string()).readonly().optional(),
  })
  .meta({ id: "FieldError" });

const pageInfo = z
  .strictObject({
    /** Where the next page begins; null: this was the last. */
    nextCursor: z.string().nullable(),
    hasMore: z.boolean(),
    /** With `count=true`: of all pages together, exact up to 10,000; with `count=exact`, always. */
    total: z.union([z.number().int(), z.strictObject({ atLeast: z.number().int() })]).optional(),
  })
  .meta({ id: "Page" });
/** The envelope of every list. */
export const pageOf = <T extends z.ZodType>(item: T) =>
  z.strictObject({ data: z.array(item), page: pageInfo });
