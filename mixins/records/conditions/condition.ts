/** What conditions compare by; docs/api.md says what each does. */
export const operators = [
  "eq",
  "ne",
  "gt",
  "gte",
  "lt",
  "lte",
  "in",
  "nin",
  "like",
  "contains",
  "isnull",
] as const;
export type Operator = (typeof operators)[number];

/** The operators that ask for an order. */
export type OrderOperator = "gt" | "gte" | "lt" | "lte";
export const isOrder = (op: Operator): op is OrderOperator =>
  op === "gt" || op === "gte" || op === "lt" || op === "lte";

/** The operators that ask whether values are equal. */
export const isEquality = (op: Operator): boolean =>
  op === "eq" || op === "ne" || op === "in" || op === "nin";

/** One value as JSON writes it. Of money `{ amount, currency }`, or both in one text. */
export type Given = string | number | boolean | { amount: string | number; currency: string };
/** One test of a field. `value` is a list for `in` and `nin`, may be one for `like` and `contains`, is a boolean for `isnull`. */
export interface Test {
  field: string;
  op: Operator;
  value: Given | Given[];
}
/** The one language of conditions: a test, or a group of conditions. */
export type Condition = { all: Condition[] } | { any: Condition[] } | { not: Condition } | Test;

/** What one condition may be, wherever it comes from. */
export const conditionLimits = {
  /** Groups within groups. */
  depth: 8,
  /** Tests in all. */
  tests: 100,
  /** Values of one `in`. */
  items: 500,
  /** Characters of one value. */
  characters: 5_000,
} as const;

/** Calls `visit` with every test of a condition, from left to right. */
export function eachTest(condition: Condition, visit: (test: Test) => void): void {
  if ("all" in condition) for (const inner of condition.all) eachTest(inner, visit);
  else if ("any" in condition) for (const inner of condition.any) eachTest(inner, visit);
  else if ("not" in condition) eachTest(condition.not, visit);
  else visit(condition);
}
