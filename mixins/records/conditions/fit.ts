import { conditionLimits, isEquality, isOrder, type Operator, type Test } from "./condition.ts";
import { operatorsOf, type Fields, type FittedTest, type Operand, type QueryField } from "./fields.ts";
import { isMisfit, operandOf, operandText, storedOperandOf, type Misfit, type Reading } from "./operands.ts";

/** A condition that compiles to SQL (sql.ts) and to a predicate (predicate.ts). */
export type FittedCondition =
  | { all: readonly FittedCondition[] }
  | { any: readonly FittedCondition[] }
  | { not: FittedCondition }
  | { test: FittedTest }
  /** Of a stored condition that does not fit its field any more: it holds for nothing. */
  | { never: true };

/** What is wrong with a condition, and where: `["all", "0", "value"]`. */
export interface Problem extends Misfit {
  path: string[];
}

export interface FitOptions extends Reading {
  /**
   * Whether it was accepted before. What does not fit its field (any more) is no problem then: a value that could not be stored
   * equals nothing, a test that means nothing holds for nothing. `like` may have fewer characters.
   */
  isStored?: boolean;
  /** Whether it is to be kept, for whoever comes: sensitive fields, whose values would stand in it, are refused. */
  isToBeKept?: boolean;
}

/** Fewer would look at every row. */
const leastLike = 3;

/**
 * Makes a condition fit what may be asked: every field known, every operator one that the field has, every value of its type
 * and in the form in which it is stored. Whatever is wrong is said at once.
 * @param given as it came, of any shape
 */
export function fitCondition(
  fields: Fields,
  given: unknown,
  options: FitOptions,
): { fitted: FittedCondition; problems: Problem[] } {
  const problems: Problem[] = [];
  const room: { tests: number } = { tests: conditionLimits.tests };
  const refuse = (path: readonly string[], misfit: Misfit): FittedCondition => {
    problems.push({ ...misfit, path: [...path] });
    return { never: true };
  };
  const fitGroup = (inner: unknown, path: readonly string[], depth: number): FittedCondition[] => {
    if (!Array.isArray(inner) || inner.length === 0) {
      refuse(path, { code: "invalid_type", reason: "must be a list of one condition or more" });
      return [];
    }
    if (inner.length > conditionLimits.tests) {
      refuse(path, tooMany);
      return [];
    }
    return inner.map((one, index) => fitAny(one, [...path, String(index)], depth + 1));
  };
  const fitAny = (node: unknown, path: readonly string[], depth: number): FittedCondition => {
    if (problems.length >= mostProblems) return { never: true };
    if (typeof node !== "object" || node === null || Array.isArray(node)) return refuse(path, shapeless);
    if (depth > conditionLimits.depth)
      return refuse(path, { code: "too_deep", reason: `may be nested ${conditionLimits.depth} deep` });
    const keys = Object.keys(node);
    const [only] = keys;
    if (keys.length === 1 && "all" in node) return { all: fitGroup(node.all, [...path, "all"], depth) };
    if (keys.length === 1 && "any" in node) return { any: fitGroup(node.any, [...path, "any"], depth) };
    if (keys.length === 1 && "not" in node) return { not: fitAny(node.not, [...path, "not"], depth + 1) };
    const stray = keys.find((key) => !testKeys.includes(key));
    if (only === undefined || stray !== undefined || !("field" in node) || !("op" in node))
      return refuse(path, shapeless);
    if (room.tests === 0) return refuse(path, tooMany);
    room.tests -= 1;
    const fitted = fitTest(fields, node as unknown as Test, options);
    if (!("reason" in fitted)) return { test: fitted };
    if (options.isStored === true) return { never: true };
    return refuse([...path, fitted.at], fitted);
  };
  return { fitted: fitAny(given, [], 1), problems };
}

/** More are told nobody. */
const mostProblems = 100;
const tooMany: Misfit = { code: "too_big", reason: `may have ${conditionLimits.tests} tests` };
const testKeys = ["field", "op", "value"];
const shapeless: Misfit = {
  code: "invalid_type",
  reason: "must be { all: […] }, { any: […] }, { not: … } or { field, op, value }",
};

/** One test, or what is wrong with which part of it. */
export function fitTest(
  fields: Fields,
  { field: path, op, value }: Test,
  options: FitOptions,
): FittedTest | (Misfit & { at: "field" | "op" | "value" }) {
  if (typeof path !== "string")
    return { at: "field", code: "invalid_type", reason: "must be the name of a field" };
  const field = fields.fieldOf(path);
  if (field === undefined) {
    const reason = `there is no field ${path} to ask for`;
    return { at: "field", code: "unknown_field", reason, allowed: fields.names };
  }
  if (field.isSensitive && options.isToBeKept)
    return {
      at: "field",
      code: "sensitive",
      reason: `${path} is sensitive: what is kept may not ask for it`,
    };
  const allowed = operatorsOf(field);
  if (typeof op !== "string")
    return { at: "op", code: "invalid_type", reason: "must be an operator", allowed };
  if (!allowed.includes(op))
    return {
      at: "op",
      code: "unknown_operator",
      reason: `does not know the operator ${op}`,
      allowed,
    };
  const operands = operandsOf(field, op, value, options);
  if (isMisfit(operands)) return { at: "value", ...operands };
  if (op !== "isnull") return { path, field, op, operands, isNull: false };
  return { path, field, op, operands: [], isNull: operands[0] === true };
}

/** What each operator does with its values. */
function operandsOf(
  field: QueryField,
  op: Operator,
  value: unknown,
  options: FitOptions,
): Operand[] | Misfit {
  if (op === "isnull") return each({ type: "boolean" }, [value], options, operandOf);
  const mayBeList = op === "in" || op === "nin" || op === "like" || op === "contains";
  const list = mayBeList && Array.isArray(value) ? (value as unknown[]) : [value];
  if (list.length === 0) return { code: "too_small", reason: "must have a value" };
  if (list.length > conditionLimits.items)
    return { code: "too_big", reason: `may have ${conditionLimits.items} values` };
  if (isOrder(op)) return each(field, list, options, operandOf);
  if (options.isStored === true && isEquality(op))
    return list.flatMap((one) => {
      const operand = storedOperandOf(field, one, options);
      return isMisfit(operand) ? [] : [operand];
    });
  if (op !== "like") return each(field, list, options, storedOperandOf);
  const patterns = each({ type: "text" }, list, options, operandOf);
  if (isMisfit(patterns) || options.isStored === true) return patterns;
  return patterns.some((pattern) => [...operandText(pattern).replaceAll("*", "")].length < leastLike)
    ? { code: "too_small", reason: `like needs at least ${leastLike} characters` }
    : patterns;
}

function each(
  field: QueryField,
  list: readonly unknown[],
  options: FitOptions,
  read: typeof operandOf,
): Operand[] | Misfit {
  const operands: Operand[] = [];
  for (const one of list) {
    const operand = read(field, one, options);
    if (isMisfit(operand)) return operand;
    operands.push(operand);
  }
  return operands;
}
