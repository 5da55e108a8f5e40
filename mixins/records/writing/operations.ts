import { z } from "zod";
import { appError } from "../../contract/errors.ts";
import { id, timestamp } from "../../contract/schemas.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import type { OrganizationCipher } from "../../encryption/organization-cipher.ts";
import type { Condition } from "../conditions/condition.ts";
import type { Listing } from "../finding/listing.ts";

export const operationStatuses = ["pending", "running", "completed", "failed"] as const;
/** `add`: to a list, see services/lists. */
const verbs = ["update", "delete", "add"] as const;
/** Refused records of which an operation says why. */
export const mostErrors = 100;

const operationError = z.strictObject({ id, code: z.string(), detail: z.string() });
/** Work on many records at once. */
export const operation = z
  .strictObject({
    id,
    /** Of the records. */
    kind: z.string(),
    verb: z.enum(verbs),
    status: z.enum(operationStatuses),
    /** Records that it is done with, those that were refused among them. */
    processed: z.number().int(),
    /** Records that there were when it began. */
    total: z.number().int(),
    failed: z.number().int(),
    /** Why records were refused; the first hundred. */
    errors: z.array(operationError),
    /** Why it ended early. */
    error: z.string().nullable(),
    startedBy: id,
    createdAt: timestamp,
    startedAt: timestamp.nullable(),
    finishedAt: timestamp.nullable(),
    updatedAt: timestamp,
    version: z.number().int(),
  })
  .meta({ id: "Operation" });
export type OperationView = z.output<typeof operation>;
/** What a call that begins one answers, or of a dry run how many records it would touch. */
export const operationBegun = z.union([
  z.strictObject({ id, status: z.enum(operationStatuses) }),
  z.strictObject({ matched: z.number().int() }),
]);

export const operationListing: Listing = {
  table: "operations",
  fields: {
    ...{ id: "uuid", kind: "text", verb: "text", status: "text" },
    ...{ processed: "integer", total: "integer", failed: "integer", errors: "json", error: "text" },
    ...{ startedBy: "uuid", createdAt: "timestamp", startedAt: "timestamp", finishedAt: "timestamp" },
    ...{ updatedAt: "timestamp", version: "integer" },
  },
  filterable: ["kind", "verb", "status", "startedBy", "createdAt"],
  values: { verb: verbs, status: operationStatuses },
  sortable: ["createdAt"],
  defaultSort: "-createdAt",
};

/** Which records an operation is about: those of a condition, or some by their ids. */
export interface Selection {
  where?: Condition | undefined;
  ids?: string[] | undefined;
  /** Of times without a zone. */
  timeZone: string;
}

export interface OperationRow {
  id: string;
  kind: string;
  verb: (typeof verbs)[number];
  status: (typeof operationStatuses)[number];
  started_by: string;
  selection: Selection;
  changes: Record<string, unknown>;
  /** { selection, changes } where sensitive values stand in them, which say nothing then; see workOf. */
  sealed: Buffer | null;
  after_id: string | null;
  /** The last record there was when it began; null of those of before. */
  until_id: string | null;
  total: number;
  processed: number;
  failed: number;
  errors: z.output<typeof operationError>[];
  error: string | null;
  created_at: string;
  updated_at: string;
  started_at: string | null;
  finished_at: string | null;
  version: number;
  [column: string]: unknown;
}

export const operationView = (row: OperationRow): OperationView => ({
  id: row.id,
  kind: row.kind,
  verb: row.verb,
  status: row.status,
  processed: row.processed,
  total: row.total,
  failed: row.failed,
  errors: row.errors,
  error: row.error,
  startedBy: row.started_by,
  createdAt: row.created_at,
  startedAt: row.started_at,
  finishedAt: row.finished_at,
  updatedAt: row.updated_at,
  version: row.version,
});

export const operationNotFound = () => appError(404, "OPERATION_NOT_FOUND", "There is no such operation.");

/** What an operation is about and what it writes. */
export type Work = Pick<OperationRow, "selection" | "changes">;

