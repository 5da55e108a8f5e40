import type { Counter, RecordContext } from "../writing/desk.ts";
import type { AnyRow } from "../kind/kind.ts";
import type { PageOfOne } from "../writing/record-events.ts";
import { pageOfTwins } from "../merging/twins.ts";
import { fieldsOf, visibleTo } from "./crud.ts";

/** Records that may be the same as another. */
export function duplicateHandlers<R extends AnyRow>(counter: Counter<R, never>) {
  const { kind, store } = counter;
  return {
    async duplicates(ctx: RecordContext<PageOfOne>) {
      const { principal, tx } = ctx.locals;
      const fields = await fieldsOf(counter, ctx);
      const record = await store.get(tx, principal, ctx.params.id);
      const where = visibleTo(counter, principal);
      const { rows, page } = await pageOfTwins(tx, kind, record, where, ctx.params);
      const shown = await fields.show(
        tx,
        rows.map(({ row }) => kind.show(row) as { id: string }),
      );
      return { data: rows.map(({ row: _row, ...why }, index) => ({ record: shown[index], ...why })), page };
    },
  };
}
