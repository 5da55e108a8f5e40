import { decimalOf } from "../../values/decimal.ts";
import { formsOf, likePattern } from "../conditions/texts.ts";
import { isOrder } from "../conditions/condition.ts";
import type { FittedTest, Operand } from "../conditions/fields.ts";
import type { FittedCondition } from "../conditions/fit.ts";
import { operandText } from "../conditions/operands.ts";
import type { Values } from "../conditions/values.ts";

/**
 * What a kind's `find_<table>` knows, which pg_temp.findable of a migration makes. Under a policy only LEAKPROOF operators ask an
 * index; this function asks the others' and answers ids, which a list joins under the policy.
 */
export interface Finding {
  /** Text fields found by their whole value; tags and custom fields always are. */
  terms: readonly string[];
  /** Text fields that `like` searches; tags always. */
  likes: readonly string[];
}

/** Ids that a list looks at, rather than going along its order. */
export const mostFound = 10_000;

/**
 * The call that answers the ids of rows of which alone these tests may hold; undefined where an index of a column serves, or
 * none does. What it answers may hold more rows than the tests do, never fewer; of what is searched, just those.
 * @param q what is searched, as SQL
 */
export function findCall(
  { table, finding }: { table: string; finding?: Finding | undefined },
  tests: readonly FittedCondition[],
  q: string | undefined,
  values: Values,
): ((most: number) => string) | undefined {
  if (finding === undefined) return undefined;
  const all = tests.flatMap(eachOf);
  if (q === undefined && all.some((test) => hasOwnIndex(test, finding))) return undefined;
  const terms = all.flatMap((test) => termsOf(test, finding));
  const custom = all.flatMap(customOf);
  const patterns = all.map((test) => patternsOf(test, finding)).find((some) => some.length > 0);
  if (q === undefined && terms.length === 0 && custom.length === 0 && patterns === undefined)
    return rangeCall(all, values);
  // where it is not called, nothing may be among the values: PostgreSQL refuses one whose type nothing tells
  const json = (list: readonly unknown[]) =>
    list.length === 0 ? "NULL" : `${values.add(JSON.stringify(list))}::jsonb`;
  const given = () => [
    q ?? "NULL",
    json(terms),
    json(custom),
    patterns === undefined ? "NULL" : `${values.add(patterns)}::text[]`,
  ];
  return (most) => `find_${table}(${given().join(", ")}, ${most})`;
}

/** As `findCall`, of the first indexed custom field that is asked for a range. A bound belongs to it: doubles are near it only. */
function rangeCall(all: readonly FittedTest[], values: Values): ((most: number) => string) | undefined {
  const isRange = ({ op, field: { type } }: FittedTest) =>
    isOrder(op) && (type === "number" || type === "date" || type === "timestamp");
  const first = all.find((test) => test.field.index !== undefined && isRange(test));
  if (first?.field.index === undefined) return undefined;
  const { kind, column } = first.field.index;
  const bound = ({ op, operands: [operand = ""] }: FittedTest) => {
    const value = column === "number" ? Number(operand) : operandText(operand);
    return `${column} ${op.startsWith("g") ? ">=" : "<="} ${values.add(value)}::${column === "number" ? "double precision" : "text"}`;
  };
  const asked = () => [
    `kind = ${values.add(kind)}`,
    `key = ${values.add(first.path.slice("customFields.".length))}`,
    ...all.filter((test) => test.path === first.path && isRange(test)).map(bound),
  ];
  return (most) =>
    `(SELECT coalesce(array_agg(record_id), '{}') FROM (SELECT record_id FROM custom_field_index WHERE ${asked().join(" AND ")} LIMIT ${most + 1}) AS hits)`;
}

/** The tests that must all hold. */
const eachOf = (condition: FittedCondition): FittedTest[] =>
  "all" in condition ? condition.all.flatMap(eachOf) : "test" in condition ? [condition.test] : [];

const isEqual = ({ op }: FittedTest) => op === "eq" || op === "in";

/** Whether a test is of a column whose index finds few rows by equality. */
const hasOwnIndex = (test: FittedTest, { terms }: Finding): boolean =>
  isEqual(test)
  && !isCustom(test)
  && (test.path === "id" || (test.field.type === "text" && !terms.includes(test.path)));

const isCustom = ({ path }: FittedTest) => path.startsWith("customFields.");

type Term = [field: string, value: string];
/** Lists of terms, of each of which one must be there. */
function termsOf(test: FittedTest, { terms }: Finding): Term[][] {
  const { path, field, op, operands } = test;
  if (field.sqlOfTest !== undefined || !(terms.includes(path) || path === "tags")) return [];
  const termsFor = (one: Operand) => formsOf(operandText(one)).map((text): Term => [path, text]);
  if (isEqual(test)) return [operands.flatMap(termsFor)];
  return op === "contains" ? operands.map(termsFor) : [];
}

/** A jsonpath that a row's custom fields meet, and terms of which one does as well. */
type Custom = [jsonpath: string, terms: Term[] | null];
/** What an index of custom fields is asked; of each, one must hold. */
function customOf(test: FittedTest): Custom[] {
  const { path, field, op, operands } = test;
  if (!isCustom(test) || field.sqlOfTest !== undefined || field.type === "money") return [];
  // the text of an object is none of its values
  if (operands.length === 0 || operands.some((one) => /^[[{]/.test(operandText(one)))) return [];
  const place = `$.${JSON.stringify(path.slice("customFields.".length))}`;
  const one = (some: readonly Operand[]): Custom => {
    const equal = some.flatMap((operand) => jsonOf(operandText(operand)));
    const terms = some.flatMap((operand) => termOf(test, operandText(operand)));
    return [equal.map((json) => `${place} == ${json}`).join(" || "), terms.length === 0 ? null : terms];
  };
  if (isEqual(test)) return [one(operands)];
  if (op !== "contains") return [];
  return field.type === "text[]" ? operands.map((operand) => one([operand])) : [one(operands)];
}

/** The JSON whose text this may be. */
function jsonOf(text: string): string[] {
  const number = decimalOf(text) && text.replace(/^\+/, "").replace(/^(-?)0+(?=\d)/, "$1");
  return [
    ...formsOf(text).map((form) => JSON.stringify(form)),
    ...(number ? [number] : []),
    ...(text === "true" || text === "false" ? [text] : []),
  ];
}

/** What find_terms makes of values that equal this one, and are another JSON. */
function termOf({ path, field }: FittedTest, text: string): Term[] {
  if (field.type === "number" || field.type === "integer") return [[path, shortest(text)]];
  return field.type === "date" ? [[path, text]] : [];
}
/** As trim_scale(text::numeric) writes it. */
const shortest = (decimal: string): string => {
  const [whole = "", fraction = ""] = decimal.replace(/^[+-]/, "").split(".");
  const [left, right] = [whole.replace(/^0+(?=\d)/, ""), fraction.replace(/0+$/, "")];
  const digits = right === "" ? left : `${left}.${right}`;
  return decimal.startsWith("-") && digits !== "0" ? `-${digits}` : digits;
};

/** Patterns of which one is met somewhere in the texts of a row. */
function patternsOf({ path, field, op, operands }: FittedTest, { likes }: Finding): string[] {
  if (op !== "like" || field.sqlOfTest !== undefined || !(likes.includes(path) || path === "tags")) return [];
  const patterns = operands.flatMap((one) => formsOf(operandText(one)));
  // without three letters in a row every row would be looked at
  if (!patterns.every((pattern) => /[\p{L}\p{N}]{3}/u.test(pattern))) return [];
  return patterns.map((pattern) => `%${likePattern(pattern)}%`);
}
