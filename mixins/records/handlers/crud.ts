import type { UnitOfWork } from "../../database/unit-of-work.ts";
import { visibleRows } from "../../access/visibility.ts";
import type { Principal } from "../../access/principal.ts";
import { changeRecord, composeRecord, normalised, type Change } from "../changes.ts";
import { changesApart, showOne, valuesOf, type ApartValues } from "../values.ts";
import { about, type Counter, type RecordContext } from "../desk.ts";
import { givenFields, newOwn, requireVersion } from "../input.ts";
import type { AnyKind, AnyRow } from "../kind.ts";
import { columnOf, type ListParams, type Values } from "../listing.ts";
import { firstOwner, requireMayAssign } from "../ownership.ts";
import { readPage } from "../page.ts";
import { requireReferences } from "../references.ts";

type Input = Readonly<Record<string, unknown>>;
type Versioned = Input & { id: string; expectedVersion?: number | undefined };

/** Which rows a list shows this principal. */
export const visibleTo =
  ({ kind }: Pick<Counter, "kind">, principal: Principal) =>
  (values: Values): string[] => [
    "deleted_at IS NULL",
    ...(kind.owner === undefined ? [] : visibleRows(principal, values, columnOf(kind.owner))),
  ];

/** An input of a caller as it is stored, once it is known that it may be. @throws 403, 422 */
export async function accepted(
  { kind, desk }: Counter,
  ctx: RecordContext,
  input: Input,
  { isNew }: { isNew: boolean },
): Promise<Input> {
  const { principal } = ctx.locals;
  const normal = normalised(kind, input);
  const { owner } = kind;
  if (owner === undefined) return normal;
  const given = normal[owner] as string | null | undefined;
  if (isNew) {
    const first = firstOwner(kind, principal, given);
    await desk.users.require(ctx, first, owner);
    return { ...normal, [owner]: first };
  }
  if (given !== undefined) requireMayAssign(kind, principal, given);
  await desk.users.require(ctx, given, owner);
  return normal;
}

/** Writes a change of a locked record, with its event and what its kind adds. */
export async function storeChange<R extends AnyRow, P>(
  { kind, store, rules }: Counter<R, P>,
  { tx, principal }: { tx: UnitOfWork; principal: Principal },
  before: R,
  change: Change<R>,
  prepared: P,
): Promise<R> {
  const decided = rules.decide?.(before, change, prepared, principal) ?? change;
  const { row, changes } = decided;
  store.update(tx, [row]);
  for (const verb of rules.verbs?.(decided) ?? ["updated"])
    about(tx, { kind, verb, row, actorId: principal.userId, changes });
  await rules.also?.(tx, before, decided, prepared);
  return row;
}

/**
 * What an input makes of a record, values that stand apart too; null when nothing differs.
 * @throws 422 when it would make the record larger than one may be
 */
export function changeOf<R extends AnyRow>(
  kind: AnyKind,
  before: R,
  { input, apart, now }: { input: Input; apart: ApartValues; now: string },
): Change<R> | null {
  const change = changeRecord(kind, before, input, now);
  if (apart.size === 0) return change;
  const row = change?.row ?? { ...before, version: before.version + 1, updated_at: now };
  return { row, changes: { ...change?.changes, ...changesApart(apart) } };
}

/** Create, list, get, change and delete records of a kind. */
export function crudHandlers<R extends AnyRow, P>(counter: Counter<R, P>) {
  const { kind, store, rules } = counter;
  // a function that stays, see toPage
  const show = (row: R) => kind.show(row) as { id: string };
  return {
    /** In one round trip, where it refers to no other record. */
    async create(ctx: RecordContext<Input>) {
      const { principal, tx } = ctx.locals;
      const values = await valuesOf(counter, ctx);
      const { input, apart } = values.split(await accepted(counter, ctx, ctx.params, { isNew: true }));
      const fresh = composeRecord<R>(kind, input, newOwn(tx));
      const prepared = (await rules.prepare?.(ctx, [fresh])) as P;
      const row = rules.complete?.(fresh, prepared) ?? fresh;
      await requireReferences(tx, counter, principal, input);
      store.insert(tx, row);
      about(tx, { kind, verb: "created", row, actorId: principal.userId });
      await rules.also?.(tx, null, { row, changes: {} }, prepared);
      // in the round trip of the commit, where nothing stands apart
      if (apart.size === 0) return kind.show(row);
      await values.store(tx, [{ id: row.id, apart }]);
      return showOne(counter, values, tx, row);
    },
    async list(ctx: RecordContext<ListParams>) {
      const { principal, tx } = ctx.locals;
      const values = await valuesOf(counter, ctx);
      const { listing, known } = values.listing(tx, ctx.params);
      const [{ data, page }] = await Promise.all([
        readPage(tx, listing, ctx.params, show, visibleTo(counter, principal)),
        known,
      ]);
      return { data: await values.show(tx, data), page };
    },
    async get(ctx: RecordContext<{ id: string }>) {
      const { principal, tx } = ctx.locals;
      const values = await valuesOf(counter, ctx);
      return showOne(counter, values, tx, await store.get(tx, principal, ctx.params.id));
    },
    /** What changes nothing makes no version and no event. */
    async update(ctx: RecordContext<Versioned>) {
      const { principal, tx } = ctx.locals;
      const values = await valuesOf(counter, ctx);
      const given = await accepted(counter, ctx, givenFields(ctx.params), { isNew: false });
      const { input, apart } = values.split(given);
      const prepared = (await rules.prepare?.(ctx, [])) as P;
      const before = await store.lock(tx, principal, ctx.params.id);
      requireVersion(before, ctx.params.expectedVersion);
      await requireReferences(tx, counter, principal, input);
      const change = changeOf(kind, before, { input, apart, now: tx.now.toISOString() });
      const row = change ? await storeChange(counter, ctx.locals, before, change, prepared) : before;
      await values.store(tx, [{ id: row.id, apart }]);
      return showOne(counter, values, tx, row);
    },
    async remove(ctx: RecordContext<Versioned>) {
      const { principal, tx } = ctx.locals;
      const before = await store.lock(tx, principal, ctx.params.id);
      requireVersion(before, ctx.params.expectedVersion);
      const now = tx.now.toISOString();
      const row = { ...before, deleted_at: now, updated_at: now, version: before.version + 1 };
      store.update(tx, [row]);
      about(tx, { kind, verb: "deleted", row, actorId: principal.userId });
      return null;
    },
  };
}
