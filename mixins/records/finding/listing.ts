import { z } from "zod";
import { badQuery, type FieldError } from "../../contract/errors.ts";
import { short } from "../../contract/field-errors.ts";
import { id, wholeNumber } from "../../contract/schemas.ts";
import { eachTest, type Condition, type Operator, type Test } from "../conditions/condition.ts";
import { undeclared, type FieldType, type Queryable, type QueryField } from "../conditions/fields.ts";
import { fitCondition, fitTest, type FittedCondition } from "../conditions/fit.ts";
import { problemErrors, whereParam } from "../conditions/schema.ts";
import { sqlOfCondition } from "../conditions/sql.ts";
import { Values } from "../conditions/values.ts";
import { findCall, type Finding } from "./finding.ts";

export { Values };
export type { Operator };
export type ColumnType = Exclude<FieldType, "undeclared">;
/** What conditions know of custom fields, by key. */
export type CustomFields = ReadonlyMap<string, QueryField>;

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
  /** Fields whose given values become what would be stored before they are looked for: an email's case, a phone's form. */
  stored?: Record<string, Pick<QueryField, "normalise" | "example">>;
  /** Fields that no column holds, each with SQL of its own: `identities.value`. */
  ownSql?: Readonly<Record<string, QueryField>>;
  /** Sortable fields that may be null; of the others the order is one that an index has. */
  nullable?: readonly string[];
  /** How `q`, `like`, tags, custom fields and texts without an index of their own are found. Without it, `q` finds all. */
  finding?: Finding;
  /**
   * Whether a jsonb column custom_fields has keys that may be asked for as `customFields.<key>`; where the organization's
   * definitions are known, those. Keys that are not defined are `undeclared`.
   */
  customFields?: boolean | CustomFields;
}

type Scalar = string | number | boolean;
/** `filter[field]=value`, or `filter[field][op]=value` of one or several operators. */
export type FilterTest = Scalar | Partial<Record<Operator, Scalar | Scalar[]>>;

/** Longer than any cursor of ours: the longest sortable text is 300 characters. */
const maxCursorLength = 4_096;

/** The parameters of a list: `?limit&cursor&sort&filter[field][op]&where&q&fields&count`. */
export function listParams(listing: Listing) {
  return z.strictObject({
    ...pageParams,
    sort: sortParam(listing).default(listing.defaultSort),
    filter: z
      .unknown()
      .transform((given, issues) => readFilter(listing, given, issues))
      .meta(filterSchema(listing))
      .optional(),
    where: whereParam(queryableOf(listing)).optional(),
    // no text holds a NUL: it parts words as a blank does; U+0001 and U+0002 say how find_query looks
    q: z
      .string()
      .trim()
      .min(1)
      .max(200)
      .transform((q) => q.replace(/[\0\u0001\u0002]/g, " "))
      .optional(),
    fields: fieldsParam(listing),
    count: z
      .union([
        z.boolean(),
        z.literal("exact"),
        z.enum(["true", "false"]).transform((flag) => flag === "true"),
      ])
      .default(false),
  });
}
export type ListParams = z.output<ReturnType<typeof listParams>>;

/** An order of a list; of custom fields too where it has some. */
function sortParam({ sortable, customFields }: Listing) {
  const ways = sortable.flatMap((field) => [field, `-${field}`]);
  const own = z.enum(ways);
  if (customFields === undefined || customFields === false) return own.transform((sort): string => sort);
  return z
    .string()
    .transform((given, issues) => {
      if (customField.test(given.replace(/^-/, ""))) return given;
      const read = own.safeParse(given);
      if (read.success) return read.data;
      for (const issue of read.error.issues) issues.addIssue({ ...issue });
      return z.NEVER;
    })
    .meta({ anyOf: [{ enum: ways }, { pattern: "^-?customFields\\.[A-Za-z0-9_ -]{1,64}$" }] });
}

/** Where a page begins: `nextCursor` of the page before. */
const cursorParam = z.string().max(maxCursorLength).optional();
/** `limit` and `cursor`, of a list that knows neither sort nor filter. */
export const pageParams = { limit: wholeNumber(1, 200).default(50), cursor: cursorParam };
/** One record by its id, or some fields of it. */
export const byIdOf = (listing: Pick<Listing, "fields">) =>
  z.strictObject({ id, fields: fieldsParam(listing) });
