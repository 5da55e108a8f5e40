import { Session, type User } from "../../../entities/control.ts";
import type { SessionRevoked } from "../../../mixins/access/revocations.ts";
import { mostSessionsOfUser } from "../../../mixins/organizations/limits.ts";
import { suspended } from "../../../mixins/organizations/organizations.ts";
import type { SealedBox } from "../../../mixins/encryption/sealed-box.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import type { Values } from "../../../mixins/records/finding/listing.ts";
import type { SessionView } from "../identity.contract.ts";
import type { EndReason } from "../identity.rules.ts";
import { newRefreshToken, refreshLifetimeMs } from "./refresh-token.ts";

/** Where a sign-in came from, as the gateway saw it. */
export interface Client {
  userAgent?: string | undefined;
  ip?: string | undefined;
}

const keepEndedMs = 30 * 24 * 3_600_000;

/**
 * Begins a session of the user, ends the one used longest ago where there are too many, and forgets those that expired a
 * month ago. Answers its first refresh token.
 * @throws 403 ORGANIZATION_SUSPENDED
 */
export async function openSession(
  tx: UnitOfWork,
  sealedBox: SealedBox,
  user: User,
  { userAgent, ip }: Client,
): Promise<{ sessionId: string; refreshToken: string }> {
  await requireActive(tx, user.organizationId);
  const session = tx.em.create(Session, {
    organizationId: user.organizationId,
    userId: user.id,
    refreshHash: "",
    userAgent,
    ip,
    lastUsedAt: tx.now,
    expiresAt: new Date(tx.now.getTime() + refreshLifetimeMs),
  });
  const { token, hash } = newRefreshToken(sealedBox, session.id);
  session.refreshHash = hash;
  await tx.em.flush();
  tx.defer({
    name: "end_superfluous_sessions",
    text: `WITH ended AS (
        UPDATE control.sessions SET revoked_at = $3, revoked_because = $5, updated_at = $3, version = version + 1
        WHERE id IN (SELECT id FROM control.sessions
          WHERE organization_id = $1 AND user_id = $2 AND revoked_at IS NULL AND expires_at > $3
          ORDER BY last_used_at DESC, id DESC OFFSET $4)
        RETURNING id
      ) INSERT INTO control.revocations (id, organization_id, user_id, session_id)
      SELECT gen_random_uuid(), $1, $2, id FROM ended`,
    values: [user.organizationId, user.id, tx.now, mostSessionsOfUser, "superseded" satisfies EndReason],
  });
  tx.defer({
    name: "forget_sessions",
    text: "DELETE FROM control.sessions WHERE organization_id = $1 AND user_id = $2 AND expires_at < $3",
    values: [user.organizationId, user.id, new Date(tx.now.getTime() - keepEndedMs)],
  });
  return { sessionId: session.id, refreshToken: token };
}

/** Lets no suspension begin until this transaction ends. @throws 403 ORGANIZATION_SUSPENDED */
export async function requireActive(tx: UnitOfWork, organizationId: string): Promise<void> {
  const active = await tx.query({
    name: "require_active_organization",
    text: `SELECT FROM control.organizations WHERE id = $1 AND suspended_at IS NULL AND deletion_due_at IS NULL
      FOR SHARE`,
    values: [organizationId],
  });
  if (active.length === 0) throw suspended();
}

/**
 * Replaces the refresh token of a live session, if `oldHash` is of its current one: of many who try
 * with the same token, one succeeds. Answers whose session it is, or null.
 */
export async function rotateRefreshToken(
  tx: UnitOfWork,
  rotation: { sessionId: string; oldHash: string; newHash: string; client: Client },
): Promise<{ userId: string; organizationId: string } | null> {
  const { sessionId, oldHash, newHash, client } = rotation;
  const [session] = await tx.query<{ userId: string; organizationId: string }>({
    name: "rotate_refresh_token",
    text: `UPDATE control.sessions
      SET refresh_hash = $3, last_used_at = $4, updated_at = $4, expires_at = $5, version = version + 1,
        user_agent = COALESCE($6, user_agent), ip = COALESCE($7, ip)
      WHERE id = $1 AND refresh_hash = $2 AND revoked_at IS NULL AND expires_at > $4
      RETURNING user_id AS "userId", organization_id AS "organizationId"`,
    values: [
      sessionId,
      oldHash,
      newHash,
      tx.now,
      new Date(tx.now.getTime() + refreshLifetimeMs),
      client.userAgent,
      client.ip,
    ],
  });
  return session ?? null;
}

/** Conditions of the sessions of a user that have not ended. */
export const liveSessionsOf =
  (userId: string, now: Date) =>
  (values: Values): string[] => [
    `user_id = ${values.add(userId)}`,
    "revoked_at IS NULL",
    `expires_at > ${values.add(now)}`,
  ];

interface SessionRow {
  id: string;
  user_agent: string | null;
  ip: string | null;
  last_used_at: string;
  expires_at: string;
  created_at: string;
}
/** A session as its user sees it. @param currentId the one that asks */
export const sessionView =
  (currentId: string | undefined) =>
  (row: SessionRow): SessionView => ({
    id: row.id,
    userAgent: row.user_agent,
    ip: row.ip,
    isCurrent: row.id === currentId,
    lastUsedAt: row.last_used_at,
    expiresAt: row.expires_at,
    createdAt: row.created_at,
  });

/** Ends a session, if it has not ended. Answers it, or nothing. */
export const endSession = (tx: UnitOfWork, id: string, because: EndReason): Promise<SessionRevoked[]> =>
  tx.query({ name: "end_session", text: endWhere("id = $1"), values: [id, because, tx.now] });

/** As `endSession`, of this user's sessions only. */
export const endOwnSession = (
  tx: UnitOfWork,
  userId: string,
  id: string,
  because: EndReason,
): Promise<SessionRevoked[]> =>
  tx.query({
    name: "end_own_session",
    text: endWhere("id = $1 AND user_id = $4"),
    values: [id, because, tx.now, userId],
  });

/** Ends every session of a user. Answers those that had not ended. */
export const endSessionsOf = (
  tx: UnitOfWork,
  userId: string,
  because: EndReason,
): Promise<SessionRevoked[]> =>
  tx.query({ name: "end_sessions_of", text: endWhere("user_id = $1"), values: [userId, because, tx.now] });

/** As `endSessionsOf`, but for one. */
export const endOtherSessionsOf = (
  tx: UnitOfWork,
  userId: string,
  id: string,
  because: EndReason,
): Promise<SessionRevoked[]> =>
  tx.query({
    name: "end_other_sessions_of",
    text: endWhere("user_id = $1 AND id <> $4"),
    values: [userId, because, tx.now, id],
  });

const endWhere = (condition: string): string => `UPDATE control.sessions
  SET revoked_at = $3, revoked_because = $2, updated_at = $3, version = version + 1
  WHERE ${condition} AND revoked_at IS NULL AND expires_at > $3
  RETURNING id AS "sessionId", organization_id AS "organizationId", user_id AS "userId"`;
