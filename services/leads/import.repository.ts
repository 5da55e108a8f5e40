import { pageBytes, type BoundedRows } from "../../mixins/database/statement.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { ImportedLead, ImportKeys } from "./import.rules.ts";
import { lead, type LeadRow } from "../../entities/lead.ts";
import { batchBytes } from "./leads.store.ts";

/** A refused row of the file, as the file of rejected rows shows it. */
export interface Rejection {
  rowNumber: number;
  record: Record<string, string>;
  reason: string;
}

/**
 * Imports of an organization write one batch at a time: of two with the same rows the second finds what the first has made.
 * What is looked up afterwards in this transaction is as the one before has left it.
 */
export const takeTurn = (tx: UnitOfWork): Promise<number> =>
  tx.execute({
    name: "import_turn",
    text: "SELECT pg_advisory_xact_lock(hashtextextended('import of leads ' || $1, 0))",
    values: [tx.organizationId],
  });

/** Of those with one email or phone so many are looked at for one that no stronger key tells apart. */
const candidates = 50;

/**
 * The first lead by id with each of these external ids, and with each of these emails and phones, unless a stronger key of it
 * differs; `lock` holds them until the end.
 * @param options.isWhole whether all of them are needed, however large
 */
export function findMatches(
  tx: UnitOfWork,
  { externalIds, emails, phones }: ImportKeys,
  { lock, isWhole }: { lock: boolean; isWhole: boolean },
): Promise<BoundedRows<LeadRow>> {
  const columns = lead.columns.join(", ");
  return tx.queryWithin<LeadRow>({
    // one index scan a key, and one lead of what may be a hundred thousand with one email
    text: `SELECT ${columns} FROM leads WHERE id IN (
        SELECT first.id FROM unnest($1::text[]) AS key CROSS JOIN LATERAL (
          SELECT id FROM leads WHERE external_id = key AND deleted_at IS NULL ORDER BY id LIMIT 1) first
        UNION
        SELECT first.id FROM unnest($2::text[], $3::text[]) AS key (email, external_id) CROSS JOIN LATERAL (
          SELECT id FROM (SELECT id, external_id FROM leads
            WHERE email = key.email AND deleted_at IS NULL ORDER BY id LIMIT ${candidates}) AS found
          WHERE ${agrees("external_id")} ORDER BY id LIMIT 1) first
        UNION
        SELECT first.id FROM unnest($4::text[], $5::text[], $6::text[]) AS key (phone, email, external_id) CROSS JOIN LATERAL (
          SELECT id FROM (SELECT id, email, external_id FROM leads
            WHERE phone = key.phone AND deleted_at IS NULL ORDER BY id LIMIT ${candidates}) AS found
          WHERE ${agrees("external_id")} AND ${agrees("email")} ORDER BY id LIMIT 1) first
      ) ORDER BY id ${lock ? "FOR NO KEY UPDATE" : ""}`,
    values: [
      externalIds,
      emails.map(({ email }) => email),
      emails.map(({ externalId }) => externalId),
      phones.map(({ phone }) => phone),
      phones.map(({ email }) => email),
      phones.map(({ externalId }) => externalId),
    ],
    mostBytes: isWhole ? Infinity : batchBytes,
  });
}
const agrees = (column: string): string => `coalesce(found.${column} = key.${column}, true)`;

/** Locks the import for this transaction; false when another run owns it or these rows are behind it. */
export async function fenceImport(
  tx: UnitOfWork,
  { importId, epoch, processedBefore }: { importId: string; epoch: number; processedBefore: number },
): Promise<boolean> {
  const rows = await tx.query({
    name: "fence_import",
    text: `SELECT id FROM imports
      WHERE id = $1 AND epoch = $2 AND processed = $3 AND status = 'running' FOR NO KEY UPDATE`,
    values: [importId, epoch, processedBefore],
  });
  return rows.length === 1;
}