/** Which fields are answered, besides the id: `fields=id,email`; default all. */
export const fieldsParam = (listing: Pick<Listing, "fields">) =>
  z
    .union([z.string().transform((list) => list.split(",")), z.array(z.string())])
    .pipe(z.array(z.enum(Object.keys(listing.fields))).min(1))
    .optional();

/** Before the key of a custom field in a path. */
export const prefix = "customFields.";
const customField = /^customFields\.[\w -]{1,64}$/;

/** What conditions may ask of the rows of a list. */
export function queryableOf(listing: Listing): Queryable {
  let queryable = queryables.get(listing);
  if (queryable === undefined) {
    queryable = makeQueryable(listing);
    queryables.set(listing, queryable);
  }
  return queryable;
}
const queryables = new WeakMap<Listing, Queryable>();

/** Every list knows its records by their ids. */
const filterableOf = ({ filterable, fields }: Pick<Listing, "filterable" | "fields">): readonly string[] =>
  "id" in fields && !filterable.includes("id") ? [...filterable, "id"] : filterable;

function makeQueryable(listing: Listing): Queryable {
  const { fields, values, stored, ownSql = {}, customFields = false } = listing;
  const filterable = filterableOf(listing);
  const columns = new Map([
    ...filterable.map((name): [string, QueryField] => [
      name,
      {
        type: fields[name] as ColumnType,
        ...(values?.[name] ? { values: values[name] } : {}),
        ...stored?.[name],
      },
    ]),
    ...Object.entries(ownSql),
  ]);
  const keys = typeof customFields === "object" ? [...customFields.keys()] : ["<key>"];
  return {
    names: [...columns.keys(), ...(customFields === false ? [] : keys.map((key) => prefix + key))],
    fieldOf(path) {
      if (customFields === false || !customField.test(path)) return columns.get(path);
      const key = path.slice(prefix.length);
      return (typeof customFields === "object" ? customFields.get(key) : undefined) ?? undeclared;
    },
    sqlOf(path, sqlValues, as) {
      if (!path.startsWith(prefix)) return columnOf(path);
      return `custom_fields ${as === "text" ? "->>" : "->"} ${sqlValues.add(path.slice(prefix.length))}`;
    },
  };
}

/** Checks a filter whole, so that everything wrong with it is said at once. */
function readFilter(
  listing: Listing,
  given: unknown,
  issues: z.RefinementCtx,
): Record<string, FilterTest> | undefined {
  if (given === undefined) return undefined;
  const refuse = (code: string, path: string[], message: string, allowed: readonly string[] = []) =>
    issues.addIssue({ code: "custom", path, message, params: { code, ...short(allowed) } });
  if (!isTree(given)) {
    refuse("invalid_type", [], "Write filter[field]=value or filter[field][op]=value.");
    return z.NEVER;
  }
  const filter = given as Record<string, FilterTest>;
  const { problems } = fitFilter(queryableOf(listing), filter, "UTC");
  for (const { path, code, message, allowed } of problems) refuse(code, path, message, allowed);
  return problems.length > 0 ? z.NEVER : filter;
}

type FilterProblem = Omit<FieldError, "path"> & { path: string[] };

/** The tests of a filter, which all must hold, and what is wrong with it. */
function fitFilter(queryable: Queryable, filter: Record<string, FilterTest>, timeZone: string) {
  const tests: FittedCondition[] = [];
  const problems: FilterProblem[] = [];
  for (const [field, given] of Object.entries(filter))
    for (const [op, value] of isTree(given) ? Object.entries(given) : [["eq", given] as const]) {
      const isList = op === "in" || op === "nin";
      const test = { field, op, value: isList ? asList(value) : value } as Test;
      const fitted = fitTest(queryable, test, { timeZone });
      if (!("reason" in fitted)) {
        tests.push({ test: fitted });
        continue;
      }
      const { at, code, reason, allowed = [] } = fitted;
      const isUnknown = at === "field";
      problems.push({
        path: isTree(given) && !isUnknown ? [field, op] : [field],
        code: isUnknown ? "unknown_filter" : code,
        message: isUnknown ? `cannot be filtered by ${field}` : reason,
        ...short(allowed),
      });
      if (isUnknown) break;
    }
  return { tests, problems };
}

const isTree = (test: unknown): test is Record<string, unknown> =>
  typeof test === "object" && test !== null && !Array.isArray(test);

