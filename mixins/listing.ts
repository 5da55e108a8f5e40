import { createHash } from "node:crypto";
import { z } from "zod";
import { badRequest } from "./errors.ts";
import { isUuid, type Statement } from "./database/statement.ts";

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
export const columnOf = (field: string): string =>
  field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Collects the values of a statement and answers their placeholders. */
export class Values {
  readonly list: unknown[] = [];
  add(value: unknown): string {
    this.list.push(value);
    return `$${this.list.length}`;
  }
}

/**
 * The statement of one page, in keyset order (sort column, then id), asking one row more than the page holds.
 * @param where further conditions, as SQL over `values`
 * @throws 400 INVALID_FILTER, INVALID_CURSOR
 */
export function pageStatement(
  listing: Listing,
  params: ListParams,
  where: (values: Values) => string[] = () => [],
): Statement {
  const values = new Values();
  const conditions = [...where(values), ...matchConditions(listing, params, values)];
  const descending = params.sort.startsWith("-");
  const sortField = params.sort.replace("-", "");
  const isNullable = listing.nullable?.includes(sortField) ?? false;
  const sort = columnOf(sortField);
  if (params.cursor !== undefined)
    conditions.push(afterCursor(decodeCursor(params.cursor, params.sort), sort, descending, listing, values));
  const direction = descending ? "DESC" : "ASC";
  const shown = (params.fields ?? Object.keys(listing.fields)).map((field) =>
    listing.fields[field] === "jsonText" ? `${columnOf(field)}::text` : columnOf(field),
  );
  const columns = new Set(["id", sort, ...shown]);
  // the limit is a literal: as a parameter it makes PostgreSQL plan the page anew each time
  return named({
    text: `SELECT ${[...columns].join(", ")} FROM ${listing.table}
      WHERE ${conditions.join(" AND ") || "true"}
      ORDER BY ${sort} ${direction}${isNullable ? " NULLS LAST" : ""}, id ${direction} LIMIT ${params.limit + 1}`,
    values: values.list,
  });
}

/** The statement that counts what a list would hold in all. */
export function countStatement(
  listing: Listing,
  params: ListParams,
  where: (values: Values) => string[] = () => [],
): Statement {
  const values = new Values();
  const conditions = [...where(values), ...matchConditions(listing, params, values)];
  return named({
    text: `SELECT count(*)::int AS total FROM ${listing.table} WHERE ${conditions.join(" AND ") || "true"}`,
    values: values.list,
  });
}

/** The page of a list from its rows, which hold one more than the page if there is a next. */
export function toPage<Row extends { id: string }, Item>(
  rows: Row[],
  params: ListParams,
  view: (row: Row) => Item,
  total?: number,
) {
  const hasMore = rows.length > params.limit;
  if (hasMore) rows.pop();
  const last = rows.at(-1);
  const sortField = params.sort.replace("-", "");
  const nextCursor =
    hasMore && last
      ? encodeCursor(params.sort, (last as Record<string, unknown>)[columnOf(sortField)], last.id)
      : null;
  return { data: rows.map(view), page: { nextCursor, hasMore, ...(total === undefined ? {} : { total }) } };
}

/** Only the fields asked for, and always the id. */
export function pickFields<T extends { id: string }>(item: T, fields: string[] | undefined): T {
  if (fields === undefined) return item;
  const picked: Record<string, unknown> = { id: item.id };
  for (const field of fields) picked[field] = (item as Record<string, unknown>)[field];
  return picked as T;
}

function matchConditions(listing: Listing, params: ListParams, values: Values): string[] {
  const conditions = filtersOf(params).map((filter) => condition(listing, filter, values));
  if (params.q !== undefined && listing.searchColumn)
    conditions.push(`${listing.searchColumn} @@ ${prefixQuery(params.q, values)}`);
  return conditions;
}

function filtersOf(params: ListParams): Filter[] {
  return Object.entries(params.filter ?? {}).flatMap(([field, test]) =>
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

function fitValue(field: string, type: ColumnType, value: unknown): unknown {
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
    case "timestamp":
      if (!/^\d{4}-\d{2}-\d{2}/.test(text) || Number.isNaN(Date.parse(text)))
        throw invalidFilter(field, "must be a time in ISO 8601");
      return new Date(text).toISOString();
    case "boolean":
      if (text !== "true" && text !== "false") throw invalidFilter(field, "must be true or false");
      return text === "true";
    default:
      return text;
  }
}

interface Cursor {
  value: string | number | null;
  id: string;
}

const encodeCursor = (sort: string, value: unknown, id: string): string =>
  Buffer.from(JSON.stringify([sort, value, id])).toString("base64url");

function decodeCursor(cursor: string, sort: string): Cursor {
  const invalidCursor = badRequest("INVALID_CURSOR", "The cursor is not one of this list in this order.");
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
  } catch {
    throw invalidCursor;
  }
  if (!Array.isArray(parsed) || parsed.length !== 3) throw invalidCursor;
  const [forSort, value, id] = parsed as unknown[];
  if (forSort !== sort || typeof id !== "string" || !isUuid(id)) throw invalidCursor;
  if (value !== null && typeof value !== "string" && typeof value !== "number") throw invalidCursor;
  return { value, id };
}

function afterCursor(
  { value, id }: Cursor,
  sort: string,
  descending: boolean,
  listing: Listing,
  values: Values,
): string {
  const beyond = descending ? "<" : ">";
  const idPlace = values.add(id);
  const idTest = `id ${beyond} ${idPlace}`;
  if (value === null) return `(${sort} IS NULL AND ${idTest})`;
  const field = Object.keys(listing.fields).find((name) => columnOf(name) === sort) as string;
  let fitted: unknown;
  try {
    fitted = fitValue(field, listing.fields[field] as ColumnType, value);
  } catch {
    throw badRequest("INVALID_CURSOR", "The cursor is not one of this list in this order.");
  }
  const place = values.add(fitted);
  if (!listing.nullable?.includes(field)) return `(${sort}, id) ${beyond} (${place}, ${idPlace})`;
  return `(${sort} ${beyond} ${place} OR (${sort} = ${place} AND ${idTest}) OR ${sort} IS NULL)`;
}

const maxNamed = 100;
const names = new Map<string, string>();
/** Makes a repeating text a prepared statement; after the first 100 texts of a process the rest stay unnamed. */
function named(statement: Statement): Statement {
  let name = names.get(statement.text);
  if (name === undefined) {
    if (names.size >= maxNamed) return statement;
    name = `list_${createHash("sha1").update(statement.text).digest("hex").slice(0, 20)}`;
    names.set(statement.text, name);
  }
  return { ...statement, name };
}
