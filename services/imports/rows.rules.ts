import { isPhoneCountry, readPhone, type CountryCode } from "../../mixins/values/phone.ts";
import { parseTime } from "../../mixins/contract/schemas.ts";
import { instantIn } from "../../mixins/contract/time-zone.ts";
import { checkCustomValue, readCustomCell, type CustomType } from "../../mixins/values/custom-value.ts";
import { textBytes, type NumberedRow } from "./batches.rules.ts";
import type { Field } from "../../mixins/records/kind/fields.ts";
import { armedCell, storableCell, writtenEmail } from "../../mixins/values/cells.ts";
import { brokenCharacter } from "./file/encoding.ts";
import { maxColumns } from "./file/format.ts";
import { keyOf } from "./field-keys.rules.ts";
import type { ColumnTargets } from "./mapping.rules.ts";
import { amountOf, integerOf, yesOrNo } from "./cells.rules.ts";
import type { KindTargets } from "./targets.ts";
import { choiceOf, consentOf, valueOf, type ValueMap } from "./values.rules.ts";

/** Type of each custom field by its key. */
export type FieldTypes = Map<string, CustomType>;

/** How the rows of a file become records. */
export interface RowPlan {
  kind: KindTargets;
  targets: ColumnTargets;
  types: FieldTypes;
  values?: ValueMap | undefined;
  /** Of phones without one. */
  country?: string | undefined;
  /** Of amounts without one. */
  currency?: string | undefined;
  /** Of times without one; default UTC. */
  timeZone?: string | undefined;
  /** Users by their emails. */
  owners?: ReadonlyMap<string, string> | undefined;
}

/** One row as importBatch of its kind takes it. */
export interface ImportRow {
  rowNumber: number;
  input: Record<string, unknown>;
  record: Record<string, string>;
  error?: string;
  /** What of the row does not come in, and why. */
  notes?: string[];
}

const selectable = /^(customFields\.|status$|source$|lifecycleStage$|industry$)/;
/** A cell that says nothing; "Select" is what web forms send when nobody chose, where there was something to choose. */
export const isBlank = (cell: string, target: string | null = null): boolean =>
  cell.trim() === "" || (cell.trim().toLowerCase() === "select" && selectable.test(target ?? ""));

/** A cell as it is read: trimmed, what it means in its column, and as it was before a spreadsheet was kept from running it. */
export function meaningOf(cell: string, values: ValueMap[string] | undefined): string {
  const written = armedCell(cell.trim());
  return (valueOf(values, written) ?? written).trim();
}

/** Longest cell a record can hold, in characters. */
const maxCellLength = 5000;
/** A longer row would not fit into a message between nodes. */
const maxRowBytes = 200_000;
/** What spreadsheets make of long numbers. */
const damagedId = /^\d([.,]\d+)?E\+\d+$/i;

/** Reads the cells of one row into the fields of a record; a row that cannot be read is rejected, with the reason. */
export function toImportRow(row: NumberedRow, plan: RowPlan): ImportRow {
  const { rowNumber, cells } = row;
  const { targets } = plan;
  const isOversized = textBytes(cells) > maxRowBytes;
  const keptLength = isOversized ? 100 : maxCellLength;
  const record = Object.fromEntries(
    cells
      .slice(0, maxColumns)
      .map((cell, index) => [targets[index]?.[0] ?? `column ${index + 1}`, shortened(cell, keptLength)]),
  );
  const rejected = (error: string): ImportRow => ({ rowNumber, input: {}, record, error });
  if (row.flaw !== undefined) return rejected(row.flaw);
  if (cells.every((cell) => cell.trim() === "")) return rejected("The row has only blank cells.");
  // spreadsheets leave out blank cells at the end of a row, or add some
  if (cells.slice(targets.length).some((cell) => cell.trim() !== ""))
    return rejected(`The row has ${cells.length} cells, the heading ${targets.length}.`);
  if (isOversized) return rejected(`The row is larger than ${maxRowBytes / 1000} KB.`);
  const reading = new RowReading(plan);
  for (const [index, [column, target]] of targets.entries()) {
    const cell = meaningOf(cells[index] ?? "", plan.values?.[column]);
    if (target === null || isBlank(cell, target)) continue;
    const refusal = refusalOf(column, target, cell) ?? reading.take(column, target, cell);
    if (refusal !== undefined) return rejected(refusal);
  }
  return { rowNumber, record, ...reading.result() };
}

