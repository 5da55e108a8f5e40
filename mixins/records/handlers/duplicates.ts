import { parseTime } from "../../contract/schemas.ts";
import { isUuid, pageBytes } from "../../database/statement.ts";
import { decodeCursor, encodeCursor, invalidCursor } from "../cursor.ts";
import type { Counter, RecordContext } from "../desk.ts";
import type { AnyRow } from "../kind.ts";
import { columnOf, Values } from "../listing.ts";
import { visibleTo } from "./crud.ts";

/** Records that may be the same as another. */
export function duplicateHandlers<R extends AnyRow>(counter: Counter<R, never>) {
  const { kind, store } = counter;
  const keys = Object.entries(kind.fields).flatMap(([key, { matches }]) => (matches ? [key] : []));
  return {
    async duplicates(ctx: RecordContext<{ id: string; limit: number; cursor?: string | undefined }>) {
      const { actor, tx } = ctx.locals;
      const { id, limit, cursor } = ctx.params;
      const bound = ["duplicates", kind.name, id];
      const after = cursor === undefined ? undefined : placeOf(cursor, bound);
      const record = await store.get(tx, actor, id);
      const known = keys.filter((key) => record[columnOf(key)] !== null);
      if (known.length === 0) return { data: [], page: { nextCursor: null, hasMore: false } };
      const values = new Values();
      const sameAs = known.map(
        (key) =>
          `SELECT id FROM ${kind.plural} WHERE ${columnOf(key)} = ${values.add(record[columnOf(key)])}`,
      );
      const conditions = [
        `id IN (${sameAs.join(" UNION ")})`,
        `id <> ${values.add(id)}`,
        ...visibleTo(counter, actor)(values),
        ...(after ? [`(created_at, id) > (${values.add(after.createdAt)}, ${values.add(after.id)})`] : []),
      ];
      const { rows, isCut } = await tx.queryWithin<R>({
        text: `SELECT ${kind.columns.join(", ")} FROM ${kind.plural} WHERE ${conditions.join(" AND ")}
          ORDER BY created_at, id LIMIT ${limit + 1}`,
        values: values.list,
        mostBytes: pageBytes,
      });
      const hasMore = rows.length > limit || isCut;
      const page = rows.slice(0, limit);
      const last = page.at(-1);
      return {
        data: page.map((row) => ({
          record: kind.show(row),
          matchedBy: known.filter((key) => row[columnOf(key)] === record[columnOf(key)]),
        })),
        page: {
          nextCursor: hasMore && last ? encodeCursor(bound, [last.created_at, last.id]) : null,
          hasMore,
        },
      };
    },
  };
}

function placeOf(cursor: string, bound: unknown): { createdAt: string; id: string } {
  const [createdAt, id] = decodeCursor(bound, cursor, 2).map(String) as [string, string];
  if (parseTime(createdAt) === undefined || !isUuid(id)) throw invalidCursor();
  return { createdAt, id };
}
