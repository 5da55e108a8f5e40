import { isOrder, type OrderOperator } from "./condition.ts";
import { compareDecimals, decimalOf, plainNumber, type Decimal } from "../../values/decimal.ts";
import type { FittedTest, Operand, QueryField } from "./fields.ts";
import type { FittedCondition } from "./fit.ts";
import { operandText } from "./operands.ts";
import { compareTexts, formsOf, isLike, lowerCase } from "./texts.ts";

export type Predicate<R> = (record: R) => boolean;
/** The value of a record at a path, as it is stored: undefined or null where there is none. */
export type ValueOf<R> = (record: R, path: string) => unknown;

/**
 * A condition as a function of a record in memory, which says of it what sql.ts asks of its row. What costs anything is done
 * here, once: each lead is judged by dozens of conditions.
 */
export function predicateOf<R>(condition: FittedCondition, valueOf: ValueOf<R>): Predicate<R> {
  if ("never" in condition) return () => false;
  if ("test" in condition) {
    const { path } = condition.test;
    const holds = testOf(condition.test, valueOf);
    return (record) => holds(valueOf(record, path), record);
  }
  if ("not" in condition) {
    const inner = predicateOf(condition.not, valueOf);
    return (record) => !inner(record);
  }
  const isAll = "all" in condition;
  const inners = (isAll ? condition.all : condition.any).map((one) => predicateOf(one, valueOf));
  const [only] = inners;
  if (inners.length === 1 && only) return only;
  return (record) => {
    for (const inner of inners) if (inner(record) !== isAll) return !isAll;
    return isAll;
  };
}

type Holds<R> = (value: unknown, record: R) => boolean;

function testOf<R>(test: FittedTest, valueOf: ValueOf<R>): Holds<R> {
  const { field, op, operands, isNull } = test;
  if (field.type === "money") return moneyTest(test, valueOf);
  if (field.type === "text[]") return listTest(test);
  const read = readerOf(test);
  if (op === "isnull") return (value) => (read(value) === undefined) === isNull;
  if (op === "like") {
    const isOneLike = likeAny(operands);
    return (value) => {
      const text = read(value);
      return typeof text === "string" && isOneLike(text);
    };
  }
  if (isOrder(op)) {
    const against = read(operands[0]);
    return (value) => {
      const one = read(value);
      return one !== undefined && against !== undefined && isInOrder(op, compare(one, against));
    };
  }
  const isWanted = op === "eq" || op === "in" || op === "contains";
  const isEqual = equalsAny(field, operands, read);
  return (value) => {
    const one = read(value);
    return (one !== undefined && isEqual(one)) === isWanted;
  };
}

type Value = string | boolean | Decimal;

/** How a stored value is read: as its field's type, or as none. */
function readerOf({ field, op, operands }: FittedTest): (value: unknown) => Value | undefined {
  switch (field.type) {
    case "number":
    case "integer":
      return decimalOf;
    case "boolean":
      return (value) =>
        value === true || value === "true" ? true : value === false || value === "false" ? false : undefined;
    case "date":
      return (value) =>
        typeof value === "string" && /^\d{4}-\d\d-\d\d(T|$)/.test(value) ? value.slice(0, 10) : undefined;
    case "timestamp":
      return (value) => (typeof value === "string" && isCanonicalTime.test(value) ? value : undefined);
    case "undeclared":
      return isOrder(op) ? numberOrText(operands) : textOf;
    default:
      return textOf;
  }
}
const isCanonicalTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const numberOrText = (operands: readonly Operand[]) => (operands.every(decimalOf) ? decimalOf : textOf);

function textOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value === "number") return plainNumber(value);
  return typeof value === "boolean" ? String(value) : undefined;
}

function compare(one: Value, other: Value): number {
  if (typeof one === "object" && typeof other === "object") return compareDecimals(one, other);
  return compareTexts(operandText(one as string | boolean), operandText(other as string | boolean));
}

const isInOrder = (op: OrderOperator, order: number): boolean =>
  op === "gt" ? order > 0 : op === "gte" ? order >= 0 : op === "lt" ? order < 0 : order <= 0;

function equalsAny(
  field: QueryField,
  operands: readonly Operand[],
  read: (value: unknown) => Value | undefined,
): (value: Value) => boolean {
  if (field.type === "number" || field.type === "integer") {
    const wanted = operands.flatMap((one) => read(one) ?? []);
    return (value) => wanted.some((one) => compare(value, one) === 0);
  }
  const wanted = new Set<Value>(
    operands.flatMap((one): Value[] => (typeof one === "string" ? formsOf(one) : [one as boolean])),
  );
  return (value) => wanted.has(value);
}

function likeAny(operands: readonly Operand[]): (text: string) => boolean {
  const patterns = operands.flatMap((one) => formsOf(operandText(one))).map(lowerCase);
  return (text) => {
    const lower = lowerCase(text);
    for (const pattern of patterns) if (isLike(lower, pattern)) return true;
    return false;
  };
}

function listTest<R>({ op, operands, isNull }: FittedTest): Holds<R> {
  if (op === "isnull") return (value) => (textsIn(value).length === 0) === isNull;
  const meets = op === "like" ? likeAny(operands) : undefined;
  if (meets) return (value) => textsIn(value).some(meets);
  const wanted = operands.map((one) => new Set(formsOf(operandText(one))));
  const hasOne = (value: unknown, one: ReadonlySet<string>) => textsIn(value).some((item) => one.has(item));
  if (op === "contains") return (value) => wanted.every((one) => hasOne(value, one));
  const isWanted = op === "eq" || op === "in";
  return (value) => wanted.some((one) => hasOne(value, one)) === isWanted;
}
const textsIn = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];

function moneyTest<R>({ field, op, operands, isNull }: FittedTest, valueOf: ValueOf<R>): Holds<R> {
  const read = (value: unknown, record: R): { amount: Decimal; currency: string } | undefined => {
    const money =
      field.currency === undefined
        ? ((typeof value === "object" && value !== null ? value : {}) as {
            amount?: unknown;
            currency?: unknown;
          })
        : { amount: value, currency: valueOf(record, field.currency) };
    const amount = decimalOf(money.amount);
    return amount && typeof money.currency === "string" ? { amount, currency: money.currency } : undefined;
  };
  if (op === "isnull") return (value, record) => (read(value, record) === undefined) === isNull;
  const wanted = (operands as { amount: string; currency: string }[]).map((one) => ({
    amount: decimalOf(one.amount) as Decimal,
    currency: one.currency,
  }));
  const isWanted = op !== "ne" && op !== "nin";
  return (value, record) => {
    const one = read(value, record);
    const isMet =
      one !== undefined
      && wanted.some(({ amount, currency }) => {
        if (currency !== one.currency) return false;
        const order = compareDecimals(one.amount, amount);
        return isOrder(op) ? isInOrder(op, order) : order === 0;
      });
    return isMet === isWanted;
  };
}
