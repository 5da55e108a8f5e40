import { z } from "zod";
import { nameText, text } from "../../contract/schemas.ts";

const mostOptions = 200;

/** By which a value that an organization has defined stands in a record. */
export const fieldKey = z
  .string()
  .regex(/^[\w-]{1,64}$/, "up to 64 letters, digits, _ and -")
  .refine((key) => key !== "__proto__", "is no key");

/** What may be chosen in a select or multiSelect; the label is the value by default. */
export const optionsInput = z
  .array(z.strictObject({ value: text(200), label: nameText(200).optional() }))
  .max(mostOptions)
  .refine((all) => new Set(all.map(({ value }) => value)).size === all.length, "each value once");
/** The same as it is shown. */
export const shownOptions = z.array(z.strictObject({ value: z.string(), label: z.string() }));
