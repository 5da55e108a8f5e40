import { createHash } from "node:crypto";
import { isUuid, pageBytes, type BoundedRows, type Statement } from "../../database/statement.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import { decodeCursor, encodeCursor, invalidCursor, isCursorOf } from "./cursor.ts";
import type { Condition } from "../conditions/condition.ts";
import { isMisfit, operandOf } from "../conditions/operands.ts";
import { mostFound } from "./finding.ts";
import {
  indexedOrderOf,
  inIndexedOrder,
  sortedBy,
  type Most,
  type Order,
  type Place,
} from "./indexed-order.ts";
import {
  allMatching,
  columnOf,
  foundWords,
  matchConditions,
  prefix,
  Values,
  type ColumnType,
  type Listing,
  type ListParams,
  type Way,
} from "./listing.ts";

/** Lists that always show all fields have no `fields`. */
type PageParams = Omit<ListParams, "fields">
  & Pick<Partial<ListParams>, "fields"> & {
    /** What the caller asked for, where `filter`, `where` and `q` do not say all of it: a cursor holds for nothing else. */
    asked?: unknown;
    /** Of times without a zone; default UTC. */
    timeZone?: string | undefined;
    /** Of a view, see Asked. */
    kept?: Condition;
    way?: Way | undefined;
    /** Whether `q` decides the order, and `sort` that of what it finds in one way: nobody has asked for another. */
    isRanked?: boolean;
  };
/** Conditions of a list beside its parameters, as SQL over `values`. */
type Where = (values: Values) => string[];
const everything: Where = () => [];

/**
 * A page of a list and, where it is asked for, how many rows there are in all.
 * @throws 400 INVALID_FILTER, INVALID_CURSOR
 */
export async function readPage<Row extends { id: string }, Item extends { id: string }>(
  tx: Pick<UnitOfWork, "query" | "queryWithin" | "timeZone">,
  listing: Listing,
  given: PageParams,
  view: (row: Row) => Item,
  where?: Where,
) {
  const params = { ...given, timeZone: given.timeZone ?? tx.timeZone };
  const countOf = async (way?: Way) =>
    (await tx.query<{ total: number }>(countStatement(listing, { ...params, way }, where)))[0]?.total ?? 0;
  if (params.q !== undefined && listing.finding !== undefined) {
    const found = await readFound<Row>(tx, listing, params, where);
    const total = params.count ? await countOf() : undefined;
    const near = total !== undefined && (params.isRanked || total === 0) ? await countOf("near") : 0;
    return toPage(
      found,
      listing,
      { ...params, way: found.way },
      view,
      total === undefined ? total : total + near,
    );
  }
  const [page, total] = await Promise.all([
    tx.queryWithin<Row>(pageStatement(listing, params, where)),
    params.count ? countOf() : undefined,
  ]);
  return toPage(page, listing, params, view, total);
}

/**
 * The rows of a page that `q` finds, in one way after the other until there are enough. A row is found in one way, and a cursor holds
 * for the way in which its row was. Where an order is asked for, all that begins so is in it, and what has a wrong letter is looked for
 * where there is nothing else.
 */
async function readFound<Row extends { id: string }>(
  tx: Pick<UnitOfWork, "queryWithin">,
  listing: Listing,
  params: PageParams,
  where?: Where,
) {
  const ways: (Way | undefined)[] = params.isRanked ? ["whole", "begun", "near"] : [undefined, "near"];
  const { cursor, limit } = params;
  const begin =
    cursor === undefined
      ? 0
      : ways.findIndex((way) => isCursorOf(boundTo(listing, { ...params, way }), cursor));
  if (begin === -1) throw invalidCursor();
  const found = { rows: [] as Row[], isCut: false, way: ways[begin] };
  for (const [place, way] of ways.slice(begin).entries()) {
    const rest = {
      ...params,
      way,
      limit: limit - found.rows.length,
      ...(place > 0 && { cursor: undefined }),
    };
    const { rows, isCut } = await tx.queryWithin<Row>(pageStatement(listing, rest, where));
    // of the last row that is shown
    if (rows.length > 0 && found.rows.length < limit) found.way = way;
    found.rows.push(...rows);
    found.isCut = isCut;
    const isSorted = way === undefined && (found.rows.length > 0 || cursor !== undefined);
    if (isCut || found.rows.length > limit || isSorted) break;
  }
  return found;
}

/**
 * The statement of one page, in keyset order (sort column, then id), asking one row more than the page holds. Its rows end
 * at `pageBytes`: what large records a list has decides nothing about how much memory a page takes.
 * @throws 400 INVALID_FILTER, INVALID_CURSOR
 */
