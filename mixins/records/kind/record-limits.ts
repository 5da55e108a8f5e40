import { invalid, type FieldError } from "../../contract/errors.ts";

/**
 * What one record may hold after a change, whatever wrote it. A list shows 200 records and every change of one is an
 * event with all of it, so this is what bounds them.
 */
export const recordLimits = {
  /** Of what callers give: texts, tags, custom fields and consent as JSON in UTF-8. */
  bytes: 64 * 1024,
  customFields: 100,
  tags: 50,
  consent: 50,
} as const;
/** What of a record its callers decide how large it is. */
export interface RecordContent {
  texts: readonly (string | null)[];
  tags: readonly string[];
  customFields: Record<string, unknown>;
  consent: Record<string, unknown>;
}

type Measure = keyof typeof recordLimits;
const paths: Record<Measure, string> = {
  bytes: "",
  customFields: "customFields",
  tags: "tags",
  consent: "consent",
};
const units: Record<Measure, string> = {
  bytes: "bytes",
  customFields: "custom fields",
  tags: "tags",
  consent: "consent keys",
};

/**
 * Refuses what would make a record larger than the limits. One that is too large from before they were stays readable, and may be
 * changed where that does not make it larger still.
 * @param before of a record that exists
 * @throws 422 that names the limit and what the record would have
 */
export function requireFits(after: RecordContent, before?: RecordContent): void {
  const sizes = sizesOf(after);
  const measures = Object.keys(recordLimits) as Measure[];
  const over = measures.filter((measure) => sizes[measure] > recordLimits[measure]);
  if (over.length === 0) return;
  const former = before && sizesOf(before);
  const problems = over
    .filter((measure) => former === undefined || sizes[measure] > former[measure])
    .map((measure) => problem(measure, sizes[measure], former?.[measure]));
  if (problems.length > 0) throw invalid(problems);
}

function problem(measure: Measure, size: number, former: number | undefined): FieldError {
  const now = former === undefined ? "" : `; it has ${former} now`;
  return {
    path: paths[measure],
    code: measure === "bytes" ? "record_too_large" : "too_many",
    message: `a record may have ${recordLimits[measure]} ${units[measure]}, this would have ${size}${now}`,
  };
}

const sizesOf = ({ texts, tags, customFields, consent }: RecordContent): Record<Measure, number> => ({
  bytes: jsonBytes([texts, tags, customFields, consent]),
  customFields: Object.keys(customFields).length,
  tags: tags.length,
  consent: Object.keys(consent).length,
});

/** Bytes of a value as JSON in UTF-8, about as many as it takes when stored. */
const jsonBytes = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));

/**
 * Refuses a setting that would take more than `most` bytes: a process keeps every organization's at hand. One that did before may
 * become smaller.
 * @throws 422 at `path` that names the limit
 */
export function requireBytes(path: string, value: unknown, most: number, former?: unknown): void {
  const bytes = jsonBytes(value);
  if (bytes <= most || (former !== undefined && bytes < jsonBytes(former))) return;
  const message = `may take ${most} bytes as JSON, this would take ${bytes}`;
  throw invalid([{ path, code: "too_large", message }]);
}
