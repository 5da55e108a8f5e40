import type { z } from "zod";
import type { FieldError } from "./errors.ts";
import { allowedOf, either, noSuchField, typeName } from "./sentences.ts";

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/**
 * zod's issues as the API's field errors: each a path, a code and a sentence that tells what is allowed.
 * @param hidden keys that are not the client's to give, and so are not suggested
 */
export const fieldErrors = (error: z.ZodError, hidden: readonly string[] = []): FieldError[] =>
  error.issues.flatMap((issue) => errorsOf(issue, [], hidden));

/**
 * zod's issues with a query string.
 * @param known names of the parameters
 */
export const queryErrors = (error: z.ZodError, known: readonly string[]): FieldError[] =>
  fieldErrors(error).map((one) =>
    one.code === "unknown_field" && !one.path.includes(".")
      ? { ...one, message: "There is no such query parameter.", ...short(known) }
      : one,
  );

/** What is allowed, if it is short enough to be said. */
export function short(values: readonly string[]): { allowed?: readonly string[] } {
  const allowed = allowedOf(values);
  return allowed ? { allowed } : {};
}

function errorsOf(issue: Issue, under: Path, hidden: readonly string[]): FieldError[] {
  const path = [...under, ...issue.path];
  switch (issue.code) {
    case "unrecognized_keys": {
      const { known = [] } = issue as { known?: string[] };
      const allowed = allowedOf(known.filter((key) => !hidden.includes(key)));
      return issue.keys.map((key) => fieldError([...path, key], "unknown_field", noSuchField, allowed));
    }
    case "invalid_union":
      return unionErrors(issue, path, hidden);
    case "invalid_key":
    case "invalid_element":
      // what is wrong is said of the key: the path leads to it already
      return [issue.issues[0]].flatMap((inner) =>
        inner === undefined
          ? fieldError(path, issue.code, issue.message)
          : errorsOf(inner, path, hidden).map((error) => ({ ...error, code: issue.code })),
      );
    case "invalid_value":
      return [fieldError(path, issue.code, issue.message, allowedOf(issue.values))];
    case "custom": {
      // a refinement may name its code in `params`; zod itself only knows it as custom
      const code: unknown = issue.params?.code;
      const allowed: unknown = issue.params?.allowed;
      return [
        fieldError(
          path,
          typeof code === "string" ? code : issue.code,
          issue.message,
          Array.isArray(allowed) ? allowedOf(allowed) : undefined,
        ),
      ];
    }
    default:
      return [fieldError(path, issue.code, issue.message)];
  }
}

const fieldError = (path: Path, code: string, message: string, allowed?: readonly string[]): FieldError => ({
  path: path.map(String).join("."),
  code,
  message,
  ...(allowed === undefined ? {} : { allowed }),
});

/** What is wrong with a value that may have several forms: said of the form it is meant to have, where that shows. */
function unionErrors(
  issue: Issue & { code: "invalid_union" },
  path: Path,
  hidden: readonly string[],
): FieldError[] {
  const branches = flatten(issue);
  const ofItsType = branches.filter((issues) => !isOfAnotherType(issues));
  if (ofItsType.length === 0) {
    const names = [...new Set(branches.flatMap(expectedTypes).map(typeName))];
    return [fieldError(path, issue.code, names.length > 0 ? `Must be ${either(names)}.` : issue.message)];
  }
  const [nearest] = ofItsType.toSorted((a, b) => a.length - b.length) as [Issue[]];
  if (ofItsType.length === 1 || nearest.some((inner) => inner.path.length > 0))
    return nearest.flatMap((inner) => errorsOf(inner, path, hidden));
  const errors = ofItsType.flatMap((issues) => issues.flatMap((inner) => errorsOf(inner, path, hidden)));
  const allowed = errors.find((error) => error.allowed !== undefined)?.allowed;
  const sentences = [...new Set(errors.map(({ message }) => message.replace(/\.$/, "")))];
  const [first = "", ...others] = sentences;
  const message = [first, ...others.map((text) => text.charAt(0).toLowerCase() + text.slice(1))].join(
    ", or ",
  );
  return [fieldError(path, issue.code, `${message}.`, allowed)];
}

/** The forms, those of unions within the union too. */
const flatten = (issue: Issue & { code: "invalid_union" }): Issue[][] =>
  issue.errors.flatMap((issues) => {
    const [only] = issues;
    return issues.length === 1 && only?.code === "invalid_union" && only.path.length === 0
      ? flatten(only)
      : [issues];
  });

const isOfAnotherType = (issues: Issue[]): boolean =>
  issues.some((issue) => issue.code === "invalid_type" && issue.path.length === 0);

const expectedTypes = (issues: Issue[]): string[] =>
  issues.flatMap((issue) => (issue.code === "invalid_type" && issue.path.length === 0 ? issue.expected : []));
