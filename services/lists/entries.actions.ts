import { isDeepStrictEqual } from "node:util";
import { NIL } from "uuid";
import type { Context } from "moleculer";
import { requirePermission } from "../../mixins/access/principal.ts";
import { invalid, invalidField } from "../../mixins/contract/errors.ts";
import { newId } from "../../mixins/database/new-id.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { Values } from "../../mixins/records/finding/listing.ts";
import { readPage } from "../../mixins/records/finding/page.ts";
import { problemsOfView } from "../../mixins/records/finding/views.ts";
import { fieldsOf, visibleTo } from "../../mixins/records/handlers/crud.ts";
import { conditionsOf } from "../../mixins/records/handlers/operations.ts";
import type { AnyKind } from "../../mixins/records/kind/kind.ts";
import type { RecordDesk } from "../../mixins/records/writing/desk.ts";
import { requireVersion } from "../../mixins/records/writing/input.ts";
import {
  findOperation,
  insertOperation,
  isOver,
  operationNotFound,
  storeProgress,
} from "../../mixins/records/writing/operations.ts";
import { enqueue, type Ctx, type Result } from "../contracts.ts";
import { fieldsOfList, readEntry, usersIn, withValues } from "./fields.ts";
import { entryListing, type EntryView } from "./lists.contract.ts";
import { inListAlready } from "./lists.errors.ts";
import {
  announceList,
  entriesSeenBy,
  entryColumns,
  entryView,
  findEntry,
  findList,
  type EntryRow,
  type ListRow,
} from "./lists.repository.ts";

/** Records that an operation adds in one transaction. */
const stepSize = 1_000;

/** A page of the entries that the caller sees, perhaps with their records. */
export async function listEntries(ctx: Ctx<"lists.listEntries">): Promise<Result<"lists.listEntries">> {
  const { principal, tx } = ctx.locals;
  const { id, include, ...asked } = ctx.params;
  const { row: list, kind } = await findList(tx, principal, id);
  const listing = fieldsOfList(kind.name, list.fields).listing(entryListing);
  const params = { ...asked, asked: [id, asked.filter ?? {}] };
  const show = (row: EntryRow) => entryView(row, list.fields);
  const { data, page } = await readPage(tx, listing, params, show, entriesSeenBy(principal, kind, id));
  if (include === undefined) return { data, page };
  const ids = data.map(({ recordId }) => recordId);
  if (ids.length === 0) return { data, page, included: { [kind.name]: [] } };
  const asking = ctx as unknown as Pick<Context, "call">;
  const named = { filter: { id: { in: ids } }, limit: 200 };
  const along = await asking.call<{ data: unknown[] }, object>(`${kind.plural}.list`, named);
  return { data, page, included: { [kind.name]: along.data } };
}

/** One entry. @throws 404 */
export async function getEntry(ctx: Ctx<"lists.getEntry">): Promise<EntryView> {
  const { principal, tx } = ctx.locals;
  const { row: list, kind } = await findList(tx, principal, ctx.params.id);
  return entryView(await entryOf(ctx, list, kind), list.fields);
}

const entryOf = (
  ctx: Ctx<"lists.getEntry"> | Ctx<"lists.updateEntry"> | Ctx<"lists.removeEntry">,
  list: ListRow,
  kind: AnyKind,
  lock = "",
): Promise<EntryRow> => {
  const values = new Values();
  const seen = entriesSeenBy(ctx.locals.principal, kind, list.id)(values);
  return findEntry(ctx.locals.tx, ctx.params.entryId, seen, values, lock);
};

/** Before the transaction: the list as it is, what it has of fields, and values as they are stored. @throws 404, 422 */
async function acceptValues(
  ctx: Ctx<"lists.addEntry"> | Ctx<"lists.updateEntry"> | Ctx<"lists.addMany">,
  desk: RecordDesk,
  isNew: boolean,
): Promise<Record<string, unknown>> {
  const { principal, tx } = ctx.locals;
  const { id, values } = ctx.params;
  const { row, kind } = await findList(desk.database.reader(tx.organizationId), principal, id);
  const fields = fieldsOfList(kind.name, row.fields);
  const active = await desk.users.among(ctx, usersIn(fields, values));
  const country = await desk.countryOf(tx.organizationId);
  return readEntry(fields, values, { isNew, country, isActive: (userId) => active.has(userId) });
}

