import { pageBytes } from "../../mixins/database/statement.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { Encoding, LimitedImporter } from "../../mixins/records/importing/import-form.ts";
import type { Suggestions, ValueMap } from "./values.rules.ts";
import type { ColumnTargets } from "./mapping.rules.ts";

/** How a file is written and read. Imports of before there were options have none. */
export interface ImportOptions {
  delimiter?: string;
  encoding?: Encoding;
  matchBy?: string[];
  /** Of phones without one; ISO 3166-1 alpha-2. */
  country?: string;
  /** Of amounts without one; ISO 4217. */
  currency?: string;
  /** Of times without one; default UTC. */
  timeZone?: string;
  values?: ValueMap;
  /** Whether who brought the file may give the guarded fields of lists of parts. */
  isGuardedGiven?: true;
  /** Given where who brought the file does not see all records. */
  limited?: LimitedImporter;
  /** Of a dry run. */
  suggestedValues?: Suggestions;
}

/** A row of `imports`. */
export interface ImportRecord {
  id: string;
  organization_id: string;
  version: number;
  created_at: string;
  created_by: string | null;
  kind: string;
  file_name: string;
  /** In the order of the file's columns. */
  mapping: ColumnTargets;
  on_duplicate: "skip" | "update" | "create";
  is_dry_run: boolean;
  options: ImportOptions;
  status: "uploading" | "pending" | "running" | "completed" | "failed" | "rolling_back" | "rolled_back";
  failure: string | null;
  processed: number;
  created: number;
  updated: number;
  skipped: number;
  failed: number;
  associated: Record<string, number>;
  total: number | null;
  epoch: number;
  started_at: string | null;
  finished_at: string | null;
}

const columns = `id, organization_id, version, created_at, created_by, kind, file_name, mapping, on_duplicate, is_dry_run, options,
  status, failure, processed, created, updated, skipped, failed, associated, total, epoch, started_at, finished_at`;

/** What an upload says of itself. */
export interface NewImport {
  id: string;
  createdBy: string | null;
  /** Of its rows. */
  kind: string;
  fileName: string;
  mapping: ColumnTargets;
  onDuplicate: string;
  isDryRun: boolean;
  options: ImportOptions;
}

export const insertUpload = (tx: UnitOfWork, upload: NewImport): Promise<number> =>
  tx.execute({
    text: `INSERT INTO imports (id, organization_id, created_at, updated_at, created_by, file_name, mapping,
        on_duplicate, is_dry_run, options, kind, status)
      VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, $9, $10, 'uploading')`,
    values: [
      upload.id,
      tx.organizationId,
      tx.now,
      upload.createdBy,
      upload.fileName,
      JSON.stringify(upload.mapping),
      upload.onDuplicate,
      upload.isDryRun,
      JSON.stringify(upload.options),
      upload.kind,
    ],
  });

/** Adds to the options of an import. */
export const addOptions = (tx: UnitOfWork, importId: string, options: ImportOptions): Promise<number> =>
  tx.execute({
    text: "UPDATE imports SET options = options || $2 WHERE id = $1",
    values: [importId, JSON.stringify(options)],
  });

export const deferChunk = (tx: UnitOfWork, importId: string, position: number, bytes: Buffer): void =>
  tx.defer({
    name: "insert_import_chunk",
    text: "INSERT INTO import_chunks (organization_id, import_id, position, bytes) VALUES ($1, $2, $3, $4)",
    values: [tx.organizationId, importId, position, bytes],
  });

export const deleteImport = (tx: UnitOfWork, importId: string): Promise<number> =>
  tx.execute({ text: "DELETE FROM imports WHERE id = $1 AND status = 'uploading'", values: [importId] });

/** Makes a stored upload an import; null when it is no more. */
export async function submitUpload(tx: UnitOfWork, importId: string): Promise<ImportRecord | null> {
  const rows = await tx.query<ImportRecord>({
    text: `UPDATE imports SET status = 'pending', updated_at = $2 WHERE id = $1 AND status = 'uploading'
      RETURNING ${columns}`,
    values: [importId, tx.now],
  });
  return rows[0] ?? null;
}

