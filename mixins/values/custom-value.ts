import { compareDecimals, decimalOf } from "./decimal.ts";

/** Types of custom fields. */
export const customTypes = ["text", "number", "boolean", "date"] as const;
export type CustomType = (typeof customTypes)[number];
export type CustomValue = string | number | boolean;

/** What is wrong with a value, as words that follow the field's name. */
export type CustomProblem = { code: "wrong_type"; message: string };

/**
 * What is wrong with a value of a custom field of this type, as the API is given it; undefined: nothing. null, which takes the
 * value away, fits every field. A date is a day of ISO 8601, or a time of one.
 */
export function checkCustomValue(
  { type }: { type: CustomType },
  value: CustomValue | null,
): CustomProblem | undefined {
  if (value === null) return undefined;
  const isFit =
    type === "date"
      ? typeof value === "string" && isIsoDate(value)
      : type === "number"
        ? typeof value === "number" && Number.isFinite(value)
        : typeof value === (type === "text" ? "string" : "boolean");
  return isFit ? undefined : { code: "wrong_type", message: expectations[type] };
}

const expectations: Record<CustomType, string> = {
  text: "must be a text",
  number: "must be a number",
  boolean: "must be true or false",
  date: "must be a day that there is, as 2026-02-28, or a time of one, as 2026-02-28T10:30:00Z",
};

/**
 * A cell of a file as a value of a field of this type, or what is wrong with it. Numbers keep every digit or are refused.
 */
export function readCustomCell(
  { type }: { type: CustomType },
  cell: string,
): { value: CustomValue } | CustomProblem {
  if (type === "text") return { value: cell };
  if (type === "date")
    return isIsoDate(cell) ? { value: cell } : { code: "wrong_type", message: expectations.date };
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
