import { lead, type LeadRow } from "../../entities/lead.ts";
import type { BoundedRows } from "../../mixins/database/statement.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { batchBytes } from "../../mixins/records/importing/matches.ts";
import { storeOf } from "../../mixins/records/writing/store.ts";

/** Reads and writes rows of leads. */
export const leadStore = storeOf<LeadRow>(lead);

/** Whether a lead has this external id now; another may take it or give it up at once. */
export async function hasExternalId(tx: UnitOfWork, externalId: string): Promise<boolean> {
  const rows = await tx.query({
    name: "has_external_id",
    text: "SELECT 1 FROM leads WHERE external_id = $1 AND deleted_at IS NULL",
    values: [externalId],
  });
  return rows.length > 0;
}

/**
 * Locks these leads, deleted or not, in the order of their ids: two who lock many never wait for each other in a circle.
 * Answers the first of them that fit into memory.
 */
export function lockLeads(tx: UnitOfWork, ids: readonly string[]): Promise<BoundedRows<LeadRow>> {
  return tx.queryWithin<LeadRow>({
    text: `SELECT ${lead.columns.join(", ")} FROM leads WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE`,
    values: [ids],
    mostBytes: batchBytes,
  });
}
