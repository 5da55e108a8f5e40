import type { Database } from "../database/database.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";

/** Organizations that get a job at once; the others wait for the next look. */
const atOnce = 1_000;

/**
 * Adds a job for each organization that has rows which are due, in the shard where they are.
 * @param rows SQL: the table, and which of its rows are due. The platform's role must be allowed to ask it
 */
export const eachDueOrganization = (
  database: Database,
  { table, where }: { table: string; where: string },
  add: (tx: UnitOfWork, organizationId: string) => void,
): Promise<void> =>
  database.eachShard((shard) =>
    database.transaction(shard, async (tx) => {
      const due = await tx.query<{ organization_id: string }>({
        // in any order: those that are suspended stay due, and must not stand before the others for ever
        text: `SELECT organization_id FROM (SELECT DISTINCT organization_id FROM ${table} WHERE ${where}) AS due
          ORDER BY random() LIMIT ${atOnce}`,
      });
      for (const { organization_id: organizationId } of due) add(tx, organizationId);
    }),
  );
