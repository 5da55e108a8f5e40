import { createHash } from "node:crypto";
import { isUuid, pageBytes, type BoundedRows, type Statement } from "../database/statement.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";
import { decodeCursor, encodeCursor, invalidCursor } from "./cursor.ts";
import {
  columnOf,
  fitOne,
  matchConditions,
  Values,
  type ColumnType,
  type Listing,
  type ListParams,
} from "./listing.ts";

/** Lists that always show all fields have no `fields`. */
type PageParams = Omit<ListParams, "fields">
  & Pick<Partial<ListParams>, "fields"> & {
    /** What the caller asked for, where `filter` and `q` do not say all of it: a cursor holds for nothing else. */
    asked?: unknown;
  };
/** Conditions of a list beside its parameters, as SQL over `values`. */
type Where = (values: Values) => string[];
const everything: Where = () => [];

/**
 * A page of a list and, where it is asked for, how many rows there are in all.
 * @throws 400 INVALID_FILTER, INVALID_CURSOR
 */
export async function readPage<Row extends { id: string }, Item extends { id: string }>(
  tx: Pick<UnitOfWork, "query" | "queryWithin">,
  listing: Listing,
  params: PageParams,
  view: (row: Row) => Item,
  where?: Where,
) {
  const [page, counts] = await Promise.all([
    tx.queryWithin<Row>(pageStatement(listing, params, where)),
    params.count ? tx.query<{ total: number }>(countStatement(listing, params, where)) : undefined,
  ]);
  return toPage(page, listing, params, view, counts?.[0]?.total);
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
  const conditions = [...where(values), ...matchConditions(listing, params, values)];
  const descending = params.sort.startsWith("-");
  const sortField = params.sort.replace("-", "");
  const isNullable = listing.nullable?.includes(sortField) ?? false;
  const sort = columnOf(sortField);
  if (params.cursor !== undefined)
    conditions.push(
      afterCursor(placeOf(params.cursor, boundTo(listing, params)), sort, descending, listing, values),
    );
  const direction = descending ? "DESC" : "ASC";
  const shown = new Set(["id", sort]);
  for (const field of params.fields ?? Object.keys(listing.fields))
    for (const column of listing.columns?.[field] ?? [columnOf(field)])
      shown.add(listing.fields[field] === "jsonText" ? `${column}::text` : column);
  // the limit is a literal: as a parameter it makes PostgreSQL plan the page anew each time
  const statement = named({
    text: `SELECT ${[...shown].join(", ")} FROM ${listing.table}
      WHERE ${conditions.join(" AND ") || "true"}
      ORDER BY ${sort} ${direction}${isNullable ? " NULLS LAST" : ""}, id ${direction} LIMIT ${params.limit + 1}`,
    values: values.list,
  });
  return { ...statement, mostBytes: pageBytes };
}

/** The statement that counts what a list would hold in all. */
function countStatement(listing: Listing, params: PageParams, where = everything): Statement {
  const values = new Values();
  const conditions = [...where(values), ...matchConditions(listing, params, values)];
  return named({
    text: `SELECT count(*)::int AS total FROM ${listing.table} WHERE ${conditions.join(" AND ") || "true"}`,
    values: values.list,
  });
}

/** The page of a list from its rows, which hold one more than the page, or were cut, if there is a next. */
export function toPage<Row extends { id: string }, Item extends { id: string }>(
  { rows, isCut }: Pick<BoundedRows<Row>, "rows" | "isCut">,
  listing: Pick<Listing, "table">,
  params: PageParams,
  view: (row: Row) => Item,
  total?: number,
) {
  const isOver = rows.length > params.limit;
  if (isOver) rows.pop();
  const hasMore = isOver || isCut;
  const last = rows.at(-1);
  const sortField = params.sort.replace("-", "");
  const nextCursor =
    hasMore && last
      ? encodeCursor(boundTo(listing, params), [
          (last as Record<string, unknown>)[columnOf(sortField)] as string | number | null,
          last.id,
        ])
      : null;
  // views are functions that stay: V8 drops the code of closures made for one request, and compiles it again and again
  const data = pickFields(rows.map(view), params.fields);
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
function pickFields<T extends { id: string }>(items: T[], fields: readonly string[] | undefined): T[] {
  if (fields === undefined) return items;
  return items.map((item) => {
    const picked: Record<string, unknown> = { id: item.id };
    for (const field of fields) picked[field] = (item as Record<string, unknown>)[field];
    return picked as T;
  });
}

interface Cursor {
  value: string | number | null;
  id: string;
}

/** A cursor goes on in the list, the order and the filter it was made for. */
const boundTo = ({ table }: Pick<Listing, "table">, { sort, filter, q, asked }: PageParams): unknown =>
  asked === undefined ? [table, sort, filter ?? {}, q ?? null] : [table, sort, asked];

function placeOf(cursor: string, bound: unknown): Cursor {
  const [value, id] = decodeCursor(bound, cursor, 2);
  if (typeof id !== "string" || !isUuid(id)) throw invalidCursor();
  return { value: value ?? null, id };
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
  const fitted = fitOne(listing.fields[field] as ColumnType, value);
  if ("code" in fitted) throw invalidCursor();
  const place = values.add(fitted.value);
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
