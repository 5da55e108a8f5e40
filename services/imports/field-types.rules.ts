export type FieldType = "text" | "number" | "boolean" | "date";
/** Type of each custom field by its key. */
export type FieldTypes = Map<string, FieldType>;

/** Beyond 15 digits a number would not survive the way through a double. */
const number = /^-?(0|[1-9]\d*)(\.\d+)?$/;
const isoDate = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?)?$/;

/** The narrowest type that holds a cell. Leading zeros are codes, not numbers; 1 and 0 are numbers, not flags. */
export function typeOf(cell: string): FieldType {
  if (number.test(cell)) return cell.replaceAll(/\D/g, "").length <= 15 ? "number" : "text";
  if (/^(yes|no|true|false)$/i.test(cell)) return "boolean";
  return isoDate.test(cell) && isCalendarDay(cell.slice(0, 10)) ? "date" : "text";
}

// Date takes 31 February for 3 March
const isCalendarDay = (day: string): boolean => {
  const time = Date.parse(`${day}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(day);
};

/** The narrowest type that holds what both hold. */
export const widen = (known: FieldType | undefined, seen: FieldType): FieldType =>
  known === undefined || known === seen ? seen : "text";

/** A cell as a value of its field's type; one that does not fit stays text. */
export function convert(cell: string, type: FieldType | undefined): string | number | boolean {
  if (type === undefined || type !== typeOf(cell)) return cell;
  if (type === "number") return Number(cell);
  return type === "boolean" ? /^(yes|true)$/i.test(cell) : cell;
}

/** Learns from cells: answers the types that are new or wider than in `types`. */
export function learn(types: FieldTypes, cells: Iterable<[key: string, cell: string]>): FieldTypes {
  const changed: FieldTypes = new Map();
  for (const [key, cell] of cells) {
    const known = changed.get(key) ?? types.get(key);
    if (known === "text") continue;
    const type = widen(known, typeOf(cell));
    if (type !== known) changed.set(key, type);
  }
  return changed;
}
