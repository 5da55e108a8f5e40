import { isEquality, isOrder } from "./condition.ts";
import { decimalOf, decimalPattern } from "../../values/decimal.ts";
import type { FittedTest, Operand, QueryField, Queryable } from "./fields.ts";
import type { FittedCondition } from "./fit.ts";
import { operandText } from "./operands.ts";
import { formsOf, likePattern } from "./texts.ts";
import type { Values } from "./values.ts";

/**
 * A condition as SQL over `values`. What it says of a row is true, false or null, and null counts as false; predicate.ts says
 * the same of a record in memory, and test/service/conditions.test.ts holds the two against each other.
 */
export function sqlOfCondition(condition: FittedCondition, queryable: Queryable, values: Values): string {
  const inner = (one: FittedCondition) => sqlOfCondition(one, queryable, values);
  if ("all" in condition) return `(${condition.all.map(inner).join(" AND ")})`;
  if ("any" in condition) return `(${condition.any.map(inner).join(" OR ")})`;
  if ("not" in condition) return `(${inner(condition.not)}) IS NOT TRUE`;
  if ("never" in condition) return "false";
  return sqlOfTest(condition.test, queryable, values);
}

/** One test as SQL; null where `eq` and its kin meet no value. */
export function sqlOfTest(test: FittedTest, queryable: Queryable, values: Values): string {
  const { field } = test;
  if (field.sqlOfTest) return field.sqlOfTest(test, values);
  if (field.type === "money") return sqlOfMoney(test, queryable, values);
  if (field.type === "text[]") return sqlOfList(test, queryable, values);
  return sqlOfScalar(test, scalarOf(test, queryable, values), values);
}

type SqlType = "text" | "numeric" | "integer" | "boolean" | "uuid" | "date" | "timestamptz";
interface Scalar {
  sql: string;
  type: SqlType;
}

const columnTypes: Record<Exclude<QueryField["type"], "money" | "text[]" | "undeclared">, SqlType> = {
  text: "text",
  number: "numeric",
  integer: "integer",
  boolean: "boolean",
  uuid: "uuid",
  date: "date",
  timestamp: "timestamptz",
};
const comparisons = { gt: ">", gte: ">=", lt: "<", lte: "<=" } as const;

const numberIn = (text: string): Scalar => ({
  sql: `(CASE WHEN ${text} ~ '${decimalPattern}' THEN (${text})::numeric END)`,
  type: "numeric",
});

/**
 * The value of a field as SQL, whatever is asked of it: text, number, boolean, date, timestamptz or uuid; of money its amount and its
 * currency.
 */
export function sqlOfValue(
  path: string,
  field: QueryField,
  queryable: Queryable,
  values: Values,
): [string, string?] {
  if (field.type === "money") return moneyColumns(path, field, queryable, values);
  const { sql, type } = scalarOf({ path, field, op: "eq", operands: [], isNull: false }, queryable, values);
  const wanted = { date: "date", timestamp: "timestamptz", uuid: "uuid" }[field.type as string];
  if (wanted === undefined || type !== "text") return [sql];
  // what stood there before the field was defined may look like a day, and be none
  return [`(CASE WHEN pg_input_is_valid(${sql}, '${wanted}') THEN (${sql})::${wanted} END)`];
}

