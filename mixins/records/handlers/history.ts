import { isDeepStrictEqual } from "node:util";
import { conflict } from "../../contract/errors.ts";
import type { Counter, RecordContext } from "../writing/desk.ts";
import type { AnyRow } from "../kind/kind.ts";
import { historyItem, pageOfEvents, recordAt, type PageOfOne } from "../writing/record-events.ts";
import { CallFields } from "../custom/of-call.ts";
import { namingKinds, timelinePage } from "../finding/timeline.ts";
import { changeByInput, fieldsOf } from "./crud.ts";

const versionGone = () =>
  conflict(
    "VERSION_NOT_KEPT",
    "What the record was at that version is not kept: there was no such version, its time is over, or it was erased.",
  );

/** What happened to a record, who changed what, and the way back. */
export function historyHandlers<R extends AnyRow, P>(counter: Counter<R, P>) {
  const { kind, store } = counter;
  return {
    /** One statement a part. */
    async timeline(ctx: RecordContext<PageOfOne>) {
      const { principal, tx } = ctx.locals;
      const { id } = ctx.params;
      const naming = await Promise.all(
        namingKinds(kind, principal).map(async (one) => ({
          ...one,
          fields: await CallFields.of(ctx, counter.desk, one.kind),
        })),
      );
      const [, page] = await Promise.all([
        store.get(tx, principal, id),
        timelinePage({ tx, principal, kind, id }, ctx.params, naming),
      ]);
      return page;
    },
    async history({ params, locals: { tx, principal } }: RecordContext<PageOfOne>) {
      const [, page] = await Promise.all([
        store.get(tx, principal, params.id),
        pageOfEvents(tx, kind.name, params, "history", historyItem),
      ]);
      return page;
    },
    /**
     * As it was, as a change of its own: what may not be changed any more is refused as everywhere, and what a caller never
     * sets stays.
     */
    async revert(ctx: RecordContext<{ id: string; version: number; expectedVersion?: number | undefined }>) {
      const { principal, tx } = ctx.locals;
      const { id, version, expectedVersion } = ctx.params;
      // before the transaction: whoever is named then has to be asked for
      const reader = counter.desk.database.reader(tx.organizationId);
      const [record, seen] = await Promise.all([
        recordAt(reader, kind.name, { id, version }),
        store.get(reader, principal, id),
      ]);
      if (!record) throw versionGone();
      const fields = await fieldsOf(counter, ctx);
      const then = fields.hide(inputOf(counter, fields.hide(record), fields.hide(kind.show(seen) as View)));
      return changeByInput(counter, ctx, fields, { id, expectedVersion }, then);
    },
  };
}

type View = Record<string, unknown>;
/** The input that makes a record what it was: of fields that differ; keys that it did not have then are taken away. */
function inputOf({ kind }: Pick<Counter, "kind">, record: View, view: View): View {
  return Object.fromEntries(
    Object.entries(kind.fields).flatMap(([key, { setBy, merge, notGiven }]) => {
      if (setBy !== "caller" || !(key in record) || isDeepStrictEqual(record[key], view[key])) return [];
      if (notGiven?.includes(String(record[key]))) return [];
      if (merge !== "keys") return [[key, record[key]]];
      const gone = Object.keys(view[key] as object).map((one): [string, unknown] => [one, null]);
      return [[key, { ...Object.fromEntries(gone), ...(record[key] as object) }]];
    }),
  );
}