/** Uploads that died are invisible, as if they had not begun. */
export async function findImport(tx: UnitOfWork, importId: string): Promise<ImportRecord | null> {
  const rows = await tx.query<ImportRecord>({
    name: "find_import",
    text: `SELECT ${columns} FROM imports WHERE id = $1 AND status <> 'uploading'`,
    values: [importId],
  });
  return rows[0] ?? null;
}

/** Turns an ended import back; null when it has not ended, changed nothing or was turned back before. */
export async function startRollback(tx: UnitOfWork, importId: string): Promise<ImportRecord | null> {
  const rows = await tx.query<ImportRecord>({
    text: `UPDATE imports SET status = 'rolling_back', version = version + 1, updated_at = $2
      WHERE id = $1 AND status IN ('completed', 'failed') AND NOT is_dry_run RETURNING ${columns}`,
    values: [importId, tx.now],
  });
  return rows[0] ?? null;
}

/** One rejected row. */
export interface RejectedRow {
  row_number: number;
  reason: string;
  record: Record<string, string>;
}
/** Rejected rows of an import after row `after`, in order, so many as fit into memory. */
export const findRejectedRows = (tx: UnitOfWork, importId: string, after: number, limit: number) =>
  tx.queryWithin<RejectedRow & Record<string, unknown>>({
    text: `SELECT row_number, reason, record FROM import_errors
      WHERE import_id = $1 AND row_number > $2 ORDER BY row_number LIMIT $3`,
    values: [importId, after, limit],
    mostBytes: pageBytes,
  });

export async function readChunk(
  tx: UnitOfWork,
  importId: string,
  position: number,
): Promise<Buffer | undefined> {
  const rows = await tx.query<{ bytes: Buffer }>({
    name: "read_import_chunk",
    text: "SELECT bytes FROM import_chunks WHERE import_id = $1 AND position = $2",
    values: [importId, position],
  });
  return rows[0]?.bytes;
}

/**
 * Takes an import that is not over, from whoever had it: the new epoch fences the former. Null when it is over.
 */
export async function claimImport(tx: UnitOfWork, importId: string): Promise<ImportRecord | null> {
  const rows = await tx.query<ImportRecord>({
    text: `UPDATE imports SET epoch = epoch + 1, version = version + 1,
        status = CASE status WHEN 'pending' THEN 'running' ELSE status END,
        started_at = coalesce(started_at, now()), updated_at = now()
      WHERE id = $1 AND status IN ('pending', 'running', 'rolling_back') RETURNING ${columns}`,
    values: [importId],
  });
  return rows[0] ?? null;
}

/** In: a platform transaction. Forgets uploads that never came to their end. */
export const deleteDeadUploads = (tx: UnitOfWork): Promise<number> =>
  tx.execute({
    name: "delete_dead_uploads",
    text: "DELETE FROM imports WHERE status = 'uploading' AND created_at < now() - interval '1 hour'",
    values: [],
  });

/** Ends the run that holds the claim, and drops the file; null when somebody else has the claim. */
export async function finishImport(
  tx: UnitOfWork,
  { id, epoch }: ImportRecord,
  end: { status: "completed" | "failed" | "rolled_back"; failure: string | null },
): Promise<ImportRecord | null> {
  const rows = await tx.query<ImportRecord>({
    text: `UPDATE imports SET status = $3, failure = coalesce($4, failure),
        total = CASE $3 WHEN 'completed' THEN processed ELSE total END,
        finished_at = $5, version = version + 1, updated_at = $5
      WHERE id = $1 AND epoch = $2 AND status IN ('running', 'rolling_back') RETURNING ${columns}`,
    values: [id, epoch, end.status, end.failure, tx.now],
  });
  if (rows[0]) await tx.execute({ text: "DELETE FROM import_chunks WHERE import_id = $1", values: [id] });
  return rows[0] ?? null;
}

/** Bytes of the files that wait to be read. */
export async function countBytes(tx: UnitOfWork): Promise<number> {
  const [stored] = await tx.query<{ bytes: number }>({
    name: "import_bytes",
    text: "SELECT coalesce(sum(octet_length(bytes)), 0)::float8 AS bytes FROM import_chunks",
  });
  return stored?.bytes ?? 0;
}
