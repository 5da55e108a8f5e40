import type { Condition } from "../../entities/leads.ts";
import { invalid } from "../../mixins/contract/errors.ts";
import { eachTest } from "../../mixins/records/conditions/condition.ts";
import type { QueryField } from "../../mixins/records/conditions/fields.ts";
import { fitCondition } from "../../mixins/records/conditions/fit.ts";
import { predicateOf, type Predicate } from "../../mixins/records/conditions/predicate.ts";
import { problemErrors } from "../../mixins/records/conditions/schema.ts";
import type { CustomFields } from "../../mixins/records/listing.ts";
import { factFields, score } from "./condition.schemas.ts";
import type { Facts } from "./scoring.facts.ts";

/** None of an organization's own. */
const noDefinitions: CustomFields = new Map<string, QueryField>();
type Compiled = WeakMap<readonly Condition[], Predicate<Facts>>;
/** By definitions, then by conditions: both are made anew when settings are read, and go with them. */
const compiled = new WeakMap<CustomFields, Compiled>();

/**
 * Whether all these stored conditions hold for a lead. Compiled once: each lead is judged by dozens. What does not fit its
 * field any more, since a custom field was defined with another type, holds for nothing.
 */
export function holdAll(
  conditions: readonly Condition[],
  facts: Facts,
  definitions: CustomFields = noDefinitions,
): boolean {
  // the default rules are every organization's, and compiled once for all
  const scope = asksForCustomFields(conditions) ? definitions : noDefinitions;
  let known = compiled.get(scope);
  if (!known) compiled.set(scope, (known = new WeakMap()));
  let predicate = known.get(conditions);
  if (!predicate) known.set(conditions, (predicate = compile(conditions, scope)));
  return predicate(facts);
}

const asking = new WeakMap<readonly Condition[], boolean>();
function asksForCustomFields(conditions: readonly Condition[]): boolean {
  let asks = asking.get(conditions);
  if (asks === undefined) {
    asks = false;
    const visit = ({ field }: { field: string }) => (asks ||= field.startsWith("customFields."));
    for (const one of conditions) eachTest(one, visit);
    asking.set(conditions, asks);
  }
  return asks;
}

function compile(conditions: readonly Condition[], definitions: CustomFields): Predicate<Facts> {
  const fields = factFields(definitions, score);
  const fitted = conditions.map(
    (one) => fitCondition(fields, asStored(one), { timeZone: "UTC", isStored: true }).fitted,
  );
  return predicateOf({ all: fitted }, factAt);
}

/** A condition as it may have been stored before there was one language: `eq` and `ne` took lists, `isnull` anything. */
function asStored(condition: Condition): Condition {
  if ("all" in condition) return { all: condition.all.map(asStored) };
  if ("any" in condition) return { any: condition.any.map(asStored) };
  if ("not" in condition) return { not: asStored(condition.not) };
  const { field, op, value } = condition;
  if (op === "isnull") return { field, op, value: value !== false && value !== "false" };
  if (!Array.isArray(value) || (op !== "eq" && op !== "ne")) return condition;
  return { field, op: op === "eq" ? "in" : "nin", value };
}

function factAt(facts: Facts, path: string): unknown {
  const dot = path.indexOf(".");
  if (dot === -1) return facts[path];
  const group = path.startsWith("consent") ? facts.consent : facts.customFields;
  const key = path.slice(dot + 1);
  return Object.hasOwn(group, key) ? group[key] : undefined;
}

/**
 * Refuses conditions that do not fit the custom fields as they are defined; the rest the contract has seen to.
 * @param under where each stands in the body
 * @throws 422
 */
export function requireFitting(
  definitions: CustomFields,
  conditions: readonly { condition: Condition; under: readonly string[] }[],
): void {
  const fields = factFields(definitions, score);
  const errors = conditions.flatMap(({ condition, under }) =>
    problemErrors(fitCondition(fields, condition, { timeZone: "UTC" }).problems, under),
  );
  if (errors.length > 0) throw invalid(errors);
}
