import { z } from "zod";

/** Text a person typed: trimmed, 1 to `most` characters of well-formed Unicode, no control characters but tab and newline. */
export const text = (most: number) =>
  z
    .string()
    .trim()
    .min(1)
    .max(most)
    .refine((value) => !hasControlCharacters(value) && value.isWellFormed(), {
      error: "may not contain control characters or halves of characters",
      params: { code: "invalid_characters" },
    });

// NUL cannot be stored; the others only hide things from readers
const controlCharacters = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/;
const hasControlCharacters = (value: string): boolean => controlCharacters.test(value);

export const id = z.uuid();
export const timestamp = z.iso.datetime({ precision: 3 });
/** The times that ISO 8601 writes with four digits of a year, and PostgreSQL takes: of the years 1 to 9999, UTC. */
const firstTime = Date.parse("0001-01-01T00:00:00.000Z");
const lastTime = Date.parse("9999-12-31T23:59:59.999Z");
const isInRange = (ms: number): boolean => ms >= firstTime && ms <= lastTime;
/** A day, or a time with an offset or without, as `parseTime` takes them. */
const timeText = z.union([z.iso.datetime({ offset: true, local: true }), z.iso.date()]);
/** Milliseconds since 1970 of a day (its beginning in UTC) or time in ISO 8601; undefined for what is none of the years 1 to 9999. */
export function parseTime(text: string): number | undefined {
  const ms = timeText.safeParse(text).success ? Date.parse(text) : NaN;
  return isInRange(ms) ? ms : undefined;
}
/** A time a caller gives, of the years 1 to 9999, any ISO 8601 offset; becomes UTC with milliseconds. */
export const timeInput = z.iso.datetime({ offset: true }).transform((value, issues) => {
  const ms = Date.parse(value);
  if (isInRange(ms)) return new Date(ms).toISOString();
  issues.addIssue({
    ...{ code: "custom", params: { code: "out_of_range" } },
    message: "Must be a time of the years 0001 to 9999 (UTC).",
  });
  return z.NEVER;
});
/** Lowercased; at most 254 characters (RFC 5321). */
export const email = z.string().trim().toLowerCase().max(254).pipe(z.email());
export const money = z
  .strictObject({
    /** Decimal with at most two places; never a float. */
    amount: z.string().regex(/^-?\d{1,16}(\.\d{1,2})?$/, "must be a decimal in a text, such as 1234.50"),
    currency: z.string().regex(/^[A-Z]{3}$/, "must be a currency of ISO 4217 such as INR"),
  })
  .meta({ id: "Money" });
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
    /** With `count=true`: of all pages together. */
    total: z.number().int().optional(),
  })
  .meta({ id: "Page" });
/** The envelope of every list. */
export const pageOf = <T extends z.ZodType>(item: T) =>
  z.strictObject({ data: z.array(item), page: pageInfo });
