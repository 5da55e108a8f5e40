import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { kinds } from "../../mixins/records/kind/kinds.ts";

/** How many records that are not deleted an organization has of each kind, by its name. One statement. */
export async function countRecords(tx: UnitOfWork): Promise<Record<string, number>> {
  const counts = [...kinds.values()].map(
    ({ name, table }) =>
      `SELECT '${name}' AS kind, count(*)::int AS records FROM ${table} WHERE deleted_at IS NULL`,
  );
  const rows = await tx.query<{ kind: string; records: number }>({ text: counts.join(" UNION ALL ") });
  return Object.fromEntries(rows.map(({ kind, records }) => [kind, records]));
}
