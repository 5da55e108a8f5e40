import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { RequestView, ReceiptPart } from "./privacy.contract.ts";
import type { Progress } from "./parts.ts";

/** A row of `privacy_requests`, without what is sealed. */
export type RequestRow = {
  id: string;
  kind: RequestView["kind"];
  scope: RequestView["scope"];
  status: RequestView["status"];
  requested_by: string | null;
  reason: string | null;
  receipt: { parts: ReceiptPart[] } | null;
  /** A bigint, as text. */
  archive_bytes: string | null;
  archive_sha256: string | null;
  archive_expires_at: string | null;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  version: number;
};
const columns = `id, kind, scope, status, requested_by, reason, receipt, archive_bytes, archive_sha256, archive_expires_at,
  created_at, started_at, finished_at, version`;

/** A request as its organization sees it. */
export const requestView = (row: RequestRow): RequestView => ({
  id: row.id,
  kind: row.kind,
  scope: row.scope,
  status: row.status,
  requestedBy: row.requested_by,
  reason: row.reason,
  receipt: row.receipt,
  archive:
    row.archive_bytes === null
      ? null
      : {
          bytes: Number(row.archive_bytes),
          sha256: row.archive_sha256 ?? "",
          expiresAt: row.archive_expires_at ?? "",
        },
  createdAt: row.created_at,
  startedAt: row.started_at,
  finishedAt: row.finished_at,
  version: row.version,
});

/** What a request is made of. */
export interface NewRequest {
  id: string;
  kind: RequestView["kind"];
  scope: RequestView["scope"];
  requestedBy: string | null;
  reason: string | null;
  sealedPerson: Buffer | null;
}

/** Writes a request; one that stands stays as it is. */
export async function insertRequest(tx: UnitOfWork, request: NewRequest): Promise<RequestRow | undefined> {
  const [row] = await tx.query<RequestRow>({
    text: `INSERT INTO privacy_requests (organization_id, id, created_at, updated_at, kind, scope, requested_by, reason, sealed_person)
      VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING ${columns}`,
    values: [
      tx.organizationId,
      request.id,
      tx.now,
      request.kind,
      request.scope,
      request.requestedBy,
      request.reason,
      request.sealedPerson,
    ],
  });
  return row;
}

export async function findRequest(tx: UnitOfWork, id: string): Promise<RequestRow | undefined> {
  const [row] = await tx.query<RequestRow>({
    name: "find_privacy_request",
    text: `SELECT ${columns} FROM privacy_requests WHERE id = $1`,
    values: [id],
  });
  return row;
}

/** A request as the run that holds it sees it. */
export type Claim = RequestRow & { epoch: number; progress: Progress | null; sealed_person: Buffer | null };

/** Takes a request that is not completed from whoever had it: the new epoch fences the former. */
export async function claimRequest(tx: UnitOfWork, id: string): Promise<Claim | undefined> {
  const [claim] = await tx.query<Claim>({
    text: `UPDATE privacy_requests SET status = 'running', epoch = epoch + 1, version = version + 1, updated_at = $2,
        started_at = coalesce(started_at, $2)
      WHERE id = $1 AND status <> 'completed' RETURNING ${columns}, epoch, progress, sealed_person`,
    values: [id, tx.now],
  });
  return claim;
}

/** Notes how far the run is; false when somebody else has the request. */
export async function saveProgress(
  tx: UnitOfWork,
  { id, epoch }: Claim,
  progress: Progress,
  sealedPerson: Buffer | null = null,
): Promise<boolean> {
  const saved = await tx.execute({
    name: "save_privacy_progress",
    text: `UPDATE privacy_requests SET progress = $3, sealed_person = coalesce($4, sealed_person), version = version + 1,
        updated_at = $5
      WHERE id = $1 AND epoch = $2`,
    values: [id, epoch, JSON.stringify(progress), sealedPerson, tx.now],
  });
  return saved === 1;
}

/** What a request ends with. */
export interface Outcome {
  parts: ReceiptPart[];
  reason?: string | null;
  archive?: { bytes: number; sha256: string; days: number };
}

/** Ends a request and forgets whom it was about; undefined when somebody else has it. */
export async function completeRequest(
  tx: UnitOfWork,
  { id, epoch, reason: given }: Claim,
  { parts, reason = given, archive }: Outcome,
): Promise<RequestRow | undefined> {
  const [row] = await tx.query<RequestRow>({
    text: `UPDATE privacy_requests SET status = 'completed', receipt = $3, reason = $4, progress = NULL, sealed_person = NULL,
        archive_bytes = $5, archive_sha256 = $6, archive_expires_at = $8::timestamptz + $7 * interval '1 day',
        finished_at = $8, version = version + 1, updated_at = $8
      WHERE id = $1 AND epoch = $2 RETURNING ${columns}`,
    values: [
      id,
      epoch,
      JSON.stringify({ parts }),
      reason,
      archive?.bytes,
      archive?.sha256,
      archive?.days,
      tx.now,
    ],
  });
  return row;
}

/** Drops a request that is not worth a receipt. */
export const deleteRequest = (tx: UnitOfWork, { id, epoch }: Claim): Promise<number> =>
  tx.execute({ text: "DELETE FROM privacy_requests WHERE id = $1 AND epoch = $2", values: [id, epoch] });