/** A filter for the API docs. */
function filterSchema(listing: Listing) {
  const any = { anyOf: [{ type: "string" }, { type: "object", additionalProperties: { type: "string" } }] };
  return {
    type: "object" as const,
    properties: Object.fromEntries(
      [...filterableOf(listing), ...Object.keys(listing.ownSql ?? {})].map((field) => [field, any]),
    ),
    additionalProperties: listing.customFields ? any : false,
  };
}

/** Columns of fields whose names SQL keeps for itself. */
const reserved: Readonly<Record<string, string>> = { where: "condition", window: "window_" };
/** `createdAt` → `created_at`. */
export function columnOf(field: string): string {
  let column = columns.get(field) ?? reserved[field];
  if (column === undefined) {
    column = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    columns.set(field, column);
  }
  return column;
}
/** By field; every list needs all of its own. */
const columns = new Map<string, string>();

/** What chooses the rows of a list, besides who looks. */
export type Asked = Pick<ListParams, "filter" | "where" | "q"> & {
  /** Of a view, which must hold too. */
  kept?: Condition;
  /** How `q` is looked for; default by all that begins so. */
  way?: Way | undefined;
};

/** In which way `q` finds a row: its words are whole, or begin so without being whole, or one of them has a wrong letter. A row has one. */
export type Way = "whole" | "begun" | "near";
/** As find_query has it. */
const markOf = { whole: "\u0001", begun: "\u0002" };
/** Rows with a wrong letter that a list shows at most. */
const mostNear = 200;

/** Calls `visit` with the path of every field that a filter or a condition asks for. */
export function eachField(
  { filter = {}, where }: Pick<Asked, "filter" | "where">,
  visit: (path: string) => void,
): void {
  for (const path of Object.keys(filter)) visit(path);
  if (where) eachTest(where, ({ field }) => visit(field));
}

/** What the parameters of a list ask of its rows, as SQL. */
export interface Matching {
  /** All must hold. */
  conditions: string[];
  /** Of `q`: asks `foundWords` of the row. */
  search: string | undefined;
  /** Calls what answers the ids of the only rows that can match, up to `most` and one more; see finding.ts. Once a statement. */
  find: ((most: number) => string) | undefined;
}
/** The column of a row's words, where `q` is given. */
export const foundWords = "found_words";

/**
 * What the parameters of a list ask of its rows, as SQL over `values`.
 * @param timeZone of times without a zone
 * @throws 400 INVALID_FILTER
 */
export function matchConditions(
  listing: Listing,
  { filter = {}, where, q, kept, way }: Asked,
  values: Values,
  timeZone = "UTC",
): Matching {
  const queryable = queryableOf(listing);
  const { tests, problems } = fitFilter(queryable, filter, timeZone);
  const errors = problems.map((problem) => ({ ...problem, path: ["filter", ...problem.path].join(".") }));
  if (where) {
    const tree = fitCondition(queryable, where, { timeZone });
    tests.push(tree.fitted);
    errors.push(...problemErrors(tree.problems, ["where"]));
  }
  // whoever found the view has seen that it fits
  if (kept) tests.push(fitCondition(queryable, kept, { timeZone }).fitted);
  if (errors.length > 0) throw badQuery(errors);
  const conditions = tests.map((test) => sqlOfCondition(test, queryable, values));
  if (listing.finding === undefined || q === undefined)
    return { conditions, search: undefined, find: findCall(listing, tests, undefined, values) };
  if (way === "near") {
    const near = `id = ANY ((SELECT find_near_${listing.table}(${values.add(q)}, ${mostNear}))::uuid[])`;
    return { conditions: [near, ...conditions], search: undefined, find: undefined };
  }
  const asked = values.add((way === undefined ? "" : markOf[way]) + q);
  return {
    conditions,
    // once, not for each row
    search: `${foundWords} @@ (SELECT find_query(${asked}))`,
    find: findCall(listing, tests, asked, values),
  };
}

const all = 2_000_000_000;
/** Conditions of all rows that match, for a statement that has no page to fill: they are found first, and none walked over. */
export const allMatching = ({ conditions, find }: Pick<Matching, "conditions" | "find">): string[] => [
  ...(find === undefined ? [] : [`id = ANY ((SELECT ${find(all)})::uuid[])`]),
  ...conditions,
];

/** The values of a list: split at commas, where `\,` is one. */
export function asList(value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  if (typeof value !== "string") return [value];
  return value.split(/(?<!\\),/).map((one) => one.replaceAll("\\,", ","));
}
