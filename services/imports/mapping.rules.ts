import type { FieldError } from "../../mixins/contract/errors.ts";
import { textBytes } from "./batches.rules.ts";
import { maxColumns } from "./csv.rules.ts";
import { convert, type FieldTypes } from "./field-types.rules.ts";

/** Fields of a lead that a column may fill. */
const leadTargets = [
  ...["externalId", "firstName", "lastName", "email", "phone", "companyName", "title", "source", "status"],
  ...["assignedTo", "tags"],
];
const customTarget = /^customFields\.(?!__proto__$)[\w -]{1,64}$/;
const consentTarget = /^consent\.(?!__proto__$)\w{1,32}$/;
const maxCustomFields = 100;

/** Names by which columns are known, reduced to a-z and 0-9; the first that a file has is taken. */
const knownNames: Record<string, readonly string[]> = {
  externalId: ["externalid", "prospectid", "leadid", "recordid", "crmid", "id"],
  firstName: ["firstname", "givenname", "forename", "fname", "fullname", "name"],
  lastName: ["lastname", "surname", "familyname", "lname"],
  email: ["email", "emailaddress", "emailid", "workemail", "mail"],
  phone: [
    "phone",
    "phonenumber",
    "mobile",
    "mobilenumber",
    "mobilephone",
    "telephone",
    "contactnumber",
    "whatsapp",
  ],
  companyName: ["company", "companyname", "organization", "organisation", "accountname", "account"],
  title: ["jobtitle", "title", "designation"],
  source: ["leadsource", "source"],
  status: ["leadstatus", "status"],
  tags: ["tags", "labels"],
};

/** Column → field, `customFields.<key>`, `consent.<key>`, or null to leave the column out. */
export type Mapping = Readonly<Record<string, string | null>>;
/** The same for every column of a file, in its order. */
export type ColumnTargets = [column: string, target: string | null][];

/** What is wrong with a mapping, whatever the file: unknown fields, and fields that two columns fill. */
export function mappingErrors(mapping: Mapping): FieldError[] {
  const errors: FieldError[] = [];
  const taken = new Set<string>();
  for (const [column, target] of Object.entries(mapping)) {
    const path = `mapping.${column}`;
    if (target === null) continue;
    if (!leadTargets.includes(target) && !customTarget.test(target) && !consentTarget.test(target))
      errors.push({
        path,
        code: "unknown_field",
        message: `"${target}" is no field of a lead. Fields are ${leadTargets.join(", ")}, customFields.<key> and consent.<key>.`,
      });
    else if (taken.has(target))
      errors.push({ path, code: "duplicate_field", message: `Two columns are mapped to ${target}.` });
    taken.add(target);
  }
  return errors;
}

/** Columns that a mapping names and a file does not have. */
export const unknownColumns = (mapping: Mapping, columns: readonly string[]): string[] =>
  Object.keys(mapping).filter((column) => !columns.includes(column));

/**
 * Where each column goes: as `mapping` says, else by its name, else into a custom field named after it.
 * @returns an error instead when a lead would get too many custom fields
 */
export function resolveMapping(columns: readonly string[], mapping: Mapping): ColumnTargets | FieldError {
  const targets = new Map<string, string | null>(
    columns.filter((c) => Object.hasOwn(mapping, c)).map((c) => [c, mapping[c] ?? null]),
  );
  const taken = new Set<string | null>(targets.values());
  for (const [field, names] of Object.entries(knownNames)) {
    if (taken.has(field)) continue;
    const free = columns.filter((column) => !targets.has(column));
    const known = names.flatMap((name) => free.filter((column) => letters(column) === name))[0];
    if (known !== undefined) targets.set(known, field);
  }
  for (const target of targets.values()) taken.add(target);
  for (const [index, column] of columns.entries()) {
    if (targets.has(column)) continue;
    const key = camelCase(column) || `column${index + 1}`;
    let target = `customFields.${key}`;
    for (let copy = 2; taken.has(target); copy++) target = `customFields.${key.slice(0, 60)}${copy}`;
    taken.add(target);
    targets.set(column, target);
  }
  const custom = [...targets.values()].filter((target) => target?.startsWith("customFields.")).length;
  if (custom > maxCustomFields)
    return {
      path: "mapping",
      code: "too_many_custom_fields",
      message: `${custom} columns would become custom fields; ${maxCustomFields} are allowed. Map columns to null to leave them out.`,
    };
  return columns.map((column) => [column, targets.get(column) ?? null]);
}