/** Puts a record into a list. @throws 404, 409 ALREADY_IN_LIST, 422 */
export async function addEntry(ctx: Ctx<"lists.addEntry">, desk: RecordDesk): Promise<EntryView> {
  const { principal, tx } = ctx.locals;
  const { id, recordId } = ctx.params;
  const kept = await acceptValues(ctx, desk, true);
  const { row: list, kind } = await findList(tx, principal, id, "FOR KEY SHARE");
  const values = new Values();
  const seen = [`id = ${values.add(recordId)}`, ...visibleTo({ kind }, principal)(values)].join(" AND ");
  const [found] = await tx.query<{ id: string }>({
    text: `SELECT id FROM ${kind.table} WHERE ${seen} FOR KEY SHARE`,
    values: values.list,
  });
  if (!found) throw invalidField("recordId", "not_found", `is not a ${kind.name}`);
  const [row] = await insertEntries(tx, list, [recordId], withValues({}, kept), principal.userId);
  if (!row) throw inListAlready();
  announceList(tx, "list.entries_added", list, { actorId: principal.userId, entryIds: [row.id] });
  return entryView(row, list.fields);
}

/** Entries of records that are not in the list yet. */
const insertEntries = (
  tx: UnitOfWork,
  list: ListRow,
  recordIds: readonly string[],
  values: Record<string, unknown>,
  addedBy: string | null,
): Promise<EntryRow[]> =>
  tx.query<EntryRow>({
    name: "insert_list_entries",
    text: `INSERT INTO list_entries (organization_id, id, list_id, record_id, custom_fields, added_by, created_at, updated_at)
      SELECT $1, given.id, $2, given.record_id, $5, $6, $7, $7 FROM unnest($3::uuid[], $4::uuid[]) AS given (id, record_id)
      ON CONFLICT (organization_id, list_id, record_id) DO NOTHING RETURNING ${entryColumns}`,
    values: [
      ...[tx.organizationId, list.id, recordIds.map(() => newId()), recordIds],
      ...[JSON.stringify(values), addedBy, tx.now],
    ],
  });

/** Changes values of an entry. What changes nothing makes no version and no event. @throws 404, 412, 422 */
export async function updateEntry(ctx: Ctx<"lists.updateEntry">, desk: RecordDesk): Promise<EntryView> {
  const { principal, tx } = ctx.locals;
  const kept = await acceptValues(ctx, desk, false);
  const { row: list, kind } = await findList(tx, principal, ctx.params.id, "FOR KEY SHARE");
  const before = await entryOf(ctx, list, kind, "FOR NO KEY UPDATE OF list_entries");
  requireVersion(before, ctx.params.expectedVersion);
  const row: EntryRow = { ...before, custom_fields: withValues(before.custom_fields, kept) };
  if (isDeepStrictEqual(row, before)) return entryView(before, list.fields);
  row.version = before.version + 1;
  row.updated_at = tx.now.toISOString();
  tx.defer({
    name: "update_list_entry",
    text: "UPDATE list_entries SET (custom_fields, updated_at, version) = ($2, $3, $4) WHERE id = $1",
    values: [row.id, JSON.stringify(row.custom_fields), row.updated_at, row.version],
  });
  announceList(tx, "list.entries_updated", list, { actorId: principal.userId, entryIds: [row.id] });
  return entryView(row, list.fields);
}

/** Takes a record out of a list. @throws 404, 412 */
export async function removeEntry(ctx: Ctx<"lists.removeEntry">): Promise<null> {
  const { principal, tx } = ctx.locals;
  const { row: list, kind } = await findList(tx, principal, ctx.params.id, "FOR KEY SHARE");
  const before = await entryOf(ctx, list, kind, "FOR NO KEY UPDATE OF list_entries");
  requireVersion(before, ctx.params.expectedVersion);
  tx.defer({
    name: "delete_list_entry",
    text: "DELETE FROM list_entries WHERE id = $1",
    values: [before.id],
  });
  announceList(tx, "list.entries_removed", list, { actorId: principal.userId, entryIds: [before.id] });
  return null;
}

