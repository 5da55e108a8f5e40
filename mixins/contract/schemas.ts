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
/** A time a caller gives, any ISO 8601 offset; becomes UTC with milliseconds. */
export const timeInput = z.iso.datetime({ offset: true }).transform((value) => new Date(value).toISOString());
/** Lowercased; at most 254 characters (RFC 5321). */
export const email = z.string().trim().toLowerCase().max(254).pipe(z.email());
export const money = z
  .strictObject({
    /** Decimal with at most two places; never a float. */
    amount: z.string().regex(/^-?\d{1,16}(\.\d{1,2})?$/),
    currency: z.string().regex(/^[A-Z]{3}$/),
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