/** The value of a field as SQL; where a JSON holds something else than its type, null. */
function scalarOf({ path, field, op, operands }: FittedTest, queryable: Queryable, values: Values): Scalar {
  if (field.isJson !== true) {
    const type = columnTypes[field.type as keyof typeof columnTypes];
    return { sql: queryable.sqlOf(path, values, "text"), type };
  }
  const text = `(${queryable.sqlOf(path, values, "text")})`;
  switch (field.type) {
    case "number":
    case "integer":
      return numberIn(text);
    case "boolean":
      return { sql: `(CASE ${text} WHEN 'true' THEN true WHEN 'false' THEN false END)`, type: "boolean" };
    case "date":
      return {
        sql: `(CASE WHEN ${text} ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}(T|$)' THEN left(${text}, 10) END)`,
        type: "text",
      };
    case "timestamp":
      return {
        sql: `(CASE WHEN ${text} ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z$' THEN ${text} END)`,
        type: "text",
      };
    default: {
      if (field.type === "undeclared" && isOrder(op) && operands.every(decimalOf)) return numberIn(text);
      // the text of an object or a list begins like this: it equals nothing else
      if ((isEquality(op) || op === "contains") && operands.every((one) => !/^[[{]/.test(operandText(one))))
        return { sql: text, type: "text" };
      const json = queryable.sqlOf(path, values, "json");
      return {
        sql: `(CASE WHEN jsonb_typeof(${json}) IN ('string', 'number', 'boolean') THEN ${text} END)`,
        type: "text",
      };
    }
  }
}

function sqlOfScalar({ op, operands, isNull }: FittedTest, { sql, type }: Scalar, values: Values): string {
  const add = (one: Operand | readonly Operand[]) => {
    const isList = Array.isArray(one);
    const place = values.add(
      isList ? one.map((each: Operand) => parameterOf(each, type)) : parameterOf(one as Operand, type),
    );
    // PostgreSQL takes the others for what they are compared with
    return isList ? `ANY (${place}::${type}[])` : type === "numeric" ? `${place}::numeric` : place;
  };
  switch (op) {
    case "isnull":
      return `${sql} IS ${isNull ? "" : "NOT "}NULL`;
    case "like":
      return `${sql} ILIKE ${patternsOf(operands, values)}`;
    case "gt":
    case "gte":
    case "lt":
    case "lte":
      // by code points, whatever the language of the database
      return `${sql}${type === "text" ? ' COLLATE "C"' : ""} ${comparisons[op]} ${add(operands[0] as Operand)}`;
    default: {
      const wanted = type === "text" ? operands.flatMap((one) => formsOf(operandText(one))) : operands;
      const [only] = wanted;
      const isOne = wanted.length === 1 && only !== undefined && op !== "in" && op !== "nin";
      if (op === "ne" && isOne) return `${sql} IS DISTINCT FROM ${add(only)}`;
      const equals = `${sql} = ${isOne ? add(only) : add(wanted)}`;
      // what has no value is none of them
      return op === "ne" || op === "nin" ? `(${equals}) IS NOT TRUE` : equals;
    }
  }
}

const parameterOf = (operand: Operand, type: SqlType): unknown =>
  type === "integer" ? Number(operand) : operand;

function patternsOf(operands: readonly Operand[], values: Values): string {
  const patterns = operands.flatMap((one) => formsOf(operandText(one))).map(likePattern);
  return patterns.length === 1 ? values.add(patterns[0]) : `ANY (${values.add(patterns)}::text[])`;
}

/** A list: what one of its items meets. */
function sqlOfList(
  { path, field, op, operands, isNull }: FittedTest,
  queryable: Queryable,
  values: Values,
): string {
  const list =
    field.isJson === true
      ? jsonList(queryable.sqlOf(path, values, "json"))
      : queryable.sqlOf(path, values, "text");
  if (op === "isnull") return `coalesce(cardinality(${list}), 0) ${isNull ? "=" : ">"} 0`;
  if (op === "like")
    return `EXISTS (SELECT FROM unnest(${list}) AS item WHERE item ILIKE ${patternsOf(operands, values)})`;
  const overlaps = (some: readonly Operand[]) =>
    `${list} && ${values.add(some.flatMap((one) => formsOf(operandText(one))))}::text[]`;
  if (op === "contains")
    return operands.length === 1
      ? overlaps(operands)
      : `(${operands.map((one) => overlaps([one])).join(" AND ")})`;
  return op === "ne" || op === "nin" ? `(${overlaps(operands)}) IS NOT TRUE` : overlaps(operands);
}
/** Items that are no texts count as none, as does what is no list. */
const jsonList = (json: string): string =>
  `(CASE jsonb_typeof(${json}) WHEN 'array' THEN ARRAY(SELECT item #>> '{}' FROM jsonb_array_elements(${json}) AS item WHERE jsonb_typeof(item) = 'string') END)`;

/** Money compares within its currency: of another, it is neither more nor less nor equal. */
function sqlOfMoney(
  { path, field, op, operands, isNull }: FittedTest,
  queryable: Queryable,
  values: Values,
): string {
  const [amount, currency] = moneyColumns(path, field, queryable, values);
  if (op === "isnull") {
    const has = `(${amount} IS NOT NULL AND ${currency} IS NOT NULL)`;
    return isNull ? `NOT ${has}` : has;
  }
  const compare = (one: Operand, how: string) => {
    const money = one as { amount: string; currency: string };
    return `(${currency} = ${values.add(money.currency)} AND ${amount} ${how} ${values.add(money.amount)}::numeric)`;
  };
  if (isOrder(op)) return compare(operands[0] as Operand, comparisons[op]);
  const equals = `(${operands.map((one) => compare(one, "=")).join(" OR ") || "false"})`;
  return op === "ne" || op === "nin" ? `${equals} IS NOT TRUE` : equals;
}

function moneyColumns(
  path: string,
  field: QueryField,
  queryable: Queryable,
  values: Values,
): [string, string] {
  if (field.currency !== undefined)
    return [queryable.sqlOf(path, values, "text"), queryable.sqlOf(field.currency, values, "text")];
  const json = queryable.sqlOf(path, values, "json");
  const currency = `(CASE WHEN jsonb_typeof(${json} -> 'currency') = 'string' THEN ${json} ->> 'currency' END)`;
  return [numberIn(`(${json} ->> 'amount')`).sql, currency];
}
