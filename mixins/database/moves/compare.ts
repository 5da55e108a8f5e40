import type { Changes } from "./changes.ts";
import type { Place } from "./place.ts";
import { checksum } from "./rows.ts";
import type { TenantTable } from "./tenant-tables.ts";

/** The table that the control database keeps some rows of for organizations that live elsewhere. */
const sharedWithControl = "idempotency_keys";

/** Tables whose rows of the organization are there because it lives, or is to live, in that place. */
export const ownOf = (place: Place, tables: TenantTable[]): TenantTable[] =>
  place.index === 0 ? tables.filter(({ name }) => name !== sharedWithControl) : tables;

/** @throws Error when a table's rows in the target are not those of the source; `client` is in a snapshot of that */
export const compareAll = async (
  client: Place["client"],
  target: Place,
  tables: TenantTable[],
  since: string,
) => {
  for (const table of tables) {
    const isShared = table.name === sharedWithControl;
    if (isShared && target.index === 0) continue;
    await compare(client, target, table, isShared ? { since } : {});
  }
};

/** As `compareAll`, of changed rows. */
export const compareChanged = async (
  client: Place["client"],
  target: Place,
  tables: TenantTable[],
  changes: Changes,
) => {
  for (const table of tables) {
    const keys = changes.get(table.name);
    if (keys) await compare(client, target, table, { keys });
  }
};

async function compare(
  client: Place["client"],
  target: Place,
  table: TenantTable,
  of: { keys?: string[][]; since?: string },
): Promise<void> {
  const [there, here] = await Promise.all([
    checksum(client, table, of),
    target.asOrganization((other) => checksum(other, table, of)),
  ]);
  if (there.rows !== here.rows || there.hash !== here.hash)
    throw new Error(`The copies of ${table.name} differ: ${there.rows} rows and ${here.rows}. Try again.`);
}
