import type { UnitOfWork } from "../../database/unit-of-work.ts";
import { columnOf } from "../finding/listing.ts";
import { ownerColumnOf, type AnyKind, type AnyRow } from "../kind/kind.ts";
import { anyRefsOf, kinds } from "../kind/kinds.ts";

/** Whose the records are that inputs of a transaction name, by kind and id: found where it was looked whether they are there. */
const found = new WeakMap<object, Map<string, string | null>>();

export function noteOwner(tx: object, kind: string, id: string, owner: string | null): void {
  const owners = found.get(tx) ?? new Map<string, string | null>();
  found.set(tx, owners.set(`${kind} ${id}`, owner));
}

/** Completes rows that are about to be written by whose the records are that they name, as far as this transaction has found out. */
export function completeOwners(tx: UnitOfWork, kind: AnyKind, rows: readonly AnyRow[]): void {
  const owners = found.get(tx);
  if (!owners) return;
  for (const key of anyRefsOf(kind))
    for (const row of rows) {
      const owner = owners.get(`${String(row[`${columnOf(key)}_kind`])} ${String(row[columnOf(key)])}`);
      if (owner !== undefined) Object.assign(row, { [ownerColumnOf(key)]: owner });
    }
}

/** Has what names a record be its new owner's too, at commit. */
export function followOwner(tx: UnitOfWork, named: string, id: string, owner: unknown): void {
  for (const kind of kinds.values())
    for (const key of anyRefsOf(kind)) {
      const [column, ownerColumn] = [columnOf(key), ownerColumnOf(key)];
      // in the order of their ids: two who write many never wait for each other in a circle
      tx.defer({
        name: `follow_owner_${kind.table}_${column}`,
        text: `UPDATE ${kind.table} t SET ${ownerColumn} = $3 FROM (SELECT id FROM ${kind.table}
            WHERE ${column} = $1 AND ${column}_kind = $2 ORDER BY id FOR NO KEY UPDATE) AS naming
          WHERE t.id = naming.id AND t.${ownerColumn} IS DISTINCT FROM $3`,
        values: [id, named, owner ?? null],
      });
    }
}
