import { currencyDigits } from "../../contract/currencies.ts";
import { isTimeInRange, parseTime } from "../../contract/schemas.ts";
import { either } from "../../contract/sentences.ts";
import { instantIn } from "../../contract/time-zone.ts";
import { isUuid } from "../../database/statement.ts";
import { conditionLimits } from "./condition.ts";
import { decimalOf, plainNumber } from "../../values/decimal.ts";
import type { FieldType, Operand, QueryField } from "./fields.ts";

/** An operand of a text field. */
export const operandText = (operand: Operand): string => (typeof operand === "object" ? "" : String(operand));
/** What does not fit, as a sentence that begins with what is wrong, and what would. */
export interface Misfit {
  code: string;
  reason: string;
  allowed?: readonly string[];
}
export const isMisfit = (value: object | string | boolean): value is Misfit =>
  typeof value === "object" && "reason" in value;

const wrong = (reason: string, code = "invalid_value"): Misfit => ({ code, reason });

/** What conditions say of times without a zone. */
export interface Reading {
  /** Of which zone times without one are; see mixins/contract/time-zone.ts. */
  timeZone: string;
}

/** One value for a test of equality or order, or why it is none. */
export function operandOf(field: QueryField, given: unknown, reading: Reading): Operand | Misfit {
  if (field.type === "money") return moneyOf(given);
  if (typeof given !== "string" && typeof given !== "number" && typeof given !== "boolean")
    return wrong("must be one value", "invalid_type");
  const text = typeof given === "number" ? plainNumber(given) : String(given);
  if (text.length > conditionLimits.characters)
    return wrong(`may have ${conditionLimits.characters} characters`, "too_big");
  return readers[field.type](text, reading);
}

/** As `operandOf`, of a value that must equal a stored one: an enum's, or in the form in which the field is stored. */
export function storedOperandOf(field: QueryField, given: unknown, reading: Reading): Operand | Misfit {
  const operand = operandOf(field, given, reading);
  if (typeof operand !== "string") return operand;
  const stored = field.normalise === undefined ? operand : field.normalise(operand);
  if (stored === null) return wrong(`must be ${field.example ?? "a value that could be stored"}`);
  if (field.values === undefined || field.values.includes(stored)) return stored;
  const allowed = field.values;
  const reason = allowed.length > mostNamed ? "is none of its values" : `must be one of ${either(allowed)}`;
  return { code: "invalid_value", reason, allowed };
}
/** Values that a sentence can name. */
const mostNamed = 20;

const int32 = { least: -2_147_483_648, most: 2_147_483_647 };

const readers: Record<Exclude<FieldType, "money">, (text: string, reading: Reading) => Operand | Misfit> = {
  text: textOf,
  "text[]": textOf,
  undeclared: textOf,
  number: (text) => (decimalOf(text) ? text.replace("+", "") : wrong("must be a number such as 12.5")),
  integer: (text) => {
    if (!/^[+-]?\d{1,15}$/.test(text)) return wrong("must be a whole number");
    const number = Number(text);
    return number >= int32.least && number <= int32.most
      ? String(number)
      : wrong(`must be a whole number from ${int32.least} to ${int32.most}`);
  },
  boolean: (text) => (text === "true" || text === "false" ? text === "true" : wrong("must be true or false")),
  date: (text) =>
    /^\d{4}-\d\d-\d\d$/.test(text) && parseTime(text) !== undefined
      ? text
      : wrong("must be a day such as 2026-01-31, of the years 0001 to 9999"),
  timestamp: timeOf,
  uuid: (text) => (isUuid(text) ? text.toLowerCase() : wrong("must be an id")),
};

function textOf(text: string): Operand | Misfit {
  return text.includes("\0") || !text.isWellFormed()
    ? wrong("may not contain NUL or halves of characters")
    : text.normalize("NFC");
}

/** A day is its beginning. */
function timeOf(text: string, { timeZone }: Reading): Operand | Misfit {
  // seconds may be left out
  const named = parseTime(text.replace(/(T\d\d:\d\d)(Z|[+-]\d\d:\d\d)$/, "$1:00$2"));
  const hasZone = /T.*(Z|[+-]\d\d:?\d\d)$/.test(text);
  const ms = named === undefined || hasZone ? named : instantIn(timeZone, named);
  return ms !== undefined && isTimeInRange(ms)
    ? new Date(ms).toISOString()
    : wrong("must be a time in ISO 8601, of the years 0001 to 9999");
}

/** `{ amount, currency }`, `1500.50 INR` or `INR 1500.50`. */
function moneyOf(given: unknown): Operand | Misfit {
  const written = typeof given === "string" ? /^(?:([A-Z]{3}) (\S+)|(\S+) ([A-Z]{3}))$/.exec(given) : null;
  const { amount, currency } = written
    ? { amount: written[2] ?? written[3], currency: written[1] ?? written[4] }
    : ((typeof given === "object" ? given : {}) as { amount?: unknown; currency?: unknown });
  const text = typeof amount === "number" ? plainNumber(amount) : amount;
  if (typeof text !== "string" || !decimalOf(text) || typeof currency !== "string")
    return wrong("must be an amount with its currency, such as 1500.50 INR");
  if (!currencyDigits.has(currency))
    return wrong("must name a currency of ISO 4217, such as INR, USD or KWD");
  return { amount: text.replace("+", ""), currency };
}
