import type { Field } from "../../mixins/records/kind/fields.ts";
import { letters } from "./letters.rules.ts";

/** What a file's own words mean: column → { theirs: ours }; null: the cell counts as blank. */
export type ValueMap = Readonly<Record<string, Readonly<Record<string, string | number | boolean | null>>>>;
/** As ValueMap, as far as it can be told; null where it cannot. */
export type Suggestions = Record<string, Record<string, string | boolean | null>>;

/** What a cell means, whatever its case; undefined: itself. */
export function valueOf(values: ValueMap[string] | undefined, cell: string): string | undefined {
  if (values === undefined) return undefined;
  const theirs = cell.toLowerCase();
  const found = Object.entries(values).find(([key]) => key.trim().toLowerCase() === theirs);
  return found && String(found[1] ?? "");
}

/** The value of a field that other programs' word stands for; null where that cannot be told. */
export const suggestChoice =
  ({ values = [], words = {} }: Pick<Field, "values" | "words">) =>
  (theirs: string): string | null =>
    values.find((value) => letters(value) === letters(theirs) || words[value]?.includes(letters(theirs)))
    ?? null;
/** The value of a field that a cell names, in any case. */
export const choiceOf = ({ values = [] }: Pick<Field, "values">, cell: string): string | undefined =>
  values.find((value) => value.toLowerCase() === cell.toLowerCase());

const agreed = [
  "optedin",
  "optin",
  "subscribed",
  "granted",
  "agreed",
  "consented",
  "allowed",
  "accepted",
  "given",
  "on",
];
const refused = [
  ...["optedout", "optout", "unsubscribed", "revoked", "withdrawn", "denied", "declined", "donotcontact"],
  ...["donotemail", "dnc", "notsubscribed", "none", "off", "refused"],
];
export function suggestConsent(theirs: string): boolean | null {
  if (agreed.includes(letters(theirs))) return true;
  return refused.includes(letters(theirs)) ? false : null;
}

/** Consent is yes or no however it is written; other words, such as a date or a source, stay. */
export function consentOf(cell: string): boolean | string {
  if (/^(yes|y|true|1)$/i.test(cell)) return true;
  return /^(no|n|false|0)$/i.test(cell) ? false : cell;
}
