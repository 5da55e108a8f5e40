import { normalisePhone } from "../../values/phone.ts";
import type { Operator } from "./condition.ts";
import type { Values } from "./values.ts";

/**
 * What the values of a field are, and so how they compare:
 * `text` by code points; `number` as exact decimals; `integer` of 32 bits; `date` a day; `timestamp` an instant; `money` within
 * its currency; `uuid`; `boolean`; `text[]` a list of texts. `undeclared` is of a field nobody has defined: a text, but for `gt`
 * and its kin, which compare as numbers where the given value is one.
 */
export type FieldType =
  | "text"
  | "number"
  | "integer"
  | "boolean"
  | "date"
  | "timestamp"
  | "money"
  | "uuid"
  | "text[]"
  | "undeclared";

/** What conditions know of one field. */
export interface QueryField {
  type: FieldType;
  /** The values it may have, where they are few: of an enum, or the options of a select. */
  values?: readonly string[];
  /** Makes of a given text what would be stored, for `eq ne in nin`; null: it could not be stored. */
  normalise?(text: string): string | null;
  /** Completes "must be …" where `normalise` answers null. */
  example?: string;
  /** Whether its values are sealed, and shown to few. */
  isSensitive?: boolean;
  /** Whether it is kept as JSON, where a value of another type may stand in its place: that counts as none. */
  isJson?: boolean;
  /** Of money that is kept in two columns: the path of the currency. Without it the value is JSON, `{ amount, currency }`. */
  currency?: string;
  /** Where custom_field_index has its values, if it is complete: its rows of a kind, and the column. */
  index?: { kind: string; column: "number" | "text" };
  /** Narrower than what its type has. */
  operators?: readonly Operator[];
  /** SQL of a test that no expression over the row can decide: of what is sealed, or in an index of its own. */
  sqlOfTest?(test: FittedTest, values: Values): string;
}

/** A value made fit for its field: numbers as decimals, times in UTC with milliseconds, ids in lower case, texts in NFC. */
export type Operand = string | boolean | { amount: string; currency: string };

/** A test whose field is known and whose values fit it. */
export interface FittedTest {
  path: string;
  field: QueryField;
  op: Operator;
  /** One, but for `in`, `nin`, `like` and `contains`, which may have several; none for `isnull`. */
  operands: readonly Operand[];
  /** Of `isnull`: whether there must be no value. */
  isNull: boolean;
}
/** What may be asked of some records. Paths are names of fields; those over relations (`company.industry`) will be answered here too. */
export interface Fields {
  /** For errors and the API docs: every name, and forms such as `customFields.<key>`. */
  names: readonly string[];
  /** The field at a path; undefined where there is none. */
  fieldOf(path: string): QueryField | undefined;
}

/** Fields that a database can be asked for. */
export interface Queryable extends Fields {
  /**
   * The value of a field as an SQL expression, of the type of its column.
   * @param as for fields with `isJson`: the value as `text` (`->>`), or as the `json` it is (`->`)
   */
  sqlOf(path: string, values: Values, as: "text" | "json"): string;
}

const ordered: readonly Operator[] = ["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "isnull"];
const operatorsOfType: Record<FieldType, readonly Operator[]> = {
  text: ["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "like", "isnull"],
  number: ordered,
  integer: ordered,
  boolean: ["eq", "ne", "in", "nin", "isnull"],
  date: ordered,
  timestamp: ordered,
  money: ordered,
  uuid: ordered,
  "text[]": ["eq", "ne", "in", "nin", "like", "contains", "isnull"],
  // its one value counts as a list of one
  undeclared: ["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "like", "contains", "isnull"],
};

/** The operators a field has. */
export const operatorsOf = ({ type, operators }: QueryField): readonly Operator[] =>
  operators ?? operatorsOfType[type];

/** A custom field whose key nobody has defined. */
export const undeclared: QueryField = { type: "undeclared", isJson: true };

const customTypes: Record<string, FieldType> = {
  number: "number",
  boolean: "boolean",
  date: "date",
  datetime: "timestamp",
  money: "money",
  multiSelect: "text[]",
  user: "uuid",
  reference: "uuid",
};

/**
 * What conditions know of a custom field by its definition. What is a text in any way (text, longText, url, select, email,
 * phone) compares as text.
 * @param normalisers by type, of values that are stored in one form: `email`, `phone`
 */
export function customQueryField(
  { type, options }: { type: string; options?: readonly { value: string }[] | undefined },
  normalisers: Readonly<Record<string, Pick<QueryField, "normalise" | "example">>> = {},
): QueryField {
  return {
    type: customTypes[type] ?? "text",
    isJson: true,
    ...normalisers[type],
    ...(options && options.length > 0 ? { values: options.map(({ value }) => value) } : {}),
  };
}

/** How emails are stored. */
export const emailText = {
  normalise: (text: string) => text.trim().toLowerCase(),
};
/** How phone numbers are stored. */
export const phoneText = {
  normalise: (text: string) => normalisePhone(text),
  example: "a phone number such as +919876543210",
};