export function pageStatement(
  listing: Listing,
  params: PageParams,
  where = everything,
): Statement & { mostBytes: number } {
  const values = new Values();
  const base = where(values);
  const { conditions, search, find } = matchConditions(listing, params, values, params.timeZone);
  const order = orderOf(listing, params, values);
  const shown = new Set(["id", order.column]);
  for (const field of params.fields ?? Object.keys(listing.fields))
    for (const column of listing.columns?.[field] ?? [columnOf(field)])
      shown.add(listing.fields[field] === "jsonText" ? `${column}::text` : column);
  const columns = [...shown].join(", ");
  const all = [...conditions, ...(search === undefined ? [] : [search])];
  const from = fromOf(listing, search);
  // the limit is a literal: as a parameter it makes PostgreSQL plan the page anew each time
  const limit = params.limit + 1;
  const along = (asked: string[], most: Most = limit, of = columns) =>
    order.index === undefined
      ? inOrder(of, from, asked, order, most)
      : inIndexedOrder(of, from, asked, order, most);
  if (find === undefined) return bounded({ text: along([...base, ...all]), values: values.list });
  // what is common is met soon on the way; what is rare, `find` knows; what is common and far away is met last
  const few = `(SELECT cardinality(ids) <= ${mostFound} FROM far)`;
  const many = `(SELECT cardinality(ids) > ${mostFound} FROM far)`;
  const text = `WITH near AS MATERIALIZED (
      SELECT ${columns} FROM (${along(base, search === undefined ? nearRows.tested : nearRows.searched, "*")}) AS ${listing.table}
      WHERE ${all.join(" AND ")} ORDER BY ${order.by} LIMIT ${limit}
    ), far AS MATERIALIZED (
      SELECT CASE WHEN (SELECT count(*) FROM near) < ${limit} THEN ${find(mostFound)} END AS ids
    ) SELECT * FROM (
      (SELECT * FROM near WHERE (SELECT ids IS NULL FROM far))
      UNION ALL (${along([...base, few, "id = ANY ((SELECT ids FROM far)::uuid[])", ...conditions])})
      UNION ALL (${along([...base, many, ...all])})
    ) AS found ORDER BY ${order.by} LIMIT ${limit}`;
  return bounded({ text, values: values.list });
}
const bounded = (statement: Statement) => ({ ...named(statement), mostBytes: pageBytes });

/**
 * Rows of a list that are looked at before its index is asked; making the words of a row takes 40 µs, its other tests 1 µs. As a subquery
 * they seem to be a tenth of all there are: of an organization nobody knows how many rows it has, and where they seem to be most of them,
 * all of its rows are read and sorted.
 */
const nearRows = { searched: "(SELECT 150)", tested: "(SELECT 2000)" };

/** What the rows of a list are read from; with what `q` asks of each. */
const fromOf = ({ table }: Pick<Listing, "table">, search: string | undefined): string =>
  search === undefined
    ? table
    : `(SELECT ${table}.*, ${table}_words(${table}) AS ${foundWords} FROM ${table}) AS ${table}`;

function orderOf(listing: Listing, params: PageParams, values: Values): Order {
  const direction = params.sort.startsWith("-") ? "DESC" : "ASC";
  const field = params.sort.replace(/^-/, "");
  if (field.startsWith(prefix)) {
    const after = params.cursor === undefined ? undefined : placeOf(params.cursor, boundTo(listing, params));
    return indexedOrderOf(listing, { field, direction, after }, values);
  }
  const column = columnOf(field);
  const isNullable = listing.nullable?.includes(field) ?? false;
  // Zed after de Souza: as an index has it
  const isText = listing.finding !== undefined && listing.fields[field] === "text";
  const sorted = isText ? `${column} COLLATE "und-x-icu"` : column;
  const by = `${sorted} ${direction}${isNullable ? " NULLS LAST" : ""}, id ${direction}`;
  const order = { column, direction, isNullable, by } as const;
  if (params.cursor === undefined) return { ...order, after: { valued: [], empty: [] } };
  const { value, id } = placeOf(params.cursor, boundTo(listing, params));
  const beyond = direction === "DESC" ? "<" : ">";
  if (value === null) {
    if (!isNullable) throw invalidCursor();
    return { ...order, after: { valued: undefined, empty: [`id ${beyond} ${values.add(id)}`] } };
  }
  const place = values.add(sortedValue(listing, field, value));
  const valued = [`(${sorted}, id) ${beyond} (${place}, ${values.add(id)})`];
  return { ...order, after: { valued, empty: [] } };
}

/** Rows in the order of a list. Those without a value are asked for by themselves: an index has them at one end only. */
function inOrder(
  columns: string,
  from: string,
  conditions: readonly string[],
  { column, direction, isNullable, by, after }: Order,
  limit: Most,
): string {
  const select = (more: readonly string[], sorted: string) =>
    `SELECT ${columns} FROM ${from}
      WHERE ${[...conditions, ...more].join(" AND ") || "true"}
      ORDER BY ${sorted} LIMIT ${limit}`;
  if (!isNullable) return select(after.valued ?? [], by);
  const empty = select([`${column} IS NULL`, ...after.empty], `id ${direction}`);
  if (after.valued === undefined) return empty;
  const valued = select([`${column} IS NOT NULL`, ...after.valued], by.replace(" NULLS LAST", ""));
  return `SELECT * FROM ((${valued}) UNION ALL (${empty})) AS ordered ORDER BY ${by} LIMIT ${limit}`;
}

