import { isDeepStrictEqual } from "node:util";
import { requirePermission } from "../../mixins/access/principal.ts";
import { newId } from "../../mixins/database/new-id.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { requireRoomFor } from "../../mixins/organizations/limits.ts";
import type { Values } from "../../mixins/records/finding/listing.ts";
import { readPage } from "../../mixins/records/finding/page.ts";
import { kinds } from "../../mixins/records/kind/kinds.ts";
import { requireVersion } from "../../mixins/records/writing/input.ts";
import type { Ctx, Result } from "../contracts.ts";
import { listListing, type ListField, type ListView } from "./lists.contract.ts";
import { fieldInUse } from "./lists.errors.ts";
import {
  announceList,
  findList,
  listColumns,
  listView,
  lockOwnList,
  readableKind,
  type ListRow,
} from "./lists.repository.ts";

/** A page of the lists that the caller sees. */
export async function list(ctx: Ctx<"lists.list">): Promise<Result<"lists.list">> {
  const { principal, tx } = ctx.locals;
  const readable = [...kinds.keys()].filter((kind) => readableKind(principal, kind));
  const where = (values: Values) => [
    `(is_shared OR owner_id = ${values.add(principal.userId)}::uuid)`,
    `kind = ANY (${values.add(readable)}::text[])`,
  ];
  return readPage(tx, listListing, ctx.params, (row: ListRow) => listView(row), where);
}

/** One list. @throws 404 */
export async function get(ctx: Ctx<"lists.get">): Promise<ListView> {
  return listView((await findList(ctx.locals.tx, ctx.locals.principal, ctx.params.id)).row);
}

type FieldsGiven = Ctx<"lists.create">["params"]["fields"];
const labelled = (fields: FieldsGiven): ListField[] =>
  fields.map(({ key, label = key, type, options, isRequired }) => ({
    ...{ key, label, type, isRequired },
    options: options.map(({ value, label: called = value }) => ({ value, label: called })),
  }));

/** Makes a list. @throws 403 without the right to read its kind; 409 LIMIT_REACHED */
export async function create(ctx: Ctx<"lists.create">): Promise<ListView> {
  const { principal, tx } = ctx.locals;
  const { kind, name, fields, isShared } = ctx.params;
  requirePermission(principal, `${kinds.get(kind)?.plural}:read`);
  await requireRoomFor(tx, "listsOfUser", { of: principal.userId ?? "" });
  const now = tx.now.toISOString();
  const row: ListRow = {
    ...{ id: newId(), kind, name, fields: labelled(fields), is_shared: isShared, owner_id: principal.userId },
    ...{ created_at: now, updated_at: now, version: 1 },
  };
  tx.defer({
    text: `INSERT INTO lists (organization_id, ${listColumns}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, 1)`,
    values: [tx.organizationId, row.id, kind, name, JSON.stringify(row.fields), isShared, row.owner_id, now],
  });
  announceList(tx, "list.created", row, { actorId: principal.userId });
  return listView(row);
}

/**
 * Changes a list. Values of a field that is taken out, or has another type then, go with it. What changes nothing makes no version and
 * no event.
 * @throws 403 NOT_YOUR_LIST, 404, 409 IN_USE, 412
 */
export async function update(ctx: Ctx<"lists.update">): Promise<ListView> {
  const { principal, tx } = ctx.locals;
  const { id, expectedVersion, name, fields, isShared, force } = ctx.params;
  const before = await lockOwnList(tx, principal, id);
  requireVersion(before, expectedVersion);
  const row: ListRow = {
    ...before,
    name: name ?? before.name,
    fields: fields === undefined ? before.fields : labelled(fields),
    is_shared: isShared ?? before.is_shared,
  };
  if (isDeepStrictEqual(row, before)) return listView(before);
  await dropValues(tx, before, row, force);
  row.version = before.version + 1;
  row.updated_at = tx.now.toISOString();
  tx.defer({
    text: "UPDATE lists SET (name, fields, is_shared, updated_at, version) = ($2, $3, $4, $5, $6) WHERE id = $1",
    values: [id, row.name, JSON.stringify(row.fields), row.is_shared, row.updated_at, row.version],
  });
  announceList(tx, "list.updated", row, { actorId: principal.userId, before });
  return listView(row);
}

async function dropValues(tx: UnitOfWork, before: ListRow, row: ListRow, isForced: boolean): Promise<void> {
  const gone = before.fields
    .filter(({ key, type }) => row.fields.find((field) => field.key === key)?.type !== type)
    .map(({ key }) => key);
  if (gone.length === 0) return;
  const having = "list_id = $1 AND custom_fields ?| $2::text[]";
  const values = [row.id, gone];
  if (isForced) {
    tx.defer({
      text: `UPDATE list_entries SET custom_fields = custom_fields - $2::text[], updated_at = $3, version = version + 1 WHERE ${having}`,
      values: [...values, tx.now],
    });
    return;
  }
  const [counted] = await tx.query<{ uses: number }>({
    text: `SELECT count(*)::int AS uses FROM list_entries WHERE ${having}`,
    values,
  });
  const uses = counted?.uses ?? 0;
  if (uses > 0) throw fieldInUse(uses);
}

/** Deletes a list and its entries. @throws 403 NOT_YOUR_LIST, 404, 412 */
export async function remove(ctx: Ctx<"lists.remove">): Promise<null> {
  const { principal, tx } = ctx.locals;
  const before = await lockOwnList(tx, principal, ctx.params.id);
  requireVersion(before, ctx.params.expectedVersion);
  tx.defer({ text: "DELETE FROM lists WHERE id = $1", values: [before.id] });
  announceList(
    tx,
    "list.deleted",
    { ...before, version: before.version + 1 },
    { actorId: principal.userId, before },
  );
  return null;
}
