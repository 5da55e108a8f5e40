import { z } from "zod";
import { badRequest } from "../contract/errors.ts";
import { parseTime } from "../contract/schemas.ts";
import { isUuid } from "../database/statement.ts";

export type ColumnType = "text" | "uuid" | "integer" | "timestamp" | "boolean" | "text[]";

/** What a list may be filtered, sorted and cut by. Names are the API's; columns are their snake_case. */
export interface Listing {
  table: string;
  /** Every field of the resource and its type; `jsonText` is JSON that comes unparsed. */
  fields: Record<string, ColumnType | "json" | "jsonText">;
  filterable: readonly string[];
  sortable: readonly string[];
  /** Default order, e.g. `-createdAt`. */
  defaultSort: string;
  /** Sortable fields that may be null; of the others the order is one that an index has. */
  nullable?: readonly string[];
  /** The tsvector column that `q` searches. */
  searchColumn?: string;
  /** jsonb column whose keys may be filtered as `customFields.<key>`. */
  customFields?: boolean;
}

const operators = ["eq", "ne", "gt", "gte", "lt", "lte", "in", "like", "isnull"] as const;
export type Operator = (typeof operators)[number];
export interface Filter {
  field: string;
  op: Operator;
  value: unknown;
}

/** The parameters of a list: `?limit&cursor&sort&filter[field][op]&q&fields&count`. */
export function listParams(listing: Listing) {
  const isFilterable = (field: string) =>
    listing.filterable.includes(field)
    || (listing.customFields === true && /^customFields\.[\w -]{1,64}$/.test(field));
  const scalar = z.union([z.string(), z.number(), z.boolean()]);
  const test = z.union([scalar, z.partialRecord(z.enum(operators), z.union([scalar, z.array(scalar)]))]);
  return z.strictObject({
    limit: z.coerce.number().int().min(1).max(200).default(50),
    cursor: z.string().max(1000).optional(),
    sort: z
      .enum(listing.sortable.flatMap((field) => [field, `-${field}`]))
      .default(listing.defaultSort as never),
    filter: z
      .record(z.string(), test)
      .optional()
      .superRefine((filter, issues) => {
        for (const field of Object.keys(filter ?? {}))
          if (!isFilterable(field))
            issues.addIssue({ code: "custom", path: [field], message: `cannot be filtered by ${field}` });
      }),
    q: z.string().trim().min(1).max(200).optional(),
    fields: z
      .union([z.string().transform((list) => list.split(",")), z.array(z.string())])
      .pipe(z.array(z.enum(Object.keys(listing.fields))).min(1))
      .optional(),
    count: z
      .union([z.boolean(), z.enum(["true", "false"]).transform((flag) => flag === "true")])
      .default(false),
  });
}
export type ListParams = z.output<ReturnType<typeof listParams>>;

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

function filtersOf({ filter }: Pick<ListParams, "filter">): Filter[] {
  return Object.entries(filter ?? {}).flatMap(([field, test]) =>
    typeof test === "object"
      ? Object.entries(test).map(([op, value]) => ({ field, op: op as Operator, value }))
      : [{ field, op: "eq" as const, value: test }],
  );
}

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

/** One filter as SQL. @throws 400 INVALID_FILTER when the value does not fit the field */
export function condition(listing: Listing, { field, op, value }: Filter, values: Values): string {
  const isCustom = field.startsWith("customFields.");
  const type = isCustom ? "text" : (listing.fields[field] as ColumnType);
  const column = isCustom
    ? `(custom_fields ->> ${values.add(field.slice("customFields.".length))})`
    : columnOf(field);
  const fit = (one: unknown) => fitValue(field, type, one);
  if (op === "isnull") return `${column} IS ${fitValue(field, "boolean", value) ? "" : "NOT "}NULL`;
  if (type === "text[]") {
    const list = asList(value).map((one) => fitValue(field, "text", one));
    if (op === "eq" || op === "in") return `${column} && ${values.add(list)}::text[]`;
    if (op === "ne") return `NOT ${column} && ${values.add(list)}::text[]`;
    throw invalidFilter(field, `knows eq, ne, in and isnull, not ${op}`);
  }
  if (op === "in") return `${column} = ANY (${values.add(asList(value).map(fit))}::${sqlType(type)}[])`;
  if (op === "like") {
    if (type !== "text") throw invalidFilter(field, "is not text");
    // * is the API's wildcard; without one, the text may stand anywhere
    const pattern = String(fit(value)).replace(/[\\%_]/g, "\\$&");
    return `${column} ILIKE ${values.add(pattern.includes("*") ? pattern.replaceAll("*", "%") : `%${pattern}%`)}`;
  }
  return `${column} ${comparisons[op]} ${values.add(fit(value))}`;
}

const asList = (value: unknown): unknown[] =>
  Array.isArray(value) ? value : typeof value === "string" ? value.split(",") : [value];
const sqlType = (type: ColumnType): string => (type === "timestamp" ? "timestamptz" : type);
const invalidFilter = (field: string, reason: string) =>
  badRequest("INVALID_FILTER", `filter[${field}] ${reason}`);

/** @throws 400 INVALID_FILTER */
export function fitValue(field: string, type: ColumnType, value: unknown): unknown {
  if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean")
    throw invalidFilter(field, "must be one value");
  const text = String(value);
  if (text.includes("\0")) throw invalidFilter(field, "may not contain NUL");
  switch (type) {
    case "integer":
      if (!/^-?\d{1,9}$/.test(text)) throw invalidFilter(field, "must be a whole number");
      return Number(text);
    case "uuid":
      if (!isUuid(text)) throw invalidFilter(field, "must be an id");
      return text;
    case "timestamp": {
      const ms = parseTime(text);
      if (ms === undefined)
        throw invalidFilter(field, "must be a time in ISO 8601, of the years 0001 to 9999");
      return new Date(ms).toISOString();
    }
    case "boolean":
      if (text !== "true" && text !== "false") throw invalidFilter(field, "must be true or false");
      return text === "true";
    default:
      return text;
  }
}
