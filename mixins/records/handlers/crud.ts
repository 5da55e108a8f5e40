import type { UnitOfWork } from "../../database/unit-of-work.ts";
import { visibleRows } from "../../access/visibility.ts";
import type { Principal } from "../../access/principal.ts";
import { loopsOf } from "../writing/ancestors.ts";
import {
  changeRecord,
  composeRecord,
  nextVersion,
  normalised,
  type Change,
  type Changes,
} from "../writing/changes.ts";
import { CallFields } from "../custom/of-call.ts";
import type { Apart } from "../custom/values-apart.ts";
import { about, type Counter, type RecordContext } from "../writing/desk.ts";
import { givenFields, newOwn, requireVersion } from "../writing/input.ts";
import type { AnyRow } from "../kind/kind.ts";
import type { ListParams, Values } from "../finding/listing.ts";
import { permitted } from "../kind/part-rights.ts";
import { firstOwner, requireMayAssign } from "../writing/ownership.ts";
import { fieldsToInclude, includedOf } from "../finding/include.ts";
import { pickFields, readPage } from "../finding/page.ts";
import { recordsInList, requireList } from "../finding/lists.ts";
import { underView, viewOfList } from "../finding/views.ts";
import { requireReferences } from "../writing/references.ts";

type Input = Readonly<Record<string, unknown>>;
type Including = { include?: string[] | undefined };
type Listed = Omit<ListParams, "sort">
  & Including & { view?: string | undefined; list?: string | undefined; sort?: ListParams["sort"] };
type Versioned = Input & { id: string; expectedVersion?: number | undefined };

/** Which rows a list shows this principal. */
export const visibleTo =
  ({ kind }: Pick<Counter, "kind">, principal: Principal) =>
  (values: Values): string[] => ["deleted_at IS NULL", ...visibleRows(principal, values, kind.owners)];

/** The custom fields of a kind as a call sees them. Before its transaction. */
export const fieldsOf = ({ kind, desk }: Pick<Counter, "kind" | "desk">, ctx: RecordContext) =>
  CallFields.of(ctx, desk, kind);

/**
 * Beside a transaction, before what is prepared takes anything that cannot be given back, such as a turn of a pool: what can be seen
 * to be refused is refused first.
 */
export const readerOf = ({ desk }: Pick<Counter, "desk">, { organizationId }: UnitOfWork): UnitOfWork =>
  desk.database.reader(organizationId);

/** An input as it is stored, and what of it is kept apart. */
export interface Accepted {
  input: Input;
  apart: Apart;
}

/** An input of a caller as it is stored, once it is known that it may be. @throws 403, 422 */
export async function accepted(
  counter: Counter,
  ctx: RecordContext,
  fields: CallFields,
  input: Input,
  { isNew }: { isNew: boolean },
): Promise<Accepted> {
  await fields.prepare(ctx, [input]);
  const { input: given, apart } = fields.accept(input, { isNew });
  return { input: await ownAccepted(counter, ctx, fields, given, { isNew }), apart };
}