function refusalOf(column: string, target: string, cell: string): string | undefined {
  const most = target === "customFields" || target === "consent" ? maxRowBytes : maxCellLength;
  if (cell.length > most) return `The cell "${column}" has ${cell.length} characters; ${most} are allowed.`;
  if (cell.includes(brokenCharacter))
    return `The cell "${column}" holds bytes that are no character of UTF-8; name the file's \`encoding\`, or save it as CSV UTF-8.`;
  if (/(^|\.)externalId$/.test(target) && damagedId.test(cell))
    return `The cell "${column}" is ${cell}: a spreadsheet has cut the digits of the id. Take the ids from where they came from, as text.`;
  return undefined;
}

/** A row on its way into the input of a record. */
class RowReading {
  readonly #plan: RowPlan;
  readonly #input: Record<string, unknown> = {};
  readonly #customFields = new Map<string, unknown>();
  readonly #consent = new Map<string, unknown>();
  readonly #notes: string[] = [];

  constructor(plan: RowPlan) {
    this.#plan = plan;
  }

  /** Adds a cell; answers why the row cannot come in without it, if so. */
  take(column: string, target: string, cell: string): string | undefined {
    if (target.startsWith("customFields.")) this.#takeCustom(target.slice("customFields.".length), cell);
    else if (target.startsWith("consent."))
      this.#consent.set(target.slice("consent.".length), consentOf(cell));
    else if (target === "customFields" || target === "consent") return this.#takeObject(column, target, cell);
    else return this.#takeField(column, target, cell);
    return undefined;
  }

  result(): Pick<ImportRow, "input" | "notes"> {
    const input = { ...this.#input };
    if (this.#customFields.size > 0) input.customFields = Object.fromEntries(this.#customFields);
    if (this.#consent.size > 0) input.consent = Object.fromEntries(this.#consent);
    return { input, ...(this.#notes.length > 0 && { notes: this.#notes }) };
  }

  #takeCustom(key: string, cell: string): void {
    const read = readCustomCell({ type: this.#plan.types.get(key) ?? "text", country: this.#country }, cell);
    if ("value" in read) this.#customFields.set(key, read.value);
    else this.#leaveOut(`customFields.${key}`, cell, read.message);
  }

  /** An object as an export writes it, in JSON. */
  #takeObject(column: string, target: "customFields" | "consent", cell: string): string | undefined {
    const fields = objectOf(cell);
    if (!fields) return `The cell "${column}" is no JSON object.`;
    for (const [key, value] of Object.entries(fields)) {
      if (target === "consent") this.#consent.set(key, value);
      else {
        const type = this.#plan.types.get(key);
        const problem = type && checkCustomValue({ type }, value);
        if (problem) this.#leaveOut(`customFields.${key}`, JSON.stringify(value), problem.message);
        else this.#customFields.set(key, value);
      }
    }
    return undefined;
  }

  #takeField(column: string, target: string, cell: string): string | undefined {
    const known = this.#plan.kind.targets.get(target);
    switch (known?.reading) {
      case undefined:
        break;
      case "phone":
        this.#takePhone(target, cell);
        break;
      case "choice":
        this.#put(target, choiceOf(known.field, cell), () => this.#keepAside(column, target, cell));
        break;
      case "user":
        this.#takeUser(column, target, cell);
        break;
      case "reference":
        this.#put(target, uuidOf(cell), () => this.#leaveOut(target, cell, "is no id"));
        break;
      case "integer":
        this.#put(target, integerOf(cell), () => this.#leaveOut(target, cell, "is no whole number"));
        break;
      case "boolean":
        this.#put(target, yesOrNo(cell), () => this.#leaveOut(target, cell, "is neither yes nor no"));
        break;
      case "time":
        this.#put(target, timeOf(cell, this.#plan.timeZone), () =>
          this.#leaveOut(target, cell, "is no day or time of ISO 8601, such as 2026-03-01"),
        );
        break;
      case "money":
        this.#takeAmount(target, cell);
        break;
      case "object": {
        const object = objectOf(cell);
        if (!object) return `The cell "${column}" is no JSON object.`;
        this.#input[target] = { ...object, ...(this.#input[target] as object | undefined) };
        break;
      }
      case "list": {
        const list = parsed(cell);
        if (!Array.isArray(list)) return `The cell "${column}" is no JSON list.`;
        this.#input[target] = list;
        break;
      }
      case "part":
      case "associated": {
        const [whole = "", part = ""] = target.split(".");
        this.#input[whole] = {
          ...(this.#input[whole] as object | undefined),
          [part]: textOf(known.field, cell),
        };
        break;
      }
      case "tags":
        this.#input[target] = tagsOf(cell);
        break;
      case "text":
        this.#input[target] = textOf(known.field, cell);
    }
    return undefined;
  }

  get #country(): CountryCode | undefined {
    const { country } = this.#plan;
    return country !== undefined && isPhoneCountry(country) ? country : undefined;
  }

  #put(target: string, value: unknown, otherwise: () => void): void {
    if (value === undefined) otherwise();
    else this.#input[target] = value;
  }

  #takePhone(target: string, cell: string): void {
    const reading = readPhone(cell, this.#country);
    if ("phone" in reading) this.#input[target] = reading.phone;
    else this.#leaveOut(target, cell, reading.doubt);
  }

  #takeAmount(target: string, cell: string): void {
    const reading = amountOf(cell, this.#plan.currency);
    if ("money" in reading) this.#input[target] = reading.money;
    else this.#leaveOut(target, cell, reading.doubt);
  }

  #takeUser(column: string, target: string, cell: string): void {
    const id = uuidOf(cell) ?? this.#plan.owners?.get(cell.toLowerCase());
    this.#put(target, id, () => this.#keepAside(column, target, cell));
  }

