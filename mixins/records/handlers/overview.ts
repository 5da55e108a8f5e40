import { CallFields } from "../custom/of-call.ts";
import { readSection, sectionsOf } from "../finding/overview.ts";
import type { AnyRow } from "../kind/kind.ts";
import type { Counter, RecordContext } from "../writing/desk.ts";
import { fieldsOf } from "./crud.ts";

/** A record and what belongs to it. */
export function overviewHandlers<R extends AnyRow, P>(counter: Counter<R, P>) {
  const { kind, store, desk } = counter;
  return {
    /** One statement for the record, and one a section. */
    async overview(ctx: RecordContext<{ id: string }>) {
      const { principal, tx } = ctx.locals;
      const own = await fieldsOf(counter, ctx);
      const sections = await Promise.all(
        sectionsOf(kind, principal).map(async (section) => ({
          section,
          fields: await CallFields.of(ctx, desk, section.kind),
        })),
      );
      const row = await store.get(tx, principal, ctx.params.id);
      const read = await Promise.all(
        sections.map(async ({ section, fields }) => ({
          name: section.name,
          ...(await readSection({ tx, principal }, section, { of: kind, row, fields })),
        })),
      );
      return {
        [kind.name]: await own.showOne(tx, kind.show(row) as { id: string }),
        ...Object.fromEntries(read.map(({ name, shown }) => [name, shown])),
        hasMore: read.flatMap(({ name, hasMore }) => (hasMore ? [name] : [])),
      };
    },
  };
}
