import { parseTime } from "../contract/schemas.ts";
import { isUuid, pageBytes } from "../database/statement.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";
import { decodeCursor, encodeCursor, invalidCursor } from "./cursor.ts";
import { columnOf, Values } from "./listing.ts";
import type { PageOfOne } from "./record-events.ts";

interface Twin {
  id: string;
  created_at: string;
}

/**
 * A page of other records of a table that share a value with one, oldest first, and which fields they share.
 * @param of.keys the fields that are compared; one that is empty is like no other
 * @param of.where which rows the caller may be shown
 * @throws 400 INVALID_CURSOR
 */
export async function pageOfTwins<R extends Twin & Record<string, unknown>>(
  tx: Pick<UnitOfWork, "queryWithin">,
  record: R,
  of: {
    table: string;
    columns: readonly string[];
    keys: readonly string[];
    where: (values: Values) => string[];
  },
  { id, limit, cursor }: PageOfOne,
) {
  const bound = ["duplicates", id];
  const after = cursor === undefined ? undefined : placeOf(cursor, bound);
  const keys = of.keys.filter((key) => record[columnOf(key)] !== null);
  if (keys.length === 0) return { rows: [], page: { nextCursor: null, hasMore: false } };
  const values = new Values();
  // one index scan a key
  const alike = keys.map(
    (key) => `SELECT id FROM ${of.table} WHERE ${columnOf(key)} = ${values.add(record[columnOf(key)])}`,
  );
  const conditions = [
    `id IN (${alike.join(" UNION ")})`,
    `id <> ${values.add(id)}`,
    ...of.where(values),
    ...(after ? [`(created_at, id) > (${values.add(after.createdAt)}, ${values.add(after.id)})`] : []),
  ];
  const { rows, isCut } = await tx.queryWithin<R>({
    text: `SELECT ${of.columns.join(", ")} FROM ${of.table} WHERE ${conditions.join(" AND ")}
      ORDER BY created_at, id LIMIT ${limit + 1}`,
    values: values.list,
    mostBytes: pageBytes,
  });
  const hasMore = rows.length > limit || isCut;
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    rows: shown.map((row) => ({
      row,
      matchedBy: keys.filter((key) => row[columnOf(key)] === record[columnOf(key)]),
    })),
    page: { nextCursor: hasMore && last ? encodeCursor(bound, [last.created_at, last.id]) : null, hasMore },
  };
}

function placeOf(cursor: string, bound: unknown): { createdAt: string; id: string } {
  const [createdAt, id] = decodeCursor(bound, cursor, 2).map(String) as [string, string];
  if (parseTime(createdAt) === undefined || !isUuid(id)) throw invalidCursor();
  return { createdAt, id };
}
