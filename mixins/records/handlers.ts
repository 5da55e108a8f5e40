import type { ParamsOut, ResultOf } from "../contract/contract.ts";
import type { commentable } from "./capabilities/comments.ts";
import type { importable } from "./capabilities/files.ts";
import type { bulk, bulkChangeable } from "./capabilities/many.ts";
import type {
  comparable,
  crud,
  historical,
  mergeable,
  overviewed,
  restorable,
  upsertable,
} from "./capabilities.ts";
import type { RecordContext, RecordDesk, RecordRules } from "./writing/desk.ts";
import { commentHandlers } from "./handlers/comments.ts";
import { bulkHandlers } from "./handlers/bulk.ts";
import { crudHandlers } from "./handlers/crud.ts";
import { duplicateHandlers } from "./handlers/duplicates.ts";
import { exportHandlers } from "./handlers/export.ts";
import { importHandlers } from "./handlers/import.ts";
import { rollbackHandlers } from "./handlers/import-rollback.ts";
import { historyHandlers } from "./handlers/history.ts";
import { mergeHandlers } from "./handlers/merge.ts";
import { overviewHandlers } from "./handlers/overview.ts";
import { operationHandlers } from "./handlers/operations.ts";
import { restoreHandlers, upsertHandlers } from "./handlers/upsert.ts";
import type { AnyRow, Fields, Kind, RowOf } from "./kind/kind.ts";
import { storeOf } from "./writing/store.ts";

type HandlersFor<A> = {
  [K in keyof A]: (ctx: RecordContext<ParamsOut<A[K]>>) => Promise<ResultOf<A[K]>>;
};

/** The bodies of every capability in mixins/records/capabilities.ts and capabilities/; a contract says which are offered. */
export type RecordHandlers<N extends string, F extends Fields> = HandlersFor<
  ReturnType<typeof crud<N, F>>
    & ReturnType<typeof bulk<N, F>>
    & ReturnType<typeof bulkChangeable<N, F>>
    & ReturnType<typeof upsertable<N, F>>
    & ReturnType<typeof restorable<N, F>>
    & ReturnType<typeof historical<N, F>>
    & ReturnType<typeof comparable<N, F>>
    & ReturnType<typeof mergeable<N, F>>
    & ReturnType<typeof commentable<N, F>>
    & ReturnType<typeof overviewed<N, F>>
    & ReturnType<typeof importable<N, F>>
> & { export(ctx: RecordContext): Promise<NodeJS.ReadableStream> };

/** What a service does with records of a kind, but for what it decides by itself. */
export function recordHandlers<const N extends string, F extends Fields, P = undefined>(
  kind: Kind<N, F>,
  desk: RecordDesk,
  rules: RecordRules<RowOf<Kind<N, F>> & AnyRow, P> = {},
): RecordHandlers<N, F> {
  const counter = { kind, desk, rules, store: storeOf(kind) } as never;
  // what a handler answers is held against the contract at run time; the types of its parameters come from there
  return {
    ...crudHandlers(counter),
    ...bulkHandlers(counter),
    ...operationHandlers(counter),
    ...upsertHandlers(counter),
    ...restoreHandlers(counter),
    ...historyHandlers(counter),
    ...duplicateHandlers(counter),
    ...mergeHandlers(counter),
    ...commentHandlers(counter),
    ...overviewHandlers(counter),
    ...importHandlers(counter),
    ...rollbackHandlers(counter),
    ...exportHandlers(counter),
  } as unknown as RecordHandlers<N, F>;
}
