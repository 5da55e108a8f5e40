import type { z } from "zod";
import type { FieldError } from "./errors.ts";

/** Longer lists of what is allowed are left out of an error. */
const mostAllowed = 50;

/** zod's issues as the API's field errors. */
export function fieldErrors(error: z.ZodError): FieldError[] {
  return error.issues.flatMap((issue) =>
    issue.code === "unrecognized_keys"
      ? issue.keys.map((key) => ({
          path: [...issue.path, key].join("."),
          code: "unknown_field",
          message: "There is no such field.",
        }))
      : [
          {
            path: issue.path.join("."),
            code: codeOf(issue),
            message: issue.message,
            ...allowedBy(issue),
          },
        ],
  );
}

/**
 * zod's issues with a query string.
 * @param known names of the parameters
 */
export function queryErrors(error: z.ZodError, known: readonly string[]): FieldError[] {
  return fieldErrors(error).map((one) =>
    one.code === "unknown_field" && !one.path.includes(".")
      ? { ...one, message: "There is no such query parameter.", ...short(known) }
      : one,
  );
}

/** A refinement may name its code in `params`; zod itself only knows it as custom. */
const codeOf = (issue: z.core.$ZodIssue): string =>
  issue.code === "custom" && typeof issue.params?.code === "string" ? issue.params.code : issue.code;

function allowedBy(issue: z.core.$ZodIssue): { allowed?: readonly string[] } {
  if (issue.code === "invalid_value") return short(issue.values.map(String));
  const allowed: unknown = issue.code === "custom" ? issue.params?.allowed : undefined;
  return Array.isArray(allowed) ? short(allowed.map(String)) : {};
}

/** What is allowed, if it is short enough to be said. */
export const short = (allowed: readonly string[]): { allowed?: readonly string[] } =>
  allowed.length > 0 && allowed.length <= mostAllowed ? { allowed } : {};
