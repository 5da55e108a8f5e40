import type { Counter, RecordContext } from "../desk.ts";
import type { AnyRow } from "../kind.ts";
import type { PageOfOne } from "../record-events.ts";
import { pageOfTwins } from "../twins.ts";
import { visibleTo } from "./crud.ts";

/** Records that may be the same as another. */
export function duplicateHandlers<R extends AnyRow>(counter: Counter<R, never>) {
  const { kind, store } = counter;
  const keys = Object.entries(kind.fields).flatMap(([key, { matches }]) => (matches ? [key] : []));
  return {
    async duplicates(ctx: RecordContext<PageOfOne>) {
      const { principal, tx } = ctx.locals;
      const record = await store.get(tx, principal, ctx.params.id);
      const where = visibleTo(counter, principal);
      const of = { table: kind.plural, columns: kind.columns, keys, where };
      const { rows, page } = await pageOfTwins(tx, record, of, ctx.params);
      return { data: rows.map(({ row, matchedBy }) => ({ record: kind.show(row), matchedBy })), page };
    },
  };
}