/** Rows that a list counts one by one, unless it is to be exact. */
const mostCounted = 10_000;

/** The statement that counts what a list would hold in all; up to one more than `mostCounted` unless it is to be exact. */
function countStatement(listing: Listing, params: PageParams, where = everything): Statement {
  const values = new Values();
  const base = where(values);
  const matching = allMatching(matchConditions(listing, params, values, params.timeZone));
  const limit = params.count === "exact" ? "" : ` LIMIT ${mostCounted + 1}`;
  return named({
    text: `SELECT count(*)::int AS total FROM (SELECT FROM ${listing.table}
      WHERE ${[...base, ...matching].join(" AND ") || "true"}${limit}) AS counted`,
    values: values.list,
  });
}

/** The page of a list from its rows, which hold one more than the page, or were cut, if there is a next. */
export function toPage<Row extends { id: string }, Item extends { id: string }>(
  { rows, isCut }: Pick<BoundedRows<Row>, "rows" | "isCut">,
  listing: Pick<Listing, "table">,
  params: PageParams,
  view: (row: Row) => Item,
  counted?: number,
) {
  const isOver = rows.length > params.limit;
  if (isOver) rows.pop();
  const hasMore = isOver || isCut;
  const last = rows.at(-1);
  const sortField = params.sort.replace(/^-/, "");
  const sortColumn = sortField.startsWith(prefix) ? sortedBy : columnOf(sortField);
  const nextCursor =
    hasMore && last
      ? encodeCursor(boundTo(listing, params), [
          (last as Record<string, unknown>)[sortColumn] as string | number | null,
          last.id,
        ])
      : null;
  // views are functions that stay: V8 drops the code of closures made for one request, and compiles it again and again
  const data = pickFields(rows.map(view), params.fields);
  const total =
    counted !== undefined && counted > mostCounted && params.count !== "exact"
      ? { atLeast: mostCounted }
      : counted;
  return { data, page: { nextCursor, hasMore, ...(total === undefined ? {} : { total }) } };
}

/**
 * A page of a list that is in memory, in the order of its keys.
 * @param keyOf unlike that of any other item
 * @param bound what a cursor holds for
 * @throws 400 INVALID_CURSOR
 */
export function pageOfAll<Item>(
  all: readonly Item[],
  { limit, cursor }: Pick<PageParams, "limit" | "cursor">,
  keyOf: (item: Item) => string,
  bound: unknown,
) {
  const [after] = cursor === undefined ? [""] : decodeCursor(bound, cursor, 1);
  const keyed = all.map((item) => ({ item, key: keyOf(item) })).sort((a, b) => (a.key < b.key ? -1 : 1));
  const rest = keyed.filter(({ key }) => key > String(after));
  const page = rest.slice(0, limit);
  const hasMore = rest.length > limit;
  return {
    data: page.map(({ item }) => item),
    page: { nextCursor: hasMore ? encodeCursor(bound, [page.at(-1)?.key ?? ""]) : null, hasMore },
  };
}

/** Only the fields asked for, and always the id. */
export function pickFields<T extends { id: string }>(items: T[], fields: readonly string[] | undefined): T[] {
  if (fields === undefined) return items;
  return items.map((item) => {
    const picked: Record<string, unknown> = { id: item.id };
    for (const field of fields) picked[field] = (item as Record<string, unknown>)[field];
    return picked as T;
  });
}

/** A cursor goes on in the list, the order and the filter it was made for. */
const boundTo = (
  { table }: Pick<Listing, "table">,
  { sort, filter, where, q, kept, asked, way }: PageParams,
): unknown => [
  ...[table, sort],
  ...(asked === undefined ? [filter ?? {}, q ?? null] : [asked]),
  ...(where === undefined ? [] : [where]),
  ...(kept === undefined ? [] : [{ kept }]),
  ...(way === undefined ? [] : [{ way }]),
];

function placeOf(cursor: string, bound: unknown): Place {
  const [value, id] = decodeCursor(bound, cursor, 2);
  if (typeof id !== "string" || !isUuid(id)) throw invalidCursor();
  return { value: value ?? null, id };
}

/** The value of a cursor as its column has it. @throws 400 INVALID_CURSOR */
function sortedValue(listing: Listing, field: string, value: string | number): unknown {
  const type = listing.fields[field] as ColumnType;
  const operand = operandOf({ type }, value, { timeZone: "UTC" });
  if (isMisfit(operand)) throw invalidCursor();
  // as it came, not in NFC: it is a stored value
  return type === "text" || type === "integer" ? value : operand;
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
