import { z } from "zod";

/** What each type is called to people. */
const types = new Map([
  ["string", "text"],
  ["number", "a number"],
  ["nan", "a number"],
  ["int", "a whole number"],
  ["bigint", "a whole number"],
  ["boolean", "true or false"],
  ["object", "an object"],
  ["record", "an object"],
  ["map", "an object"],
  ["array", "a list"],
  ["tuple", "a list"],
  ["set", "a list"],
  ["null", "null"],
  ["undefined", "left out"],
  ["never", "left out"],
]);
/** By format, unless its schema says more. */
const formats = new Map([
  ["email", "Must be an email address such as asha@example.com."],
  ["uuid", "Must be an id (a UUID)."],
  ["guid", "Must be an id (a UUID)."],
  ["url", "Must be a URL."],
  ["date", "Must be a day such as 2026-01-31."],
  ["datetime", "Must be a time in ISO 8601 with its zone, such as 2026-01-31T09:30:00Z."],
]);

/** A list that is short enough to be read. */
const mostAllowed = 50;
/** Values as `allowed` names them; undefined when they are too many. */
export const allowedOf = (values: readonly unknown[]): string[] | undefined =>
  values.length > 0 && values.length <= mostAllowed ? values.map(String) : undefined;

/** `a, b or c`. */
export const either = (names: readonly string[]): string =>
  names.length < 2 ? names.join() : `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;

export const typeName = (expected: string): string => types.get(expected) ?? expected;

/**
 * What is wrong with a value, as a sentence that tells what is allowed; zod asks for it where a schema has no words of its
 * own. Of an unknown key it also notes on the issue which keys there are, since zod tells the schema only here.
 */
function sentenceOf(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case "invalid_type": {
      const name = typeName(issue.expected);
      return issue.input === undefined ? `Is required: ${name}.` : `Must be ${name}.`;
    }
    case "invalid_value": {
      const allowed = allowedOf(issue.values);
      return allowed ? `Must be ${either(allowed)}.` : "Is none of the values it may have.";
    }
    case "too_big":
      return limit(issue.origin, "at most", "less than", issue.maximum, issue.inclusive, issue.exact);
    case "too_small":
      if (issue.minimum === 1 && issue.inclusive && !isNumeric(issue.origin)) return "May not be empty.";
      return limit(issue.origin, "at least", "more than", issue.minimum, issue.inclusive, issue.exact);
    case "invalid_format":
      return formats.get(issue.format) ?? unworded;
    case "not_multiple_of":
      return `Must be a multiple of ${issue.divisor}.`;
    case "unrecognized_keys":
      noteKeys(issue);
      return noSuchField;
    default:
      return unworded;
  }
}

export const noSuchField = "There is no such field.";
/** Says too little: a schema that can come to this needs words of its own (test/unit/field-errors.test.ts). */
export const unworded = "Is not what it may be.";

const isNumeric = (origin: string): boolean => !["string", "array", "set", "map", "file"].includes(origin);

function limit(
  origin: string,
  inclusive: string,
  exclusive: string,
  bound: number | bigint,
  isInclusive = true,
  isExact = false,
): string {
  const how = isExact ? "exactly" : isInclusive ? inclusive : exclusive;
  if (isNumeric(origin)) return `Must be ${how} ${bound}.`;
  const unit = origin === "string" ? "character" : "item";
  return `Must have ${how} ${bound} ${unit}${Number(bound) === 1 ? "" : "s"}.`;
}

function noteKeys(issue: z.core.$ZodRawIssue & { known?: string[] }): void {
  const schema = (issue as { schema?: unknown; inst?: unknown }).schema ?? issue.inst;
  if (schema instanceof z.ZodObject) issue.known = Object.keys(schema.shape);
}

z.config({ localeError: sentenceOf });