/** Begins to put many records into a list; `applyOperation` does it. @throws 404, 422 */
export async function addMany(ctx: Ctx<"lists.addMany">, desk: RecordDesk): Promise<Result<"lists.addMany">> {
  const { principal, tx } = ctx.locals;
  const { id, where, ids, dryRun } = ctx.params;
  if (principal.userId === null) throw invalidField("where", "user_needed", "can only be asked by a user");
  const kept = await acceptValues(ctx, desk, true);
  const { kind } = await findList(desk.database.reader(tx.organizationId), principal, id);
  const fields = await fieldsOf({ kind, desk }, ctx);
  const problems = where ? problemsOfView(kind, fields.defined, { condition: where }) : [];
  if (problems.length > 0) throw invalid(problems);
  const selection = { where, ids, timeZone: tx.timeZone };
  const values = new Values();
  const conditions = conditionsOf({ kind }, ctx, fields, selection, values);
  const [counted] = await tx.query<{ matched: number; last: string | null }>({
    text: `SELECT count(*)::int AS matched, max(id::text) AS last FROM ${kind.table} WHERE ${conditions.join(" AND ")}`,
    values: values.list,
  });
  const matched = counted?.matched ?? 0;
  if (dryRun) return { matched };
  const changes = { listId: id, values: withValues({}, kept) };
  const begun = { id: newId(), kind: kind.name, verb: "add" as const, changes, selection, total: matched };
  const { id: operationId, status } = insertOperation(tx, {
    ...{ ...begun, started_by: principal.userId },
    // a condition about what is sealed was refused; what is made from now on, it does not reach
    ...{ sealed: null, until_id: counted?.last ?? NIL },
  });
  enqueue(tx, "records.runOperation", { operationId }, { key: operationId });
  return { id: operationId, status };
}

/**
 * The next step, as whoever began it: of records that they see, those that are not in the list yet. The checkpoint moves in the same
 * transaction, so that a step that is repeated does nothing twice.
 */
export async function applyOperation(
  ctx: Ctx<"lists.applyOperation">,
  desk: RecordDesk,
): Promise<{ isOver: boolean }> {
  const { principal, tx } = ctx.locals;
  const reader = desk.database.reader(tx.organizationId);
  const seen = await findOperation(reader, ctx.params.operationId);
  if (seen?.verb !== "add") throw operationNotFound();
  if (isOver(seen)) return { isOver: true };
  requirePermission(principal, "lists:update");
  const { listId, values: given } = seen.changes as { listId: string; values: Record<string, unknown> };
  const { kind } = await findList(reader, principal, listId);
  const fields = await fieldsOf({ kind, desk }, ctx);
  const operation = await findOperation(tx, seen.id, true);
  if (!operation || isOver(operation)) return { isOver: true };
  const { row: list } = await findList(tx, principal, listId, "FOR KEY SHARE");
  const values = new Values();
  const conditions = conditionsOf({ kind }, ctx, fields, operation.selection, values);
  if (operation.after_id !== null) conditions.push(`id > ${values.add(operation.after_id)}`);
  if (operation.until_id !== null) conditions.push(`id <= ${values.add(operation.until_id)}`);
  const rows = await tx.query<{ id: string }>({
    text: `SELECT id FROM ${kind.table} WHERE ${conditions.join(" AND ")} ORDER BY id LIMIT ${stepSize} FOR KEY SHARE`,
    values: values.list,
  });
  const ids = rows.map(({ id }) => id);
  const made = ids.length === 0 ? [] : await insertEntries(tx, list, ids, given, principal.userId);
  const entryIds = made.map(({ id }) => id);
  if (made.length > 0) announceList(tx, "list.entries_added", list, { actorId: principal.userId, entryIds });
  const isLast = rows.length < stepSize;
  storeProgress(tx, operation, {
    status: isLast ? "completed" : "running",
    after_id: ids.at(-1) ?? operation.after_id,
    processed: operation.processed + rows.length,
  });
  return { isOver: isLast };
}
