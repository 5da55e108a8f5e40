import type { ParamsOut, ResultOf } from "../contract/contract.ts";
import type { importable } from "./capabilities/files.ts";
import type { bulk, bulkChangeable } from "./capabilities/many.ts";
import type { comparable, crud, historical, mergeable, restorable, upsertable } from "./capabilities.ts";
import type { RecordContext, RecordDesk, RecordRules } from "./desk.ts";
import { bulkHandlers } from "./handlers/bulk.ts";
import { crudHandlers } from "./handlers/crud.ts";
import { duplicateHandlers } from "./handlers/duplicates.ts";
import { exportHandlers } from "./handlers/export.ts";
import { importHandlers } from "./handlers/import.ts";
import { rollbackHandlers } from "./handlers/import-rollback.ts";
import { historyHandlers } from "./handlers/history.ts";
import { mergeHandlers } from "./handlers/merge.ts";
import { operationHandlers } from "./handlers/operations.ts";
import { restoreHandlers, upsertHandlers } from "./handlers/upsert.ts";
import type { AnyRow, Fields, Kind, RowOf } from "./kind.ts";
import { storeOf } from "./store.ts";

type HandlersFor<A> = {
  [K in keyof A]: (ctx: RecordContext<ParamsOut<A[K]>>) => Promise<ResultOf<A[K]>>;
};

/** The bodies of each capability of a kind, by its name in mixins/records/capabilities.ts and capabilities/. */
export interface RecordHandlers<N extends string, F extends Fields> {
  crud: HandlersFor<ReturnType<typeof crud<N, F>>>;
  bulk: HandlersFor<ReturnType<typeof bulk<N, F>>>;
  bulkChangeable: HandlersFor<ReturnType<typeof bulkChangeable<N, F>>>;
  upsertable: HandlersFor<ReturnType<typeof upsertable<N, F>>>;
  restorable: HandlersFor<ReturnType<typeof restorable<N, F>>>;
  historical: HandlersFor<ReturnType<typeof historical<N, F>>>;
  comparable: HandlersFor<ReturnType<typeof comparable<N, F>>>;
  mergeable: HandlersFor<ReturnType<typeof mergeable<N, F>>>;
  importable: HandlersFor<ReturnType<typeof importable<N, F>>>;
  exportable: { export(ctx: RecordContext): Promise<NodeJS.ReadableStream> };
}

/** What a service does with records of a kind, but for what it decides by itself. */
export function recordHandlers<const N extends string, F extends Fields, P = undefined>(
  kind: Kind<N, F>,
  desk: RecordDesk,
  rules: RecordRules<RowOf<Kind<N, F>> & AnyRow, P> = {},
): RecordHandlers<N, F> {
  const counter = { kind, desk, rules, store: storeOf(kind) } as never;
  // what a handler answers is held against the contract at run time; the types of its parameters come from there
  return {
    crud: crudHandlers(counter),
    bulk: bulkHandlers(counter),
    bulkChangeable: operationHandlers(counter),
    upsertable: upsertHandlers(counter),
    restorable: restoreHandlers(counter),
    historical: historyHandlers(counter),
    comparable: duplicateHandlers(counter),
    mergeable: mergeHandlers(counter),
    importable: { ...importHandlers(counter), ...rollbackHandlers(counter) },
    exportable: exportHandlers(counter),
  } as unknown as RecordHandlers<N, F>;
}
