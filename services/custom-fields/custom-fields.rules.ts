import { invalid, type FieldError } from "../../mixins/contract/errors.ts";
import { readCustomValue, type CustomType, type CustomValue } from "../../mixins/values/custom-value.ts";

/** What is said of a field; the rest of a definition depends on it. */
export interface Said {
  type: CustomType;
  options: readonly { value: string; label: string }[];
  references: string | null;
  isUnique: boolean;
  isSensitive: boolean;
  isIndexed: boolean;
  default: CustomValue | null;
}

const isChosen = (type: CustomType) => type === "select" || type === "multiSelect";
/** Types whose values two records may share, or compare in more ways than one. */
const neverUnique: readonly CustomType[] = ["boolean", "longText", "multiSelect"];

/** Types whose values have one order. */
const indexable: readonly CustomType[] = [
  ...(["text", "number", "date", "datetime", "select", "url", "email", "phone"] as const),
];
/** Indexed fields that a kind may have in an organization: each is a row more of every record that is written. */
export const mostIndexed = 20;

/** The definition with its default as it is stored. @throws 422 that names what does not go together */
export function fitting<T extends Said>(said: T): T {
  const problems: FieldError[] = [];
  const refuse = (path: string, code: string, message: string) => problems.push({ path, code, message });
  const { type, options, references } = said;
  if (isChosen(type) && options.length === 0) refuse("options", "required", `are required of a ${type}`);
  if (!isChosen(type) && options.length > 0)
    refuse("options", "not_allowed", "only select and multiSelect have options");
  if (type === "reference" && references === null)
    refuse("references", "required", "is required of a reference: the kind of record that it names");
  if (type !== "reference" && references !== null)
    refuse("references", "not_allowed", "only a reference names a kind");
  if (type === "reference" && said.isSensitive)
    refuse("isSensitive", "not_allowed", "a reference cannot be sensitive");
  if (said.isUnique && neverUnique.includes(type))
    refuse("isUnique", "not_allowed", `a field of type ${type} cannot be unique`);
  if (said.isIndexed && !indexable.includes(type))
    refuse(
      "isIndexed",
      "not_allowed",
      `a field of type ${type} cannot be indexed: only ${indexable.join(", ")}`,
    );
  if (said.isIndexed && said.isSensitive)
    refuse("isIndexed", "not_allowed", "a sensitive field cannot be indexed: its values are sealed");
  let value = said.default;
  if (value !== null) {
    const read = readCustomValue(isChosen(type) ? { type, options } : { type }, value);
    if (said.isSensitive)
      refuse("default", "not_allowed", "a sensitive field has no default: everybody would see it");
    else if (said.isUnique)
      refuse("default", "not_allowed", "a unique field has no default: two records would have it");
    else if (type === "user" || type === "reference")
      refuse("default", "not_allowed", `a field of type ${type} has no default: what it names may go`);
    else if ("value" in read) value = read.value;
    else problems.push({ path: "default", ...read });
  }
  if (problems.length > 0) throw invalid(problems);
  return { ...said, default: value };
}

/** Options with their labels; default the value itself. */
export const labelled = (options: readonly { value: string; label?: string | undefined }[]) =>
  options.map(({ value, label = value }) => ({ value, label }));