/**
 * Adds a batch to the counts of a fenced import, at commit, which does not wait for the disk: should the server die,
 * the last batches are lost together with their counts, and a resumed run writes them again. Whatever tells of them
 * was committed later and waited, so they were on disk before it: places in the feed, and the import's end.
 */
export function moveCheckpoint(
  tx: UnitOfWork,
  importId: string,
  processed: number,
  counts: { created: number; updated: number; skipped: number; failed: number },
): void {
  tx.defer({ name: "commit_lazily", text: "SET LOCAL synchronous_commit = off" });
  tx.defer({
    name: "move_import_checkpoint",
    text: `UPDATE imports SET processed = processed + $2, created = created + $3, updated = updated + $4,
        skipped = skipped + $5, failed = failed + $6, version = version + 1, updated_at = $7
      WHERE id = $1`,
    values: [
      importId,
      processed,
      counts.created,
      counts.updated,
      counts.skipped,
      counts.failed,
      tx.now.toISOString(),
    ],
  });
}

/** Remembers what a rollback needs. A lead touched before by this import keeps what it was before that. */
export function recordChanges(tx: UnitOfWork, importId: string, leads: readonly ImportedLead[]): void {
  if (leads.length === 0) return;
  tx.defer({
    name: "record_import_changes",
    text: `INSERT INTO import_changes (organization_id, import_id, lead_id, version, before)
      SELECT $1, $2, c.lead_id, c.version, c.before
      FROM json_to_recordset($3) AS c (lead_id uuid, version integer, before jsonb)
      ON CONFLICT (organization_id, import_id, lead_id) DO UPDATE SET version = excluded.version`,
    values: [
      tx.organizationId,
      importId,
      JSON.stringify(leads.map(({ row, before }) => ({ lead_id: row.id, version: row.version, before }))),
    ],
  });
}

export function recordRejections(tx: UnitOfWork, importId: string, rejections: readonly Rejection[]): void {
  if (rejections.length === 0) return;
  tx.defer({
    name: "record_import_errors",
    text: `INSERT INTO import_errors (organization_id, import_id, row_number, reason, record)
      SELECT $1, $2, e."rowNumber", e.reason, e.record
      FROM json_to_recordset($3) AS e ("rowNumber" integer, reason text, record jsonb)
      ON CONFLICT DO NOTHING`,
    values: [tx.organizationId, importId, JSON.stringify(rejections)],
  });
}

/** One change of an import that a rollback may undo. */
export type ImportChange = {
  lead_id: string;
  /** The lead's version after the import. */
  version: number;
  /** null: the import made the lead. */
  before: LeadRow | null;
};

/** The next changes to undo, so many as fit into memory, and how many there are in all; undefined when another run owns the import. */
export async function findChanges(
  tx: UnitOfWork,
  { importId, epoch, limit }: { importId: string; epoch: number; limit: number },
): Promise<{ changes: ImportChange[]; total: number } | undefined> {
  const [owned, { rows: changes }, [count]] = await Promise.all([
    tx.query({
      text: "SELECT id FROM imports WHERE id = $1 AND epoch = $2 AND status = 'rolling_back' FOR NO KEY UPDATE",
      values: [importId, epoch],
    }),
    tx.queryWithin<ImportChange>({
      text: "SELECT lead_id, version, before FROM import_changes WHERE import_id = $1 ORDER BY lead_id LIMIT $2",
      values: [importId, limit],
      mostBytes: pageBytes,
    }),
    tx.query<{ total: number }>({
      text: "SELECT count(*)::int AS total FROM import_changes WHERE import_id = $1",
      values: [importId],
    }),
  ]);
  return owned.length === 1 ? { changes, total: count?.total ?? 0 } : undefined;
}

export function forgetChanges(tx: UnitOfWork, importId: string, changes: readonly ImportChange[]): void {
  tx.defer({
    text: "DELETE FROM import_changes WHERE import_id = $1 AND lead_id = ANY ($2)",
    values: [importId, changes.map(({ lead_id }) => lead_id)],
  });
}
