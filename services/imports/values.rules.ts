import { letters } from "./known-columns.ts";

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

export const statuses = ["new", "contacted", "qualified", "unqualified", "converted"] as const;
export const isStatus = (word: string): word is (typeof statuses)[number] =>
  (statuses as readonly string[]).includes(word);

/** What other programs call the statuses of leads, reduced to letters. */
const statusWords: Record<(typeof statuses)[number], readonly string[]> = {
  new: ["open", "opennotcontacted", "notcontacted", "uncontacted", "fresh", "raw", "created"],
  contacted: [
    ...[
      "working",
      "workingcontacted",
      "inprogress",
      "attempted",
      "attemptedtocontact",
      "connected",
      "engaged",
    ],
    ...["followup", "nurturing", "contactmade", "opencontacted"],
  ],
  qualified: [
    "opendeal",
    "salesqualified",
    "sql",
    "mql",
    "marketingqualified",
    "hot",
    "interested",
    "accepted",
  ],
  unqualified: [
    ...[
      "disqualified",
      "junk",
      "junklead",
      "lost",
      "lostlead",
      "notqualified",
      "notinterested",
      "badtiming",
      "dead",
    ],
    ...["closednotconverted", "rejected", "recycled", "invalid"],
  ],
  converted: ["closedconverted", "customer", "won", "closedwon", "client"],
};
export const suggestStatus = (theirs: string): string | null =>
  statuses.find((status) => status === letters(theirs) || statusWords[status].includes(letters(theirs)))
  ?? null;

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