/** As `accepted`, of the fields that every organization has. */
export async function ownAccepted(
  { kind, desk }: Counter,
  ctx: RecordContext,
  { country }: Pick<CallFields, "country">,
  input: Input,
  { isNew }: { isNew: boolean },
): Promise<Input> {
  const { principal } = ctx.locals;
  const normal = permitted(kind, principal, normalised(kind, input, country));
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

/** What of a call its writes need. */
export interface Writing {
  tx: UnitOfWork;
  principal: Principal;
  fields: CallFields;
}

/**
 * What an input makes of a locked record; null where nothing differs. Pure.
 * @throws 409 where its kind says that it may not change so; 422 when it would be larger than a record may be
 */
export function changeOf<R extends AnyRow, P>(
  { kind, rules }: Pick<Counter<R, P>, "kind" | "rules">,
  { tx, principal, fields }: Writing,
  before: R,
  { input, apart }: Accepted,
  prepared: P,
): Change<R> | null {
  const now = tx.now.toISOString();
  const sealed = fields.sealedIn(apart);
  const change = withSealed(before, changeRecord(kind, before, input, now), sealed, now);
  const decided = change && (rules.decide?.(before, change, prepared, principal) ?? change);
  return decided && Object.keys(decided.changes).length === 0 ? null : decided;
}

/** A locked record, and what a change makes of it. */
export interface Written<R extends AnyRow> {
  before: R;
  change: Change<R>;
}

/** Writes changes of locked records, with what they are told as and what their kind adds: all of them in a few statements. */
export async function writeChanges<R extends AnyRow, P>(
  { kind, store, rules }: Counter<R, P>,
  { tx, principal, fields }: Writing,
  written: readonly Written<R>[],
  apart: Apart,
  prepared: P,
): Promise<void> {
  store.update(
    tx,
    written.map(({ change }) => change.row),
    undefined,
    principal,
  );
  fields.store(
    tx,
    written.map(({ before }) => ({ id: before.id, apart })),
  );
  for (const { before, change } of written) {
    for (const verb of rules.verbs?.(change) ?? ["updated"])
      about(tx, { kind, verb, ...change, actorId: principal.userId, fields });
    await rules.also?.(tx, before, change, prepared);
  }
}

/** As `writeChanges`, of one. */
export const writeChange = <R extends AnyRow, P>(
  counter: Counter<R, P>,
  writing: Writing,
  before: R,
  change: Change<R>,
  apart: Apart,
  prepared: P,
): Promise<void> => writeChanges(counter, writing, [{ before, change }], apart, prepared);

/** Deletes locked records. */
export function writeDeletions<R extends AnyRow, P>(
  { kind, store }: Pick<Counter<R, P>, "kind" | "store">,
  { tx, principal, fields }: Writing,
  records: readonly R[],
): void {
  const now = tx.now.toISOString();
  const rows = records.map((before) => nextVersion(before, now, { deleted_at: now }));
  store.update(tx, rows);
  fields.release(
    tx,
    rows.map(({ id }) => id),
  );
  for (const row of rows) about(tx, { kind, verb: "deleted", row, actorId: principal.userId, fields });
}

/** Changes a locked record and answers it as it is then. What changes nothing makes no version and no event. */
export async function storeChange<R extends AnyRow, P>(
  counter: Counter<R, P>,
  writing: Writing,
  before: R,
  given: Accepted,
  prepared: P,
): Promise<{ id: string }> {
  const { tx, fields } = writing;
  const show = (row: R) => counter.kind.show(row) as { id: string };
  const change = changeOf(counter, writing, before, given, prepared);
  if (!change) return fields.showOne(tx, show(before));
  await writeChange(counter, writing, before, change, given.apart, prepared);
  return fields.showOne(tx, show(change.row), given.apart);
}

interface Versioning {
  id: string;
  expectedVersion?: number | undefined;
}
/** Changes a record by what a caller gives, all of which is checked. @throws 403, 404, 412, 422 */
export async function changeByInput<R extends AnyRow, P>(
  counter: Counter<R, P>,
  ctx: RecordContext,
  fields: CallFields,
  { id, expectedVersion }: Versioning,
  input: Input,
): Promise<{ id: string }> {
  const { principal, tx } = ctx.locals;
  const { kind, store, rules } = counter;
  const given = await accepted(counter, ctx, fields, input, { isNew: false });
  const prepared = (await rules.prepare?.(ctx, [], [given.input])) as P;
  const before = await store.lock(tx, principal, id);
  requireVersion(before, expectedVersion);
  await requireReferences(tx, counter, principal, given.input, fields, before);
  (await loopsOf(tx, kind, given.input))(id);
  return storeChange(counter, { tx, principal, fields }, before, given, prepared);
}

/** A record that an action of its kind's own is about to change: locked, with what its rules must know. @throws 404, 412 */
export async function lockedToChange<R extends AnyRow, P>(
  counter: Counter<R, P>,
  ctx: RecordContext<Versioning>,
): Promise<{ before: R; prepared: P; writing: Writing }> {
  const { principal, tx } = ctx.locals;
  const fields = await fieldsOf(counter, ctx);
  const prepared = (await counter.rules.prepare?.(ctx, [])) as P;
  const before = await counter.store.lock(tx, principal, ctx.params.id);
  requireVersion(before, ctx.params.expectedVersion);
  return { before, prepared, writing: { tx, principal, fields } };
}

/** A change by which sealed values, which the row does not hold, change too: it is told which, and no more. */
export function withSealed<R extends AnyRow>(
  before: R,
  change: Change<R> | null,
  sealed: readonly string[],
  now: string,
): Change<R> | null {
  if (sealed.length === 0) return change;
  const { row, changes } = change ?? {
    row: nextVersion(before, now),
    changes: {},
  };
  const told = sealed.map((key) => [`customFields.${key}`, [null, null]] as const);
  return { row, changes: { ...changes, ...(Object.fromEntries(told) as Changes) } };
}

/** Create, list, get, change and delete records of a kind. */
export function crudHandlers<R extends AnyRow, P>(counter: Counter<R, P>) {
  const { kind, store, rules, desk } = counter;
  // a function that stays, see toPage
  const show = (row: R) => kind.show(row) as { id: string };
  return {
    /** In one round trip, where it refers to no other record. */
    async create(ctx: RecordContext<Input>) {
      const { principal, tx } = ctx.locals;
      const fields = await fieldsOf(counter, ctx);
      const { input, apart } = await accepted(counter, ctx, fields, ctx.params, { isNew: true });
      const fresh = composeRecord<R>(kind, input, newOwn(tx));
      if (rules.prepare) await requireReferences(readerOf(counter, tx), counter, principal, input, fields);
      (await desk.quota.of(tx.organizationId, kind)).take(1);
      const prepared = (await rules.prepare?.(ctx, [fresh])) as P;
      const row = rules.complete?.(fresh, prepared) ?? fresh;
      await requireReferences(tx, counter, principal, input, fields);
      store.insert(tx, row, principal);
      fields.store(tx, [{ id: row.id, apart }]);
      about(tx, { kind, verb: "created", row, actorId: principal.userId, fields });
      await rules.also?.(tx, null, { row, changes: {} }, prepared);
      return fields.showNew(kind.show(row), apart);
    },
    /** By a view it takes one round trip more. */
    async list(ctx: RecordContext<Listed>) {
      const { principal, tx } = ctx.locals;
      const { include, view: viewId, list: listId, ...given } = ctx.params;
      const fields = await fieldsOf(counter, ctx);
      const view =
        viewId === undefined ? undefined : await viewOfList(tx, principal, kind, fields.defined, viewId);
      if (listId !== undefined) await requireList(tx, principal, kind, listId);
      const seen = visibleTo(counter, principal);
      const where = (values: Values) =>
        listId === undefined
          ? seen(values)
          : [...seen(values), `id = ANY (${recordsInList(values.add(listId))})`];
      const params = {
        ...underView(kind, given, view),
        ...(listId !== undefined && { asked: [listId, given.filter ?? {}, given.q ?? null] }),
      };
      const listing = fields.listing(kind.listing, params);
      const asked =
        include && params.fields ? [...params.fields, ...fieldsToInclude(kind, include)] : params.fields;
      const [{ data, page }] = await Promise.all([
        readPage(tx, listing, { ...params, fields: asked }, show, where),
        fields.requireKnown(tx, params),
      ]);
      const shown = await fields.show(tx, data);
      if (!include) return { data: shown, page };
      const along = await includedOf(ctx, counter.desk, kind, shown, include);
      return { data: pickFields(shown, params.fields), page, included: along };
    },
    async get(ctx: RecordContext<{ id: string } & Including>) {
      const { principal, tx } = ctx.locals;
      const fields = await fieldsOf(counter, ctx);
      const { include } = ctx.params;
      const row = await store.get(tx, principal, ctx.params.id);
      const shown = await fields.showOne(tx, show(row));
      if (!include) return shown;
      return { ...shown, included: await includedOf(ctx, counter.desk, kind, [shown], include) };
    },
    /** What changes nothing makes no version and no event. */
    async update(ctx: RecordContext<Versioned>) {
      const fields = await fieldsOf(counter, ctx);
      return changeByInput(counter, ctx, fields, ctx.params, givenFields(ctx.params));
    },
    async remove(ctx: RecordContext<Versioned>) {
      const { principal, tx } = ctx.locals;
      const fields = await fieldsOf(counter, ctx);
      const before = await store.lock(tx, principal, ctx.params.id);
      requireVersion(before, ctx.params.expectedVersion);
      writeDeletions(counter, { tx, principal, fields }, [before]);
      return null;
    },
  };
}
