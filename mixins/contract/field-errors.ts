import type { z } from "zod";
import type { FieldError } from "./errors.ts";

/** zod's issues as the API's field errors. */
export function fieldErrors(error: z.ZodError): FieldError[] {
  return error.issues.flatMap((issue) =>
    issue.code === "unrecognized_keys"
      ? issue.keys.map((key) => ({
          path: [...issue.path, key].join("."),
          code: "unknown_field",
          message: "There is no such field.",
        }))
      : [{ path: issue.path.join("."), code: codeOf(issue), message: issue.message }],
  );
}

/** A refinement may name its code in `params`; zod itself only knows it as custom. */
const codeOf = (issue: z.core.$ZodIssue): string =>
  issue.code === "custom" && typeof issue.params?.code === "string" ? issue.params.code : issue.code;
