import { z } from "zod";
import { repeatedName } from "../../contract/repeated-names.ts";
import { currency, id, text } from "../../contract/schemas.ts";
import { isPhoneCountry } from "../../values/phone.ts";
import type { AnyKind } from "../kind/kind.ts";
import { defaultKeysOf, importKeysOf } from "./keys.ts";

export const duplicateRules = ["skip", "update", "create"] as const;
/** How the characters of a file may be written. */
export const encodings = ["utf-8", "utf-16le", "utf-16be", "windows-1252"] as const;
export type Encoding = (typeof encodings)[number];

/** What an import is told of who brought the file and does not see all records: whose what it makes is. */
export const limitedImporter = z.strictObject({ owner: id.nullable() });
export type LimitedImporter = z.output<typeof limitedImporter>;

/** Form fields arrive as text; JSON values are written as JSON, and an empty field counts as none. */
const json = <T extends z.ZodType>(schema: T) =>
  z
    .string()
    .max(100_000)
    .transform((value, issues) => {
      try {
        const parsed = JSON.parse(value || "{}") as unknown;
        const repeated = repeatedName(value);
        if (!repeated) return parsed;
        issues.addIssue({
          code: "custom",
          message: `has ${repeated.join(".")} twice`,
          params: { code: "duplicate_field" },
        });
        return z.NEVER;
      } catch {
        issues.addIssue({ code: "custom", message: "must be JSON" });
        return z.NEVER;
      }
    })
    .pipe(schema);
const mapping = z.record(text(200), text(200).nullable());
const values = z.record(
  text(200),
  z.record(z.string().max(5000), z.union([z.string().max(5000), z.number(), z.boolean(), z.null()])),
);
const delimiterNames: Record<string, string> = {
  comma: ",",
  semicolon: ";",
  tab: "\t",
  "\\t": "\t",
  pipe: "|",
};

/** What comes with a file of records of a kind. */
export function importForm(kind: AnyKind) {
  const matchBy = z.array(z.enum(importKeysOf(kind) as [string, ...string[]])).min(1);
  return z.strictObject({
    fileName: text(255).default("upload.csv"),
    /** CSV column → field, `customFields.<key>`, or null to leave it out. Unmapped columns are guessed by name. */
    mapping: z.union([mapping, json(mapping)]).default({}),
    dryRun: z
      .union([z.boolean(), z.enum(["true", "false"]).transform((flag) => flag === "true")])
      .default(false),
    onDuplicate: z.enum(duplicateRules).default("skip"),
    /**
     * By what a row is found to be of a record that there is, or of an earlier row. A key never joins two whom a stronger one (one
     * that stands before it) tells apart. As a form field separated by commas.
     */
    matchBy: z
      .union([
        matchBy,
        z
          .string()
          .max(100)
          .transform((list) => list.split(",").map((key) => key.trim()))
          .pipe(matchBy),
      ])
      .default(defaultKeysOf(kind)),
    /** Of phones without a country code; ISO 3166-1. Default: the organization's. */
    country: z
      .string()
      .toUpperCase()
      .refine(isPhoneCountry, "must be a country of ISO 3166-1, such as IN, US or DE")
      .optional(),
    /** Of amounts without one; ISO 4217. Default: the organization's. */
    currency: currency.optional(),
    /** What words of the file mean: column → { theirs: ours }; null: nothing. Their case does not matter. */
    values: z.union([values, json(values)]).default({}),
    /** One character, or comma, semicolon, tab, pipe. Found out where it is not given. */
    delimiter: z
      .string()
      .max(10)
      .transform((given) => delimiterNames[given.toLowerCase()] ?? given)
      .pipe(
        z.string().regex(/^[^\w"\r\n]$/, "must be one character that is no letter, digit, quote or line end"),
      )
      .optional(),
    /** Found out where it is not given. */
    encoding: z.string().toLowerCase().pipe(z.enum(encodings)).optional(),
  });
}
export type ImportForm = z.output<ReturnType<typeof importForm>>;
