import type { Principal } from "../../mixins/access/principal.ts";
import { canSee } from "../../mixins/access/principal.ts";
import { pageBytes, withRows, type BoundedRows, type Statement } from "../../mixins/database/statement.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { externalIdTaken, leadNotFound } from "./leads.errors.ts";
import { leadColumns, mutableColumns, type LeadRow } from "./lead-row.ts";

const columns = leadColumns.join(", ");

/** A lead that is not deleted and that the principal may see. @throws 404 */
export async function getLead(tx: UnitOfWork, principal: Principal, id: string): Promise<LeadRow> {
  const [row] = await tx.query<LeadRow>({
    name: "get_lead",
    text: `SELECT ${columns} FROM leads WHERE id = $1 AND deleted_at IS NULL`,
    values: [id],
  });
  return requireVisible(principal, row);
}

/** As getLead, and nobody else changes it until the end of this transaction. */
export async function lockLead(tx: UnitOfWork, principal: Principal, id: string): Promise<LeadRow> {
  const [row] = await tx.query<LeadRow>({
    name: "lock_lead",
    text: `SELECT ${columns} FROM leads WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE`,
    values: [id],
  });
  return requireVisible(principal, row);
}

/** As lockLead, deleted or not. */
export async function lockAnyLead(tx: UnitOfWork, principal: Principal, id: string): Promise<LeadRow> {
  const [row] = await tx.query<LeadRow>({
    text: `SELECT ${columns} FROM leads WHERE id = $1 FOR NO KEY UPDATE`,
    values: [id],
  });
  return requireVisible(principal, row);
}

function requireVisible(principal: Principal, row: LeadRow | undefined): LeadRow {
  if (!row || !canSee(principal, { assignedTo: row.assigned_to })) throw leadNotFound();
  return row;
}

/** The lead with an external id; undefined when there is none. */
export async function findByExternalId(tx: UnitOfWork, externalId: string): Promise<LeadRow | undefined> {
  const [row] = await tx.query<LeadRow>({
    name: "lead_by_external_id",
    text: `SELECT ${columns} FROM leads WHERE external_id = $1 AND deleted_at IS NULL`,
    values: [externalId],
  });
  return row;
}

/** As `findByExternalId`, and locks it. */
export async function lockByExternalId(tx: UnitOfWork, externalId: string): Promise<LeadRow | undefined> {
  const [row] = await tx.query<LeadRow>({
    name: "lock_lead_by_external_id",
    text: `SELECT ${columns} FROM leads WHERE external_id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE`,
    values: [externalId],
  });
  return row;
}

/** Which leads have these external ids now. */
export const findHolders = (tx: UnitOfWork, externalIds: readonly string[]) =>
  tx.query<{ id: string; external_id: string }>({
    text: "SELECT id, external_id FROM leads WHERE external_id = ANY ($1) AND deleted_at IS NULL",
    values: [externalIds],
  });

/** Whether a lead has this external id now; another may take it or give it up at once. */
export async function hasExternalId(tx: UnitOfWork, externalId: string): Promise<boolean> {
  const rows = await tx.query({
    name: "has_external_id",
    text: "SELECT 1 FROM leads WHERE external_id = $1 AND deleted_at IS NULL",
    values: [externalId],
  });
  return rows.length > 0;
}

/** What leads that are worked on together may take in memory. */
export const batchBytes = 2 * pageBytes;

/**
 * Locks these leads, deleted or not, in the order of their ids: two who lock many never wait for each other in a circle.
 * Answers the first of them that fit into memory.
 */
export function lockLeads(tx: UnitOfWork, ids: readonly string[]): Promise<BoundedRows<LeadRow>> {
  return tx.queryWithin<LeadRow>({
    text: `SELECT ${columns} FROM leads WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE`,
    values: [ids],
    mostBytes: batchBytes,
  });
}

const insertText = `INSERT INTO leads (${columns}) SELECT ${columns} FROM json_populate_recordset(NULL::leads, $1)`;

/** Inserts a lead at commit; a clash of external ids is a 409. */
export function insertLead(tx: UnitOfWork, row: LeadRow): void {
  const insert = { name: "insert_leads", text: insertText, rows: [JSON.stringify(row)] };
  if (row.external_id === null) return tx.deferRows(insert);
  claimExternalIds(tx, [row]);
  // it may have to wait for whoever is about to take the same external id
  tx.defer(withRows(insert));
}

/** Inserts leads now, in one statement; answers the ids of those whose external id was free. */
export async function insertFreeLeads(
  tx: UnitOfWork,
  rows: readonly LeadRow[],
): Promise<ReadonlySet<string>> {
  if (rows.length === 0) return new Set();
  const released = releaseStatement(rows);
  const [, inserted] = await Promise.all([
    // sent first: the two share a round trip, and PostgreSQL runs them in this order
    released && tx.execute(released),
    tx.query<{ id: string }>({
      name: "insert_free_leads",
      text: `${insertText} ON CONFLICT DO NOTHING RETURNING id`,
      values: [JSON.stringify(rows)],
    }),
  ]);
  return new Set(inserted.map((row) => row.id));
}

/** Writes all mutable columns of locked leads, at commit. */
export function updateLeads(tx: UnitOfWork, rows: readonly LeadRow[]): void {
  if (rows.length === 0) return;
  tx.defer({ name: "update_leads", text: updateText, values: [JSON.stringify(rows)] });
}
const updateText = `UPDATE leads SET (${mutableColumns.join(", ")}) = ROW (${mutableColumns
  .map((column) => `changed.${column}`)
  .join(", ")})
  FROM json_populate_recordset(NULL::leads, $1) AS changed WHERE leads.id = changed.id`;

/**
 * Takes the external ids of these leads over from deleted ones.
 * @param taken what a clash with a living lead means; default 409 EXTERNAL_ID_TAKEN
 */
export function claimExternalIds(
  tx: UnitOfWork,
  rows: readonly LeadRow[],
  taken: () => Error = externalIdTaken,
): void {
  tx.onViolation("leads_external_id", taken);
  const released = releaseStatement(rows);
  if (released) tx.defer(released);
}

/** A deleted lead gives its external id up to the first who wants it: what is deleted must not block a new import. */
function releaseStatement(rows: readonly LeadRow[]): Statement | undefined {
  const wanted = rows.map((row) => row.external_id).filter((externalId) => externalId !== null);
  if (wanted.length === 0) return undefined;
  return {
    name: "release_external_ids",
    text: "UPDATE leads SET external_id = NULL WHERE external_id = ANY ($1) AND deleted_at IS NOT NULL",
    values: [wanted],
  };
}
