import { badQuery } from "../../contract/errors.ts";
import { short } from "../../contract/field-errors.ts";
import { invalidCursor } from "./cursor.ts";
import { prefix, type Listing, type Values } from "./listing.ts";

/** Where a page goes on. */
export interface Place {
  value: string | number | null;
  id: string;
}

export interface Order {
  column: string;
  /** Of an indexed custom field: as SQL, its rows of custom_field_index, and the column. */
  index?: { rows: string; column: string; type: string; table: string };
  direction: "ASC" | "DESC";
  /** Whether rows may have no value; they come last. */
  isNullable: boolean;
  /** As SQL. */
  by: string;
  /** As SQL, what comes after the cursor: of rows with a value, and of those without one. */
  after: { valued: string[] | undefined; empty: string[] };
}

/** A limit, as SQL where it is no number. */
export type Most = number | string;

/** The column of what rows are sorted by, where that is no column of theirs. */
export const sortedBy = "sorted_by";

/** The order of a custom field whose values are in custom_field_index. @throws 400 where they are not */
export function indexedOrderOf(
  listing: Listing,
  { field, direction, after }: { field: string; direction: "ASC" | "DESC"; after: Place | undefined },
  values: Values,
): Order {
  const { customFields, table } = listing;
  const key = field.slice(prefix.length);
  const index = typeof customFields === "object" ? customFields.get(key)?.index : undefined;
  if (index === undefined)
    throw badQuery([
      {
        path: "sort",
        code: "not_indexed",
        message: `cannot be by ${field}: only by custom fields with isIndexed, once all values are in the index`,
        ...short([
          ...listing.sortable,
          ...(typeof customFields === "object"
            ? [...customFields].flatMap(([one, has]) => (has.index ? [prefix + one] : []))
            : []),
        ]),
      },
    ]);
  const type = index.column === "number" ? "double precision" : "text";
  const order = {
    ...{ column: sortedBy, direction, isNullable: true },
    by: `${sortedBy} ${direction} NULLS LAST, id ${direction}`,
    index: {
      ...{ column: index.column, type, table },
      rows: `kind = ${values.add(index.kind)} AND key = ${values.add(key)}`,
    },
  };
  if (after === undefined) return { ...order, after: { valued: [], empty: [] } };
  const { value, id } = after;
  const beyond = direction === "DESC" ? "<" : ">";
  if (value === null)
    return { ...order, after: { valued: undefined, empty: [`id ${beyond} ${values.add(id)}`] } };
  if (typeof value !== (index.column === "number" ? "number" : "string")) throw invalidCursor();
  const place = `(${values.add(value)}::${type}, ${values.add(id)}::uuid)`;
  return { ...order, after: { valued: [`(${index.column}, record_id) ${beyond} ${place}`], empty: [] } };
}

/**
 * As `inOrder`, by custom_field_index: each row is looked up as the index names it, until there are enough. Records without a value
 * are looked for where those with one do not fill the page.
 */
export function inIndexedOrder(
  columns: string,
  from: string,
  conditions: readonly string[],
  { direction, by, after, index }: Order,
  limit: Most,
): string {
  const { rows, column, type, table } = index as NonNullable<Order["index"]>;
  const asked = (more: readonly string[]) => [...conditions, ...more].join(" AND ") || "true";
  const isWhole = columns === "*";
  const valued = `SELECT ${isWhole ? `${table}.*, ${sortedBy}` : columns} FROM (SELECT record_id, ${column} AS ${sortedBy} FROM custom_field_index
      WHERE ${[rows, `${column} IS NOT NULL`, ...(after.valued ?? [])].join(" AND ")}
      ORDER BY ${column} ${direction}, record_id ${direction}) AS indexed
    CROSS JOIN LATERAL (SELECT * FROM ${from} WHERE id = indexed.record_id AND ${asked([])} OFFSET 0) AS ${table}
    ORDER BY ${sortedBy} ${direction}, record_id ${direction} LIMIT ${limit}`;
  const empty = (
    more: readonly string[],
  ) => `SELECT ${columns} FROM (SELECT *, NULL::${type} AS ${sortedBy} FROM ${from}) AS ${table}
    WHERE ${asked([...after.empty, ...more])}
      AND NOT EXISTS (SELECT FROM custom_field_index WHERE ${rows} AND record_id = ${table}.id)
    ORDER BY id ${direction} LIMIT ${limit}`;
  if (after.valued === undefined) return empty([]);
  return `SELECT * FROM (WITH valued AS MATERIALIZED (${valued})
    (SELECT * FROM valued) UNION ALL (${empty([`(SELECT count(*) FROM valued) < ${limit}`])})) AS ordered ORDER BY ${by} LIMIT ${limit}`;
}
