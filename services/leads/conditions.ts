import type { Condition } from "../../entities/lead-settings.ts";
import { invalid } from "../../mixins/contract/errors.ts";
import { eachTest } from "../../mixins/records/conditions/condition.ts";
import type { QueryField } from "../../mixins/records/conditions/fields.ts";
import { fitCondition } from "../../mixins/records/conditions/fit.ts";
import { predicateOf, type Predicate } from "../../mixins/records/conditions/predicate.ts";
import { problemErrors } from "../../mixins/records/conditions/schema.ts";
import type { CustomFields } from "../../mixins/records/finding/listing.ts";
import { factFields, score } from "./condition.schemas.ts";
import type { Facts } from "./scoring.facts.ts";

/** None of an organization's own. */
const noDefinitions: CustomFields = new Map<string, QueryField>();
/** Sets of conditions, all of which must hold, as predicates in the same order. */
interface Compiled {
  /** Where none asks for custom fields: the default rules are every organization's, and compiled once for all. */
  forAll?: readonly Predicate<Facts>[];
  byDefinitions: WeakMap<CustomFields, readonly Predicate<Facts>[]>;
}
/** By what holds the conditions, which is made anew when settings are read, and goes with them. */
const compiled = new WeakMap<object, Compiled>();

/**
 * Stored sets of conditions as predicates. Compiled once: each lead is judged by dozens of conditions. What does not fit its
 * field any more, since a custom field was defined with another type, holds for nothing.
 * @param holder what the sets are remembered by; it never changes
 */
export function predicatesOf<H extends object>(
  holder: H,
  setsOf: (holder: H) => readonly (readonly Condition[])[],
  definitions: CustomFields = noDefinitions,
): readonly Predicate<Facts>[] {
  let known = compiled.get(holder);
  if (!known) {
    known = { byDefinitions: new WeakMap() };
    const sets = setsOf(holder);
    if (!sets.some(asksForCustomFields)) known.forAll = sets.map((set) => compile(set, noDefinitions));
    compiled.set(holder, known);
  }
  let predicates = known.forAll ?? known.byDefinitions.get(definitions);
  if (!predicates) {
    predicates = setsOf(holder).map((set) => compile(set, definitions));
    known.byDefinitions.set(definitions, predicates);
  }
  return predicates;
}

/** Whether all these stored conditions hold for a lead. */
export function holdAll(conditions: readonly Condition[], facts: Facts, definitions?: CustomFields): boolean {
  const [holds] = predicatesOf(conditions, oneSet, definitions);
  return holds?.(facts) ?? false;
}
const oneSet = (conditions: readonly Condition[]) => [conditions];

function asksForCustomFields(conditions: readonly Condition[]): boolean {
  let asks = false;
  for (const one of conditions)
    eachTest(one, ({ field }) => {
      asks ||= field.startsWith("customFields.");
    });
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
 * Refuses conditions that do not fit the custom fields as they are defined, and those about sensitive ones, which would never hold;
 * the rest the contract has seen to.
 * @param under where each stands in the body
 * @throws 422
 */
export function requireFitting(
  definitions: CustomFields,
  conditions: readonly { condition: Condition; under: readonly string[] }[],
): void {
  const fields = factFields(definitions, score);
  const errors = conditions.flatMap(({ condition, under }) =>
    problemErrors(fitCondition(fields, condition, { timeZone: "UTC", isToBeKept: true }).problems, under),
  );
  if (errors.length > 0) throw invalid(errors);
}