const letters = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]/g, "");

/** `How did you hear?` → `howDidYouHear`; empty when the name has no Latin letters or digits. */
export function camelCase(name: string): string {
  const words =
    name
      .normalize("NFKD")
      .replaceAll(/\p{M}/gu, "")
      .match(/[A-Za-z0-9]+/g) ?? [];
  return words
    .map((word, index) => {
      const isShouting = word.length > 1 && word === word.toUpperCase();
      const lower = isShouting ? word.toLowerCase() : word;
      return index === 0
        ? lower[0]?.toLowerCase() + lower.slice(1)
        : lower[0]?.toUpperCase() + lower.slice(1);
    })
    .join("")
    .slice(0, 64);
}

/** A cell that says nothing; "Select" is what web forms send when nobody chose. */
export const isBlank = (cell: string): boolean =>
  cell.trim() === "" || cell.trim().toLowerCase() === "select";

/** Longest cell a lead can hold, in characters. */
const maxCellLength = 5000;
/** A longer row would not fit into a message between nodes. */
const maxRowBytes = 200_000;

/** One row as leads.importBatch takes it. */
export interface ImportRow {
  rowNumber: number;
  input: Record<string, unknown>;
  record: Record<string, string>;
  error?: string;
}

/** Reads the cells of one row into the fields of a lead; a row of another shape is rejected. */
export function toImportRow(
  cells: readonly string[],
  rowNumber: number,
  targets: ColumnTargets,
  types: FieldTypes,
): ImportRow {
  const isOversized = textBytes(cells) > maxRowBytes;
  const keptLength = isOversized ? 100 : maxCellLength;
  const record = Object.fromEntries(
    cells
      .slice(0, maxColumns)
      .map((cell, index) => [targets[index]?.[0] ?? `column ${index + 1}`, shortened(cell, keptLength)]),
  );
  const rejected = (error: string): ImportRow => ({ rowNumber, input: {}, record, error });
  if (cells.length !== targets.length)
    return rejected(`The row has ${counted(cells.length, "cell")}, the heading ${targets.length}.`);
  if (isOversized) return rejected(`The row is larger than ${maxRowBytes / 1000} KB.`);
  const input: Record<string, unknown> = {};
  const customFields: [string, unknown][] = [];
  const consent: [string, unknown][] = [];
  for (const [index, [column, target]] of targets.entries()) {
    const cell = (cells[index] as string).trim();
    if (target === null || isBlank(cell)) continue;
    if (cell.length > maxCellLength)
      return rejected(`The cell "${column}" has ${cell.length} characters; ${maxCellLength} are allowed.`);
    if (target.startsWith("customFields.")) {
      const key = target.slice("customFields.".length);
      customFields.push([key, convert(cell, types.get(key))]);
    } else if (target.startsWith("consent."))
      consent.push([target.slice("consent.".length), consentOf(cell)]);
    else if (target === "tags")
      input.tags = [...new Set(cell.split(/[;,]/).map((tag) => tag.trim()))].filter(Boolean);
    else input[target] = target === "status" ? cell.toLowerCase() : cell;
  }
  if (customFields.length > 0) input.customFields = Object.fromEntries(customFields);
  if (consent.length > 0) input.consent = Object.fromEntries(consent);
  return { rowNumber, input, record };
}

/** A cell as the list of rejected rows keeps it. */
const shortened = (cell: string, length: number): string =>
  cell.length > length ? `${cell.slice(0, length).toWellFormed()}…` : cell;
const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** Consent is yes or no however it is written; other words, such as a date or a source, stay. */
function consentOf(cell: string): boolean | string {
  if (/^(yes|y|true|1)$/i.test(cell)) return true;
  return /^(no|n|false|0)$/i.test(cell) ? false : cell;
}

/** Custom fields of a row's cells: key → cell, blank ones left out. */
export function* customCells(
  cells: readonly string[],
  targets: ColumnTargets,
): Generator<[key: string, cell: string]> {
  if (cells.length !== targets.length) return;
  for (const [index, [, target]] of targets.entries()) {
    const cell = (cells[index] as string).trim();
    if (target?.startsWith("customFields.") && !isBlank(cell))
      yield [target.slice("customFields.".length), cell];
  }
}
