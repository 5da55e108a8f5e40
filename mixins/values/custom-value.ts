import { email, id, price, timeInput } from "../contract/schemas.ts";
import { writtenEmail } from "./cells.ts";
import { compareDecimals, decimalOf } from "./decimal.ts";
import { readPhone, type CountryCode } from "./phone.ts";

/** Types of custom fields. */
export const customTypes = [
  ...([
    "text",
    "longText",
    "number",
    "boolean",
    "date",
    "datetime",
    "money",
    "select",
    "multiSelect",
  ] as const),
  ...(["url", "email", "phone", "user", "reference"] as const),
] as const;
export type CustomType = (typeof customTypes)[number];
export type CustomValue =
  string | number | boolean | readonly string[] | { readonly amount: string; readonly currency: string };

/** What is wrong with a value, as words that follow the field's name. */
export interface CustomProblem {
  code: "wrong_type" | "too_big" | "not_allowed" | "invalid_phone";
  message: string;
  /** Values that it may have. */
  allowed?: readonly string[];
}
/** What of a definition decides how a value is read. */
export interface CustomShape {
  type: CustomType;
  /** Of select and multiSelect; where they are not known, any. */
  options?: readonly { value: string }[];
  /** Of phones that name none; default the installation's. */
  country?: CountryCode | undefined;
}

/** Characters of a text, of a long one, of an address, and how many options a multiSelect may have chosen. */
export const customLimits = { text: 5_000, longText: 20_000, url: 2_000, chosen: 100 } as const;

/**
 * A value in the form that is stored, as the API is given it, or what is wrong with it. Whether a user or a record is there, whoever
 * asks sees to.
 */
export function readCustomValue(
  { type, options, country }: CustomShape,
  value: unknown,
): { value: CustomValue } | CustomProblem {
  const wrong = (message = expectations[type]): CustomProblem => ({ code: "wrong_type", message });
  if (type === "number") return typeof value === "number" && Number.isFinite(value) ? { value } : wrong();
  if (type === "boolean") return typeof value === "boolean" ? { value } : wrong();
  if (type === "money") {
    const read = price.safeParse(value);
    return read.success ? { value: read.data } : wrong();
  }
  if (type === "multiSelect") {
    if (!Array.isArray(value) || !value.every((one) => typeof one === "string")) return wrong();
    const chosen = [...new Set(value)];
    if (chosen.length > customLimits.chosen)
      return {
        code: "too_big",
        message: `may have ${customLimits.chosen} values, this has ${chosen.length}`,
      };
    for (const one of chosen) {
      const problem = notAmong(options, one);
      if (problem) return problem;
    }
    return { value: chosen };
  }
  if (typeof value !== "string") return wrong();
  return readText({ type, country, ...(options && { options }) }, value) ?? wrong();
}

/** Undefined: it is no such text. */
function readText(
  { type, options, country }: CustomShape,
  text: string,
): { value: string } | CustomProblem | undefined {
  const most =
    type === "longText" ? customLimits.longText : type === "url" ? customLimits.url : customLimits.text;
  if (text.length > most)
    return { code: "too_big", message: `may have ${most} characters, this has ${text.length}` };
  switch (type) {
    case "date":
      return isIsoDate(text) ? { value: text } : undefined;
    case "datetime": {
      const read = timeInput.safeParse(text);
      return read.success ? { value: read.data } : undefined;
    }
    case "select":
      return notAmong(options, text) ?? { value: text };
    case "url":
      return isWebAddress(text) ? { value: text } : undefined;
    case "email": {
      const read = email.safeParse(text);
      return read.success ? { value: read.data.trim().toLowerCase() } : undefined;
    }
    case "phone": {
      const reading = readPhone(text, country);
      return "phone" in reading
        ? { value: reading.phone }
        : { code: "invalid_phone", message: reading.doubt };
    }
    case "user":
    case "reference": {
      const read = id.safeParse(text);
      return read.success ? { value: read.data } : undefined;
    }
    default:
      return { value: text };
  }
}

function notAmong(options: CustomShape["options"], value: string): CustomProblem | undefined {
  if (options === undefined || options.some((option) => option.value === value)) return undefined;
  const allowed = options.map((option) => option.value);
  const named = allowed.slice(0, mostNamed);
  const more = allowed.length > named.length ? ` and ${allowed.length - named.length} more` : "";
  return { code: "not_allowed", message: `must be one of ${named.join(", ")}${more}`, allowed: named };
}
/** Options that an error names. */
const mostNamed = 50;

function isWebAddress(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && !/\s/.test(text);
}

/** What is wrong with a value of a custom field of this type; undefined: nothing. null, which takes the value away, fits every field. */
export function checkCustomValue(shape: CustomShape, value: unknown): CustomProblem | undefined {
  if (value === null) return undefined;
  const read = readCustomValue(shape, value);
  return "value" in read ? undefined : read;
}

