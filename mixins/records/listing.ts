import { z } from "zod";
import { badQuery } from "../contract/errors.ts";
import { short } from "../contract/field-errors.ts";
import { parseTime } from "../contract/schemas.ts";
import { isUuid } from "../database/statement.ts";

export type ColumnType = "text" | "uuid" | "integer" | "timestamp" | "boolean" | "text[]";

/** What a list may be filtered, sorted and cut by. Names are the API's; columns are their snake_case. */
export interface Listing {
  table: string;
  /** Every field of the resource and its type; `jsonText` is JSON that comes unparsed. */
  fields: Record<string, ColumnType | "json" | "jsonText">;
  /** Columns of fields that are not in one of their name. */
  columns?: Record<string, readonly string[]>;
  filterable: readonly string[];
  sortable: readonly string[];
  /** Default order, e.g. `-createdAt`. */
  defaultSort: string;
  /** Fields that have one of a few values. */
  values?: Record<string, readonly string[]>;
  /** Sortable fields that may be null; of the others the order is one that an index has. */
  nullable?: readonly string[];
  /** The tsvector column that `q` searches. */
  searchColumn?: string;
  /** jsonb column whose keys may be filtered as `customFields.<key>`. */
  customFields?: boolean;
}

const operators = [
  ...(["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "like", "contains", "isnull"] as const),
];
export type Operator = (typeof operators)[number];
type Scalar = string | number | boolean;
/** `filter[field]=value`, or `filter[field][op]=value` of one or several operators. */
export type FilterTest = Scalar | Partial<Record<Operator, Scalar | Scalar[]>>;
export interface Filter {
  field: string;
  op: Operator;
  value: unknown;
}

/** Fewer characters would look at every row. */
const leastLike = 3;
/** Longer than any cursor of ours: the longest sortable text is 300 characters. */
const maxCursorLength = 4_096;

/** The parameters of a list: `?limit&cursor&sort&filter[field][op]&q&fields&count`. */
export function listParams(listing: Listing) {
  return z.strictObject({
    ...pageParams,
    sort: z
      .enum(listing.sortable.flatMap((field) => [field, `-${field}`]))
      .default(listing.defaultSort as never),
    filter: z
      .unknown()
      .transform((given, issues) => readFilter(listing, given, issues))
      .meta(filterSchema(listing))
      .optional(),
    q: z.string().trim().min(1).max(200).optional(),
    fields: fieldsParam(listing),
    count: z
      .union([z.boolean(), z.enum(["true", "false"]).transform((flag) => flag === "true")])
      .default(false),
  });
}
export type ListParams = z.output<ReturnType<typeof listParams>>;

/** Where a page begins: `nextCursor` of the page before. */
const cursorParam = z.string().max(maxCursorLength).optional();
/** `limit` and `cursor`, of a list that knows neither sort nor filter. */
export const pageParams = { limit: z.coerce.number().int().min(1).max(200).default(50), cursor: cursorParam };
/** One record by its id, or some fields of it. */
export const byIdOf = (listing: Pick<Listing, "fields">) =>
  z.strictObject({ id: z.uuid(), fields: fieldsParam(listing) });
/** Which fields are answered, besides the id: `fields=id,email`; default all. */
export const fieldsParam = (listing: Pick<Listing, "fields">) =>
  z
    .union([z.string().transform((list) => list.split(",")), z.array(z.string())])
    .pipe(z.array(z.enum(Object.keys(listing.fields))).min(1))
    .optional();

const customField = /^customFields\.[\w -]{1,64}$/;
const isFilterable = (listing: Listing, field: string): boolean =>
  listing.filterable.includes(field) || (listing.customFields === true && customField.test(field));

/** Checks a filter whole, so that everything wrong with it is said at once. */
function readFilter(
  listing: Listing,
  given: unknown,
  issues: z.RefinementCtx,
): Record<string, FilterTest> | undefined {
  const refuse = ({ path, reason, code, allowed = [] }: Misfit & { path: string[] }) =>
    issues.addIssue({ code: "custom", path, message: reason, params: { code, ...short(allowed) } });
  if (given === undefined) return undefined;
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    refuse({
      path: [],
      code: "invalid_type",
      reason: "Write filter[field]=value or filter[field][op]=value.",
    });
    return z.NEVER;
  }
  let isRefused = false;
  for (const [field, test] of Object.entries(given)) {
    if (!isFilterable(listing, field)) {
      isRefused = true;
      const allowed = [...listing.filterable, ...(listing.customFields ? ["customFields.<key>"] : [])];
      refuse({ path: [field], code: "unknown_filter", reason: `cannot be filtered by ${field}`, allowed });
      continue;
    }
    for (const [op, value] of testsOf(test)) {
      const path = isTree(test) ? [field, op] : [field];
      const misfit = fit(listing, { field, op: op as Operator, value });
      if (!("code" in misfit)) continue;
      isRefused = true;
      refuse({ path, ...misfit });
    }
  }
  return isRefused ? z.NEVER : (given as Record<string, FilterTest>);
}

const isTree = (test: unknown): test is Record<string, unknown> =>
  typeof test === "object" && test !== null && !Array.isArray(test);
const testsOf = (test: unknown): [string, unknown][] =>
  isTree(test) ? Object.entries(test) : [["eq", test]];

/** A filter for the API docs. */
function filterSchema(listing: Listing) {
  const any = { anyOf: [{ type: "string" }, { type: "object", additionalProperties: { type: "string" } }] };
  return {
    type: "object" as const,
    properties: Object.fromEntries(listing.filterable.map((field) => [field, any])),
    additionalProperties: listing.customFields ? any : false,
  };
}

/** `createdAt` → `created_at`. */
export function columnOf(field: string): string {
  let column = columns.get(field);
  if (column === undefined) {
    column = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    columns.set(field, column);
  }
  return column;
}
/** By field; every list needs all of its own. */
const columns = new Map<string, string>();

/** Collects the values of a statement and answers their placeholders. */
export class Values {
  readonly list: unknown[] = [];
  add(value: unknown): string {
    this.list.push(value);
    return `$${this.list.length}`;
  }
}

/** What the parameters of a list ask of its rows, as SQL over `values`. @throws 400 INVALID_FILTER */
export function matchConditions(
  listing: Listing,
  params: Pick<ListParams, "filter" | "q">,
  values: Values,
): string[] {
  const conditions = filtersOf(params).map((filter) => condition(listing, filter, values));
  if (params.q !== undefined && listing.searchColumn)
    conditions.push(`${listing.searchColumn} @@ ${prefixQuery(params.q, values)}`);
  return conditions;
}

const filtersOf = ({ filter }: Pick<ListParams, "filter">): Filter[] =>
  Object.entries(filter ?? {}).flatMap(([field, test]) =>
    testsOf(test).map(([op, value]) => ({ field, op: op as Operator, value })),
  );

/** Every word of `q` must begin a word of the record. */
function prefixQuery(q: string, values: Values): string {
  const words = q.match(/[\p{L}\p{N}]+/gu) ?? [];
  if (words.length === 0) return "''::tsquery";
  return `to_tsquery('simple', ${values.add(words.map((word) => `${word}:*`).join(" & "))})`;
}

const comparisons: Partial<Record<Operator, string>> = {
  eq: "=",
  ne: "IS DISTINCT FROM",
  gt: ">",
  gte: ">=",
  lt: "<",
  lte: "<=",
};

/** One filter as SQL. @throws 400 INVALID_FILTER when the test does not fit the field */
export function condition(listing: Listing, filter: Filter, values: Values): string {
  const { field, op } = filter;
  const fitted = fit(listing, filter);
  if ("code" in fitted) throw invalidFilter(field, fitted);
  const { type, value } = fitted;
  const column = field.startsWith("customFields.")
    ? `(custom_fields ->> ${values.add(field.slice("customFields.".length))})`
    : columnOf(field);
  if (op === "isnull") return `${column} IS ${value === true ? "" : "NOT "}NULL`;
  if (type === "text[]") {
    const holds = `${column} && ${values.add(Array.isArray(value) ? value : [value])}::text[]`;
    return op === "ne" || op === "nin" ? `NOT ${holds}` : holds;
  }
  if (op === "in") return `${column} = ANY (${values.add(value)}::${sqlType(type)}[])`;
  // what has no value is none of them
  if (op === "nin") return `(${column} = ANY (${values.add(value)}::${sqlType(type)}[])) IS NOT TRUE`;
  if (op === "like") return `${column} ILIKE ${values.add(pattern(String(value)))}`;
  return `${column} ${comparisons[op]} ${values.add(value)}`;
}

/** `*` is the API's wildcard; without one, the text may stand anywhere. */
function pattern(text: string): string {
  const escaped = text.replace(/[\\%_]/g, "\\$&");
  return escaped.includes("*") ? escaped.replaceAll("*", "%") : `%${escaped}%`;
}

/** What does not fit, as a sentence that begins with what is wrong, and what would. */
interface Misfit {
  code: string;
  reason: string;
  allowed?: readonly string[];
}
/** A value as SQL takes it: a list where the operator asks for one. */
interface Fitted {
  type: ColumnType;
  value: unknown;
}

const typeOf = (listing: Listing, field: string): ColumnType =>
  field.startsWith("customFields.") ? "text" : (listing.fields[field] as ColumnType);

function operatorsOf(type: ColumnType): readonly Operator[] {
  if (type === "text[]") return ["eq", "ne", "in", "nin", "contains", "isnull"];
  const scalar = operators.filter((op) => op !== "contains");
  return type === "text" ? scalar : scalar.filter((op) => op !== "like");
}

/** The value of a filter for its field and operator, or why there is none. */
function fit(listing: Listing, { field, op, value }: Filter): Fitted | Misfit {
  const type = typeOf(listing, field);
  const allowed = operatorsOf(type);
  if (!allowed.includes(op))
    return { code: "unknown_operator", reason: `does not know the operator ${String(op)}`, allowed };
  if (op === "isnull") return fitOne("boolean", value);
  const element = type === "text[]" ? "text" : type;
  const isList = op === "in" || op === "nin";
  const fitted: unknown[] = [];
  for (const one of isList ? asList(value) : [value]) {
    const checked = fitOne(element, one);
    if ("code" in checked) return checked;
    const among = ["eq", "ne", "in", "nin"].includes(op) ? listing.values?.[field] : undefined;
    if (among && !among.includes(String(checked.value)))
      return { code: "invalid_value", reason: `is never ${String(checked.value)}`, allowed: among };
    fitted.push(checked.value);
  }
  if (op === "like" && String(value).replaceAll("*", "").length < leastLike)
    return { code: "too_small", reason: `like needs at least ${leastLike} characters` };
  return { type, value: isList ? fitted : fitted[0] };
}

/** The values of a list: split at commas, where `\,` is one. */
export function asList(value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  if (typeof value !== "string") return [value];
  return value.split(/(?<!\\),/).map((one) => one.replaceAll("\\,", ","));
}

const sqlType = (type: ColumnType): string => (type === "timestamp" ? "timestamptz" : type);
const invalidFilter = (field: string, { code, reason, allowed = [] }: Misfit) =>
  badQuery([{ path: `filter.${field}`, code, message: reason, ...short(allowed) }]);

/** One value of a type, or why it is none. */
export function fitOne(type: ColumnType, value: unknown): Fitted | Misfit {
  if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean")
    return { code: "invalid_type", reason: "must be one value" };
  const text = String(value);
  const fitted = (is: boolean, reason: string, made: () => unknown = () => text): Fitted | Misfit =>
    is ? { type, value: made() } : { code: "invalid_value", reason };
  switch (type) {
    case "integer":
      return fitted(/^-?\d{1,9}$/.test(text), "must be a whole number", () => Number(text));
    case "uuid":
      return fitted(isUuid(text), "must be an id");
    case "timestamp": {
      const ms = parseTime(text);
      const reason = "must be a time in ISO 8601, of the years 0001 to 9999";
      return fitted(ms !== undefined, reason, () => new Date(ms as number).toISOString());
    }
    case "boolean":
      return fitted(text === "true" || text === "false", "must be true or false", () => text === "true");
    default:
      return fitted(
        !text.includes("\0") && text.isWellFormed(),
        "may not contain NUL or halves of characters",
      );
  }
}
