import { parseTime } from "../../contract/schemas.ts";
import { isUuid, pageBytes } from "../../database/statement.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import { decodeCursor, encodeCursor, invalidCursor } from "../finding/cursor.ts";
import type { AnyKind, AnyRow } from "../kind/kind.ts";
import { alikeSelects, likenessOf } from "./likeness.ts";
import { Values } from "../finding/listing.ts";
import type { PageOfOne } from "../writing/record-events.ts";

/**
 * A page of other records of a kind that have something in common with one, oldest first, and what.
 * @param where which rows the caller may be shown
 * @throws 400 INVALID_CURSOR
 */
export async function pageOfTwins<R extends AnyRow>(
  tx: Pick<UnitOfWork, "queryWithin">,
  kind: AnyKind,
  record: R,
  where: (values: Values) => string[],
  { id, limit, cursor }: PageOfOne,
) {
  const bound = ["duplicates", id];
  const after = cursor === undefined ? undefined : placeOf(cursor, bound);
  const values = new Values();
  const alike = alikeSelects(kind, record, values);
  if (alike.length === 0) return { rows: [], page: { nextCursor: null, hasMore: false } };
  const conditions = [
    `id IN (${alike.join(" UNION ")})`,
    `id <> ${values.add(id)}`,
    ...where(values),
    ...(after ? [`(created_at, id) > (${values.add(after.createdAt)}, ${values.add(after.id)})`] : []),
  ];
  const { rows, isCut } = await tx.queryWithin<R>({
    text: `SELECT ${kind.columns.join(", ")} FROM ${kind.plural} WHERE ${conditions.join(" AND ")}
      ORDER BY created_at, id LIMIT ${limit + 1}`,
    values: values.list,
    mostBytes: pageBytes,
  });
  const hasMore = rows.length > limit || isCut;
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    rows: shown.map((row) => ({ row, ...likenessOf(kind, record, row) })),
    page: { nextCursor: hasMore && last ? encodeCursor(bound, [last.created_at, last.id]) : null, hasMore },
  };
}

function placeOf(cursor: string, bound: unknown): { createdAt: string; id: string } {
  const [createdAt, id] = decodeCursor(bound, cursor, 2).map(String) as [string, string];
  if (parseTime(createdAt) === undefined || !isUuid(id)) throw invalidCursor();
  return { createdAt, id };
}