const expectations: Record<CustomType, string> = {
  text: "must be a text",
  longText: "must be a text",
  number: "must be a number",
  boolean: "must be true or false",
  date: "must be a day that there is, as 2026-02-28, or a time of one, as 2026-02-28T10:30:00Z",
  datetime: "must be a time with its offset, as 2026-02-28T10:30:00Z",
  money: 'must be an amount with its currency, as { "amount": "1234.50", "currency": "INR" }',
  select: "must be one of its options, as text",
  multiSelect: "must be a list of its options",
  url: "must be an address that begins with https:// or http://",
  email: "must be an email address, as asha@example.com",
  phone: "must be a phone number, as +919876543210",
  user: "must be the id of a user",
  reference: "must be the id of a record",
};

/**
 * A cell of a file as a value of a field of this type, or what is wrong with it. Numbers keep every digit or are refused.
 */
export function readCustomCell(shape: CustomShape, cell: string): { value: CustomValue } | CustomProblem {
  const { type } = shape;
  if (type === "multiSelect") return readCustomValue(shape, listOf(cell));
  if (type === "money") {
    const [, before, amount, after] = /^(?:([A-Z]{3}) )?(\S+?)(?: ([A-Z]{3}))?$/.exec(cell) ?? [];
    return readCustomValue(shape, jsonOf(cell) ?? { amount, currency: before ?? after });
  }
  if (type === "email") return readCustomValue(shape, writtenEmail(cell));
  if (type !== "boolean" && type !== "number") return readCustomValue(shape, cell);
  if (type === "boolean") {
    if (/^(yes|y|true|1)$/i.test(cell)) return { value: true };
    if (/^(no|n|false|0)$/i.test(cell)) return { value: false };
    return { code: "wrong_type", message: "must be yes or no" };
  }
  const given = decimalOf(cell.replace(/^([+-]?)(?=[.]\d)/, "$10").replace(/(?<=\d)[.]$/, ""));
  if (!given) return { code: "wrong_type", message: expectations.number };
  const value = Number(cell);
  const kept = decimalOf(value);
  if (!kept || compareDecimals(given, kept) !== 0)
    return { code: "wrong_type", message: "has more digits than a number field keeps" };
  return { value };
}

/** What an export writes of a value that is no text. */
function jsonOf(cell: string): unknown {
  if (!/^[[{]/.test(cell)) return undefined;
  try {
    return JSON.parse(cell) as unknown;
  } catch {
    return undefined;
  }
}
const listOf = (cell: string): unknown =>
  jsonOf(cell)
  ?? cell
    .split(/[,;]/)
    .map((one) => one.trim())
    .filter((one) => one !== "");

const isoDate =
  /^(\d{4}-\d{2}-\d{2})(?:[T ]([01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:?\d{2})?)?$/;
/** A day that the calendar has, or a time of one. */
function isIsoDate(text: string): boolean {
  const [, day] = isoDate.exec(text) ?? [];
  if (day === undefined || day.startsWith("0000")) return false;
  // Date takes 31 February for 3 March
  const time = Date.parse(`${day}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(day);
}

/** What the cells of a column have been, until all have been seen. */
export interface ColumnTypes {
  seen: boolean;
  isNumber: boolean;
  isDate: boolean;
  hasYes: boolean;
  hasNo: boolean;
  hasOther: boolean;
}
export const noCells = (): ColumnTypes => ({
  ...{ seen: false, isNumber: true, isDate: true, hasYes: false, hasNo: false, hasOther: false },
});

/** Adds a cell that is not blank to what is known of its column. */
export function seeCell(column: ColumnTypes, cell: string): void {
  column.seen = true;
  // once neither is left, nothing but yes and no matters
  if (column.isNumber) column.isNumber = isCanonicalNumber(cell);
  if (column.isDate) column.isDate = isIsoDate(cell);
  if (column.hasOther) return;
  if (/^(yes|true)$/i.test(cell)) column.hasYes = true;
  else if (/^(no|false)$/i.test(cell)) column.hasNo = true;
  else column.hasOther = true;
}

/**
 * The type that holds all cells of a column as they are: a number only where each is written as the number is (not `1.10`, `007`
 * or 9007199254740993), yes and no only where both are (a column of `NO` may be of Norway); else text.
 */
export function typeOfColumn({ isNumber, isDate, hasYes, hasNo, hasOther }: ColumnTypes): CustomType {
  if (isNumber) return "number";
  if (isDate) return "date";
  return hasYes && hasNo && !hasOther ? "boolean" : "text";
}

const isCanonicalNumber = (cell: string): boolean =>
  /^-?(0|[1-9]\d*)(\.\d+)?$/.test(cell) && String(Number(cell)) === cell && Number.isFinite(Number(cell));
