import { pageBytes } from "../../database/statement.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import type { AnyKind, AnyRow } from "../kind/kind.ts";
import type { ImportedRecord } from "./import-plan.ts";

/** What became of rows. */
export interface ImportCounts {
  created: number;
  updated: number;
  skipped: number;
  failed: number;
  /** Records of other kinds that were made, by kind. */
  associated?: Record<string, number>;
}

/** A refused row of the file, as the file of rejected rows shows it. */
export interface Rejection {
  rowNumber: number;
  record: Record<string, string>;
  reason: string;
}

/**
 * Imports of an organization that write records of a kind do so one batch at a time: of two with the same rows the second finds
 * what the first has made. What is looked up afterwards in this transaction is as the one before has left it.
 */
export async function takeTurns(tx: UnitOfWork, kinds: readonly Pick<AnyKind, "plural">[]): Promise<void> {
  // in one order, so that nobody waits in a circle
  for (const plural of kinds.map((kind) => kind.plural).sort())
    await tx.execute({
      name: "import_turn",
      text: "SELECT pg_advisory_xact_lock(hashtextextended('import of ' || $2 || ' ' || $1, 0))",
      values: [tx.organizationId, plural],
    });
}

interface Fence {
  importId: string;
  epoch: number;
  processedBefore: number;
}
const fence = `SELECT epoch = $2 AND processed = $3 AND status = 'running' AS "isCurrent" FROM imports WHERE id = $1`;

/**
 * Locks the import for this transaction, waiting for the batch ahead, and looks at it as that has left it; false when another run owns
 * it or these rows are not the next.
 */
export async function fenceImport(tx: UnitOfWork, at: Fence): Promise<boolean> {
  const [row] = await tx.query<{ isCurrent: boolean }>({
    name: "fence_import",
    text: `${fence} FOR NO KEY UPDATE`,
    values: [at.importId, at.epoch, at.processedBefore],
  });
  return row?.isCurrent ?? false;
}

/** The same before the transaction, waiting for nobody: whether what is stored is what the batch will find. */
export async function isNextOfImport(tx: Pick<UnitOfWork, "query">, at: Fence): Promise<boolean> {
  const [row] = await tx.query<{ isCurrent: boolean }>({
    name: "look_at_import",
    text: fence,
    values: [at.importId, at.epoch, at.processedBefore],
  });
  return row?.isCurrent ?? false;
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
  { associated = {}, ...counts }: ImportCounts,
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
  for (const [kind, made] of Object.entries(associated))
    tx.defer({
      name: "count_associated",
      text: `UPDATE imports SET associated = associated || jsonb_build_object($2::text, coalesce((associated ->> $2)::int, 0) + $3::int)
        WHERE id = $1`,
      values: [importId, kind, made],
    });
}

/** Remembers what a rollback needs. A record touched before by this import keeps what it was before that. */
export function recordChanges(
  tx: UnitOfWork,
  importId: string,
  { name }: Pick<AnyKind, "name">,
  records: readonly ImportedRecord[],
): void {
  if (records.length === 0) return;
  tx.defer({
    name: "record_import_changes",
    text: `INSERT INTO import_record_changes (organization_id, import_id, kind, record_id, version, before)
      SELECT $1, $2, $4, c.record_id, c.version, c.before
      FROM json_to_recordset($3) AS c (record_id uuid, version integer, before jsonb)
      ON CONFLICT (organization_id, import_id, record_id) DO UPDATE SET version = excluded.version`,
    values: [
      tx.organizationId,
      importId,
      JSON.stringify(records.map(({ row, before }) => ({ record_id: row.id, version: row.version, before }))),
      name,
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
  kind: string;
  record_id: string;
  /** The record's version after the import. */
  version: number;
  /** null: the import made the record. */
  before: AnyRow | null;
};

/**
 * The next changes to undo, so many as fit into memory, and how many there are in all; undefined when another run owns the import.
 * Those of the import's own kind come first: nothing refers then to what was made beside them.
 */
export async function findChanges(
  tx: UnitOfWork,
  { importId, epoch, limit, kind }: { importId: string; epoch: number; limit: number; kind: string },
): Promise<{ changes: ImportChange[]; total: number } | undefined> {
  const next = (test: string) =>
    tx.queryWithin<ImportChange>({
      text: `SELECT kind, record_id, version, before FROM import_record_changes
        WHERE import_id = $1 AND kind ${test} $3 ORDER BY record_id LIMIT $2`,
      values: [importId, limit, kind],
      mostBytes: pageBytes,
    });
  const [owned, { rows: own }, [count]] = await Promise.all([
    tx.query({
      text: "SELECT id FROM imports WHERE id = $1 AND epoch = $2 AND status = 'rolling_back' FOR NO KEY UPDATE",
      values: [importId, epoch],
    }),
    next("="),
    tx.query<{ total: number }>({
      text: "SELECT count(*)::int AS total FROM import_record_changes WHERE import_id = $1",
      values: [importId],
    }),
  ]);
  if (owned.length !== 1) return undefined;
  const total = count?.total ?? 0;
  return { changes: own.length === 0 && total > 0 ? (await next("<>")).rows : own, total };
}

export function forgetChanges(tx: UnitOfWork, importId: string, changes: readonly ImportChange[]): void {
  tx.defer({
    text: "DELETE FROM import_record_changes WHERE import_id = $1 AND record_id = ANY ($2)",
    values: [importId, changes.map((change) => change.record_id)],
  });
}

/** Forgets, at commit, what imports know of records that are erased: one that is turned back leaves them as they are. */
export const forgetImported = (tx: UnitOfWork, ids: readonly string[]): void =>
  tx.defer({ text: "DELETE FROM import_record_changes WHERE record_id = ANY ($1)", values: [ids] });
