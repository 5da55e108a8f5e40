import type { QueryResultRow } from "pg";
import { can, systemRole, type Principal } from "../../mixins/access/principal.ts";
import { visibleRows } from "../../mixins/access/visibility.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { columnOf, type Values } from "../../mixins/records/finding/listing.ts";
import { seesList } from "../../mixins/records/finding/lists.ts";
import type { AnyKind } from "../../mixins/records/kind/kind.ts";
import { kinds } from "../../mixins/records/kind/kinds.ts";
import { record, type Events } from "../contracts.ts";
import type { EntryView, ListField, ListView } from "./lists.contract.ts";
import { entryNotFound, listNotFound, notYourList } from "./lists.errors.ts";

export interface ListRow extends QueryResultRow {
  id: string;
  kind: string;
  name: string;
  fields: ListField[];
  is_shared: boolean;
  owner_id: string | null;
  created_at: string;
  updated_at: string;
  version: number;
}
export const listColumns = "id, kind, name, fields, is_shared, owner_id, created_at, updated_at, version";

export const listView = (row: ListRow): ListView => ({
  id: row.id,
  kind: row.kind,
  name: row.name,
  fields: row.fields,
  isShared: row.is_shared,
  ownerId: row.owner_id,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  version: row.version,
});

export interface EntryRow extends QueryResultRow {
  id: string;
  list_id: string;
  record_id: string;
  custom_fields: Record<string, unknown>;
  added_by: string | null;
  created_at: string;
  updated_at: string;
  version: number;
}
export const entryColumns =
  "id, list_id, record_id, custom_fields, added_by, created_at, updated_at, version";

/** An entry, with the values of fields that the list has. */
export const entryView = (row: EntryRow, fields: readonly Pick<ListField, "key">[]): EntryView => ({
  id: row.id,
  listId: row.list_id,
  recordId: row.record_id,
  values: Object.fromEntries(
    fields.flatMap(({ key }) => (key in row.custom_fields ? [[key, row.custom_fields[key]]] : [])),
  ),
  addedBy: row.added_by,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  version: row.version,
});

/** The kind of a list, where the principal may read its records. */
export function readableKind(principal: Principal, name: string): AnyKind | undefined {
  const kind = kinds.get(name);
  return kind && can(principal, `${kind.plural}:read`) ? kind : undefined;
}

/** One that the principal sees, and its kind. @param lock nobody else changes it until the end of the transaction @throws 404 */
export async function findList(
  tx: Pick<UnitOfWork, "query">,
  principal: Principal,
  id: string,
  lock = "",
): Promise<{ row: ListRow; kind: AnyKind }> {
  const [row] = await tx.query<ListRow>({
    text: `SELECT ${listColumns} FROM lists WHERE id = $1 ${lock}`,
    values: [id],
  });
  const kind = row && readableKind(principal, row.kind);
  if (!row || !kind || !seesList(principal, row)) throw listNotFound();
  return { row, kind };
}

/** One that the principal may change: an own one, or for an admin a shared one. @throws 403, 404 */
export async function lockOwnList(tx: UnitOfWork, principal: Principal, id: string): Promise<ListRow> {
  const { row } = await findList(tx, principal, id, "FOR NO KEY UPDATE");
  const isOwn = row.owner_id !== null && row.owner_id === principal.userId;
  if (!isOwn && principal.role !== "admin" && principal.role !== systemRole) throw notYourList();
  return row;
}

/** Which entries of a list a principal sees: those of records that are there and that they see. */
export const entriesSeenBy =
  (principal: Principal, kind: AnyKind, listId: string) =>
  (values: Values): string[] => {
    const seen = kind.owner === undefined ? [] : visibleRows(principal, values, `r.${columnOf(kind.owner)}`);
    const there = ["r.id = list_entries.record_id", "r.deleted_at IS NULL", ...seen].join(" AND ");
    return [
      `list_entries.list_id = ${values.add(listId)}::uuid`,
      `EXISTS (SELECT FROM ${kind.table} r WHERE ${there})`,
    ];
  };

/** One entry of a list that the principal sees. @throws 404 */
export async function findEntry(
  tx: Pick<UnitOfWork, "query">,
  id: string,
  conditions: readonly string[],
  values: Values,
  lock = "",
): Promise<EntryRow> {
  const [row] = await tx.query<EntryRow>({
    text: `SELECT ${entryColumns} FROM list_entries WHERE id = ${values.add(id)} AND ${conditions.join(" AND ")} ${lock}`,
    values: values.list,
  });
  if (!row) throw entryNotFound();
  return row;
}

/** Tells those who see a list, and those who saw it before. */
export function announceList(
  tx: UnitOfWork,
  type: keyof Events & `list.${string}`,
  row: ListRow,
  { actorId, before = row, entryIds }: { actorId: string | null; before?: ListRow; entryIds?: string[] },
): void {
  const isTold = row.is_shared || before.is_shared;
  const told = { kind: row.kind, ownerId: row.owner_id, isShared: row.is_shared };
  record(tx, {
    type,
    entity: { kind: "list", id: row.id, version: row.version },
    actorId,
    audience: isTold ? null : row.owner_id === null ? [] : [row.owner_id],
    data: entryIds === undefined ? told : { ...told, entryIds },
  });
}
