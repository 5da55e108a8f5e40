import type { UnitOfWork } from "../database/unit-of-work.ts";
import type { Changes } from "./changes.ts";
import type { Counter, RecordContext } from "./desk.ts";
import type { AnyKind, AnyRow } from "./kind.ts";
import type { Asked, Listing } from "./listing.ts";

type Input = Readonly<Record<string, unknown>>;
/** Values that stand apart from a record's row, by key of the custom field; null takes one away. */
export type ApartValues = ReadonlyMap<string, unknown>;
export interface Holder {
  id: string;
  apart: ApartValues;
}

/**
 * Custom values that do not stand in the row, such as sealed ones, as one call sees them. Handlers ask nothing else about them,
 * and ask for this before their transaction.
 */
export interface CustomValues {
  /** An input without such values, and those. @throws 403, 422 */
  split<T extends Input>(input: T): { input: T; apart: ApartValues };
  /** Which of records to be would clash with others, and the 409 that says so. */
  clashing(holders: readonly Holder[]): Promise<{ ids: ReadonlySet<string>; error: () => Error }>;
  /** Writes values of records, whether or not the records are written yet. @throws 409 */
  store(tx: UnitOfWork, holders: readonly Holder[]): Promise<void>;
  /** Views of records with the values that this caller may see. */
  show<V extends { id: string }>(tx: UnitOfWork, views: readonly V[]): Promise<V[]>;
  /** What the kind may be listed by. @throws 400, 403 for what may not be asked for */
  listing(tx: UnitOfWork, asked: Pick<Asked, "filter" | "where">): { listing: Listing; known: Promise<void> };
}

export const nothingApart: ApartValues = new Map();
/** Of a kind all of whose values stand in its rows. */
const inRows = ({ listing }: Pick<AnyKind, "listing">): CustomValues => ({
  split: (input) => ({ input, apart: nothingApart }),
  clashing: () => Promise.resolve({ ids: new Set(), error: () => new Error("Nothing clashes") }),
  store: () => Promise.resolve(),
  show: (_tx, views) => Promise.resolve([...views]),
  listing: () => ({ listing, known: Promise.resolve() }),
});
const plain = new WeakMap<AnyKind, CustomValues>();

/** The custom values of a call. */
export async function valuesOf<R extends AnyRow, P>(
  { kind, rules }: Pick<Counter<R, P>, "kind" | "rules">,
  ctx: RecordContext,
): Promise<CustomValues> {
  if (rules.values) return rules.values(ctx);
  let values = plain.get(kind);
  if (!values) plain.set(kind, (values = inRows(kind)));
  return values;
}

/** A record as the caller of a call is shown it. */
export async function showOne<R extends AnyRow>(
  { kind }: { kind: AnyKind },
  values: CustomValues,
  tx: UnitOfWork,
  row: R,
): Promise<unknown> {
  const [shown] = await values.show(tx, [kind.show(row) as { id: string }]);
  return shown;
}

/** The changes of an input: that a value apart changed is told, and not from what to what. */
export const changesApart = (apart: ApartValues): Changes =>
  Object.fromEntries([...apart.keys()].map((key) => [`customFields.${key}`, [null, null]]));