const placeOf = (row: string) => ({ table: "operations", column: "sealed", row });
/** Whoever does not open it finds no such field, and nothing to change. */
const nothingSaid: Work = {
  selection: { where: { field: "sealed", op: "eq", value: true }, timeZone: "UTC" },
  changes: {},
};

/** As it is stored. @param cipher given where sensitive values stand in it */
export const sealedWork = (
  id: string,
  work: Work,
  cipher: OrganizationCipher | undefined,
): Work & Pick<OperationRow, "sealed"> =>
  cipher
    ? { ...nothingSaid, sealed: cipher.seal(placeOf(id), JSON.stringify(work)) }
    : { ...work, sealed: null };

/** As it was given. */
export const workOf = ({ id, selection, changes, sealed }: OperationRow, cipher: OrganizationCipher): Work =>
  sealed === null ? { selection, changes } : (JSON.parse(cipher.open(placeOf(id), sealed)) as Work);

export function insertOperation(
  tx: UnitOfWork,
  given: Work & Pick<OperationRow, "id" | "kind" | "verb" | "started_by" | "sealed" | "total" | "until_id">,
): OperationRow {
  const now = tx.now.toISOString();
  tx.defer({
    name: "insert_operation",
    text: `INSERT INTO operations
        (organization_id, id, kind, verb, status, started_by, selection, changes, total, created_at, updated_at, sealed, until_id)
      VALUES ($1, $2, $3, $4, 'pending', $5, $6, $7, $8, $9, $9, $10, $11)`,
    values: [
      ...[tx.organizationId, given.id, given.kind, given.verb, given.started_by],
      ...[JSON.stringify(given.selection), JSON.stringify(given.changes), given.total, now],
      ...[given.sealed, given.until_id],
    ],
  });
  return {
    ...given,
    ...{ status: "pending", after_id: null, processed: 0, failed: 0, errors: [], error: null, version: 1 },
    ...{ created_at: now, updated_at: now, started_at: null, finished_at: null },
  };
}

/** @param isLocked nobody else goes on with it until the end of the transaction */
export async function findOperation(
  tx: Pick<UnitOfWork, "query">,
  id: string,
  isLocked = false,
): Promise<OperationRow | undefined> {
  const [row] = await tx.query<OperationRow>({
    name: isLocked ? "lock_operation" : "find_operation",
    text: `SELECT * FROM operations WHERE id = $1${isLocked ? " FOR UPDATE" : ""}`,
    values: [id],
  });
  return row;
}

export const isOver = ({ status }: Pick<OperationRow, "status">): boolean =>
  status === "completed" || status === "failed";

/**
 * Writes how far a locked operation has come, and tells who began it. One that is over forgets which records it was about and
 * what it wrote: persons may stand in it.
 */
export function storeProgress(
  tx: UnitOfWork,
  before: OperationRow,
  step: Partial<OperationRow>,
): OperationRow {
  const now = tx.now.toISOString();
  const row: OperationRow = {
    ...before,
    ...step,
    ...{ updated_at: now, started_at: before.started_at ?? now, version: before.version + 1 },
  };
  if (isOver(row))
    Object.assign(row, { finished_at: now, selection: { timeZone: "UTC" }, changes: {}, sealed: null });
  tx.defer({
    name: "update_operation",
    text: `UPDATE operations SET status = $2, selection = $3, changes = $4, after_id = $5, processed = $6, failed = $7,
        errors = $8, error = $9, updated_at = $10, started_at = $11, finished_at = $12, version = $13, sealed = $14
      WHERE id = $1`,
    values: [
      ...[row.id, row.status, JSON.stringify(row.selection), JSON.stringify(row.changes), row.after_id],
      ...[row.processed, row.failed, JSON.stringify(row.errors), row.error],
      ...[row.updated_at, row.started_at, row.finished_at, row.version, row.sealed],
    ],
  });
  tx.record({
    type: "operation.updated",
    entity: { kind: "operation", id: row.id, version: row.version },
    actorId: row.started_by,
    audience: [row.started_by],
    data: { operation: operationView(row) },
  });
  return row;
}
