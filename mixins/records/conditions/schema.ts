import { z } from "zod";
import type { FieldError } from "../../contract/errors.ts";
import { short } from "../../contract/field-errors.ts";
import { repeatedName } from "../../contract/repeated-names.ts";
import { operators, type Condition } from "./condition.ts";
import type { Fields } from "./fields.ts";
import { fitCondition, type Problem } from "./fit.ts";

/** Characters of a `where` in a query string; more would be no address any more. */
const mostWhere = 8_000;

/**
 * A condition in a body, about these fields; stays as it came. Custom fields and zones are the organization's: who stores it
 * fits it once more to those.
 */
export const conditionInput = (fields: Fields) =>
  z
    .unknown()
    .transform((given, issues) => checked(fields, given, issues))
    .meta(conditionSchema(fields.names));

/** A condition in an answer: whatever was stored. */
export const storedCondition = z.custom<Condition>().meta({ ...conditionSchema(), id: "Condition" });

/** `where=`: a condition as JSON in a query string. */
export const whereParam = (fields: Fields) =>
  z
    .unknown()
    .transform((given, issues) => {
      const refuse = (code: string, message: string) => {
        issues.addIssue({ code: "custom", message, params: { code } });
        return z.NEVER;
      };
      let parsed: unknown = given;
      if (typeof given === "string" && given.length > mostWhere)
        return refuse("too_big", `may have ${mostWhere} characters`);
      try {
        if (typeof given === "string") parsed = JSON.parse(given);
      } catch {
        return refuse("malformed", 'must be JSON, such as {"field":"id","op":"isnull","value":false}');
      }
      const repeated = typeof given === "string" && repeatedName(given);
      if (repeated) return refuse("duplicate_field", `has ${repeated.join(".")} twice`);
      return checked(fields, parsed, issues);
    })
    .meta({
      type: "string",
      contentMediaType: "application/json",
      description:
        "A condition as JSON: { all: […] }, { any: […] }, { not: … } or { field, op, value }, as deep as 8 and up to 100 tests; beside `filter`, which must hold too.",
      examples: [
        '{"any":[{"field":"id","op":"isnull","value":true},{"not":{"field":"id","op":"in","value":["01890000-0000-7000-8000-000000000000"]}}]}',
      ],
    });

function checked(fields: Fields, given: unknown, issues: z.RefinementCtx): Condition {
  const { problems } = fitCondition(fields, given, { timeZone: "UTC" });
  for (const { path, code, reason, allowed = [] } of problems)
    issues.addIssue({ code: "custom", path, message: reason, params: { code, ...short(allowed) } });
  // a copy, as other schemas answer: whoever gave it may go on with theirs
  return problems.length > 0 ? z.NEVER : (JSON.parse(JSON.stringify(given)) as Condition);
}

/** What is wrong with a condition, as errors of the request it came with. @param under where it stood */
export const problemErrors = (problems: readonly Problem[], under: readonly string[]): FieldError[] =>
  problems.map(({ path, code, reason, allowed = [] }) => ({
    path: [...under, ...path].join("."),
    code,
    message: reason,
    ...short(allowed),
  }));

/** For the API docs. */
function conditionSchema(names: readonly string[] = []) {
  const scalar = { anyOf: [{ type: "string" }, { type: "number" }, { type: "boolean" }] };
  const plain = names.filter((name) => !name.includes("<"));
  const field =
    plain.length === 0
      ? { type: "string" as const }
      : {
          anyOf: [
            { type: "string", enum: plain },
            { type: "string", pattern: "^[A-Za-z]+[.].+$" },
          ],
        };
  const object = (properties: object) => ({
    type: "object",
    properties,
    required: Object.keys(properties),
    additionalProperties: false,
  });
  const condition = { type: "object", description: "A condition" };
  return {
    anyOf: [
      object({
        field,
        op: { type: "string", enum: [...operators] },
        value: { anyOf: [...scalar.anyOf, { type: "array", items: scalar }, { type: "object" }] },
      }),
      object({ all: { type: "array", items: condition } }),
      object({ any: { type: "array", items: condition } }),
      object({ not: condition }),
    ],
  };
}
