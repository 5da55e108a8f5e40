import { v7 as uuidv7 } from "uuid";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import { kinds } from "../../../mixins/records/kind/kinds.ts";
import { readPage } from "../../../mixins/records/finding/page.ts";
import type { Ctx, Result } from "../../contracts.ts";
import { auditListing, exported, type AuditEntryView, type AuditType } from "./audit-log.contract.ts";

const keptDays = 400;

/** Something that happened to who may do what. */
export interface AuditEntry {
  type: AuditType;
  organizationId: string;
  /** Who did it; null where nobody was signed in. */
  actorId: string | null;
  /** Whom or what it was done to. */
  subjectId: string | null;
  ip?: string | undefined;
  userAgent?: string | undefined;
  /** Never a secret. */
  details?: Record<string, unknown>;
  /** Names the entry where it may be written again; default: a new one. */
  id?: string;
  /** Default: now. */
  at?: string;
}

/**
 * Writes an entry in the transaction of what happened. Without an entry the same statement writes nothing: a sign-in
 * as nobody takes as long as one as somebody.
 */
export function audit(tx: UnitOfWork, entry: AuditEntry | null): void {
  const {
    type,
    organizationId,
    actorId,
    subjectId,
    ip,
    userAgent,
    details = {},
    id = uuidv7(),
    at = tx.now,
  } = entry ?? ({} as AuditEntry);
  tx.defer({
    name: "append_audit_log",
    text: `INSERT INTO control.audit_log
        (organization_id, id, type, actor_id, subject_id, ip, user_agent, details, created_at)
      SELECT $1::uuid, $2::uuid, $3, $4::uuid, $5::uuid, $6, $7, $8::jsonb, $9::timestamptz WHERE $1 IS NOT NULL ON CONFLICT DO NOTHING`,
    values: [
      organizationId ?? null,
      id,
      type,
      actorId,
      subjectId,
      ip,
      userAgent,
      JSON.stringify(details),
      at,
    ],
  });
}

interface AuditRow {
  id: string;
  type?: AuditType;
  actor_id?: string | null;
  subject_id?: string | null;
  ip?: string | null;
  user_agent?: string | null;
  details?: Record<string, unknown>;
  created_at?: string;
}
const view = (row: AuditRow): Partial<AuditEntryView> & { id: string } => ({
  id: row.id,
  type: row.type,
  actorId: row.actor_id,
  subjectId: row.subject_id,
  ip: row.ip,
  userAgent: row.user_agent,
  details: row.details,
  createdAt: row.created_at,
});

/** Notes an export before it begins. */
export function noteExport(ctx: Ctx<"identity.noteExport">): Promise<null> {
  const { organizationId, userId: actorId } = ctx.locals.principal;
  const { kind, ...details } = ctx.params;
  const type = exported(kinds.get(kind)?.plural ?? "leads");
  audit(ctx.locals.tx, { type, organizationId, actorId, subjectId: null, details });
  return Promise.resolve(null);
}

/** A page of the organization's audit log. */
export async function listAuditLog(
  ctx: Ctx<"identity.listAuditLog">,
): Promise<Result<"identity.listAuditLog">> {
  return readPage(ctx.locals.tx, auditListing, ctx.params, view);
}

/** Forgets entries older than 400 days, some thousands at a time. */
export async function forgetOldEntries(tx: UnitOfWork): Promise<void> {
  await tx.execute({
    text: `DELETE FROM control.audit_log WHERE id IN (SELECT id FROM control.audit_log
      WHERE created_at < now() - $1 * interval '1 day' LIMIT 10000)`,
    values: [keptDays],
  });
}