  /** What does not fit into a field goes to a custom field that is called as its column. */
  #keepAside(column: string, target: string, cell: string): void {
    const key = keyOf(column);
    this.#takeCustom(key, cell);
    this.#notes.push(
      `${target}: "${shortened(cell, 100)}" means nothing here and is kept as customFields.${key}; name what it means in \`values\``,
    );
  }

  #leaveOut(field: string, cell: string, why: string): void {
    this.#notes.push(`${field}: "${shortened(cell, 100)}" ${why}`);
  }
}

const textOf = ({ format }: Pick<Field, "format">, cell: string): string =>
  format === "email" ? writtenEmail(cell) : cell;

/** A day is its beginning. */
function timeOf(cell: string, zone = "UTC"): string | undefined {
  const ms = parseTime(cell.replace(/^(\d{4}-\d\d-\d\d) (?=\d\d:)/, "$1T"));
  if (ms === undefined) return undefined;
  const isLocal = !/(Z|[+-]\d\d(:?\d\d)?)$/i.test(cell.slice("2026-03-01".length));
  return new Date(isLocal ? instantIn(zone, ms) : ms).toISOString();
}

const uuidOf = (cell: string): string | undefined =>
  /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(cell) ? cell.toLowerCase() : undefined;

/** Tags as an export writes them, in JSON, or as people do. */
function tagsOf(cell: string): string[] {
  const list = cell.startsWith("[") ? parsed(cell) : undefined;
  const tags =
    Array.isArray(list) && list.every((tag) => typeof tag === "string") ? list : cell.split(/[;,]/);
  return [...new Set(tags.map((tag) => tag.trim()))].filter(Boolean);
}

/** A cell as a JSON object; undefined when it is none. */
export function objectOf(cell: string): Record<string, unknown> | undefined {
  const value = parsed(cell);
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

function parsed(cell: string): unknown {
  try {
    return JSON.parse(cell);
  } catch {
    return undefined;
  }
}

/** A cell as the list of rejected rows keeps it, which writes it so that no spreadsheet runs it. */
const shortened = (cell: string, length: number): string =>
  storableCell(armedCell(cell.length > length ? `${cell.slice(0, length)}…` : cell));
