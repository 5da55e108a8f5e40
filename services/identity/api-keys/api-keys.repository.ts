import { timingSafeEqual } from "node:crypto";
import type { ApiKeyDigest, FoundApiKey } from "../../../mixins/access/api-key.ts";
import type { SessionRevoked } from "../../../mixins/access/revocations.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import type { EndReason } from "../identity.rules.ts";

/** A row of control.api_keys; columns nobody asked for are absent. */
export interface ApiKeyRow {
  id: string;
  name?: string;
  prefix?: string;
  scopes?: string[];
  user_id?: string;
  last_used_at?: string | null;
  expires_at?: string | null;
  created_at?: string;
}

export const apiKeyColumns = "id, name, prefix, scopes, user_id, last_used_at, expires_at, created_at";

/** How far behind the time of last use may be. */
const noteUseEverySeconds = 60;

/**
 * The live key of an active user, or null; notes its use once a minute. In a platform transaction: nobody is
 * known yet.
 */
export async function findLiveKey(
  tx: UnitOfWork,
  { prefix, hash }: ApiKeyDigest,
): Promise<FoundApiKey | null> {
  const [row] = await tx.query<FoundApiKey & { hash: string; isUseNoted: boolean }>({
    name: "find_api_key",
    text: `SELECT k.id, k.organization_id AS "organizationId", k.user_id AS "userId", u.role, k.scopes,
        k.expires_at AS "expiresAt", k.hash,
        COALESCE(k.last_used_at > now() - $2 * interval '1 s', false) AS "isUseNoted"
      FROM control.api_keys k JOIN control.users u ON u.id = k.user_id
        JOIN control.organizations o ON o.id = k.organization_id
      WHERE k.prefix = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
        AND u.is_active AND o.suspended_at IS NULL AND o.deletion_due_at IS NULL`,
    values: [prefix, noteUseEverySeconds],
  });
  if (!row || !timingSafeEqual(Buffer.from(row.hash), Buffer.from(hash))) return null;
  const { isUseNoted, hash: _, ...key } = row;
  if (!isUseNoted)
    tx.defer({
      name: "note_use_of_api_key",
      text: `UPDATE control.api_keys SET last_used_at = now()
        WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= now() - $2 * interval '1 s')`,
      values: [key.id, noteUseEverySeconds],
    });
  return key;
}

/**
 * Answers the user's keys that every node must look at again, because the user's standing has changed. Of a user
 * who was deactivated they end.
 */
export const restrictKeysOf = (
  tx: UnitOfWork,
  userId: string,
  because: EndReason,
): Promise<SessionRevoked[]> =>
  tx.query({
    name: "restrict_keys_of",
    text: `UPDATE control.api_keys SET revoked_at = CASE WHEN $2 THEN $3::timestamptz END
      WHERE user_id = $1 AND revoked_at IS NULL
      RETURNING id AS "sessionId", organization_id AS "organizationId", user_id AS "userId"`,
    values: [userId, because === "deactivated", tx.now],
  });
