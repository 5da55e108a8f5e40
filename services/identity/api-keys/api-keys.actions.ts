import { v7 as uuidv7 } from "uuid";
import { can, forOwnKeys, type Principal } from "../../../mixins/access/principal.ts";
import { newApiKey, type FoundApiKey } from "../../../mixins/access/api-key.ts";
import type { SessionRevoked } from "../../../mixins/access/revocations.ts";
import { invalid, invalidField } from "../../../mixins/contract/errors.ts";
import { requireRoomFor } from "../../../mixins/organizations/limits.ts";
import type { Values } from "../../../mixins/records/finding/listing.ts";
import { readPage } from "../../../mixins/records/finding/page.ts";
import type { Ctx, Result } from "../../contracts.ts";
import { apiKeyListing, type ApiKeyView } from "./api-keys.contract.ts";
import { audit } from "../audit-log/audit-log.ts";
import { apiKeyColumns, findLiveKey, type ApiKeyRow } from "./api-keys.repository.ts";
import { apiKeyNotFound, notAUser } from "../identity.errors.ts";
import { announceEnd } from "../sessions/sessions.actions.ts";

const view = (row: ApiKeyRow): Partial<ApiKeyView> & { id: string } => ({
  id: row.id,
  name: row.name,
  prefix: row.prefix,
  scopes: row.scopes,
  userId: row.user_id,
  lastUsedAt: row.last_used_at,
  expiresAt: row.expires_at,
  createdAt: row.created_at,
});

/** Makes a key that may do what its scopes say, and never more than its user may do at the time. */
export async function createApiKey(
  ctx: Ctx<"identity.createApiKey">,
): Promise<Result<"identity.createApiKey">> {
  const { tx, principal } = ctx.locals;
  const { name, expiresAt } = ctx.params;
  if (principal.userId === null) throw notAUser();
  const scopes = [...new Set(ctx.params.scopes)];
  const refused = scopes.filter((scope) => forOwnKeys.includes(scope) || !isPermissionOf(principal, scope));
  if (refused.length > 0)
    throw invalid(
      refused.map((scope) => ({
        path: `scopes.${ctx.params.scopes.indexOf(scope)}`,
        code: "not_grantable",
        message: "This is no permission of yours that a key may have.",
      })),
    );
  if (expiresAt !== undefined && Date.parse(expiresAt) <= tx.now.getTime())
    throw invalidField("expiresAt", "in_the_past", "This time has passed.");
  await requireRoomFor(tx, "apiKeysOfUser", { of: principal.userId });
  await requireRoomFor(tx, "apiKeys");
  const { key, prefix, hash } = newApiKey();
  const made = {
    ...{ id: uuidv7(), name, prefix, scopes, userId: principal.userId },
    ...{ lastUsedAt: null, expiresAt: expiresAt ?? null, createdAt: tx.now.toISOString() },
  };
  await tx.execute({
    name: "create_api_key",
    text: `INSERT INTO control.api_keys
        (organization_id, id, user_id, name, prefix, hash, scopes, expires_at, created_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    values: [
      principal.organizationId,
      made.id,
      principal.userId,
      name,
      prefix,
      hash,
      scopes,
      expiresAt,
      tx.now,
    ],
  });
  const { organizationId, userId: actorId } = principal;
  const details = { name, prefix, scopes };
  audit(tx, { type: "api_key.created", organizationId, actorId, subjectId: made.id, details });
  return { ...made, key };
}

/** `session` and the like are words for other things than permissions. */
const isPermissionOf = (principal: Principal, scope: string): boolean =>
  scope.includes(":") && can(principal, scope);

/** Conditions of the live keys this principal may see: an admin everybody's, others their own. */
const visibleTo =
  (principal: Principal) =>
  (values: Values): string[] => [
    "revoked_at IS NULL",
    ...(principal.role === "admin" ? [] : [`user_id = ${values.add(principal.userId)}`]),
  ];

/** A page of the keys the caller may see. */
export async function listApiKeys(ctx: Ctx<"identity.listApiKeys">): Promise<Result<"identity.listApiKeys">> {
  const { tx, principal } = ctx.locals;
  return readPage(tx, apiKeyListing, ctx.params, view, visibleTo(principal));
}

/** One key the caller may see. */
export async function getApiKey(ctx: Ctx<"identity.getApiKey">): Promise<ApiKeyView> {
  const { tx, principal } = ctx.locals;
  const [row] = await tx.query<ApiKeyRow>({
    name: "get_api_key",
    text: `SELECT ${apiKeyColumns} FROM control.api_keys
      WHERE id = $1 AND revoked_at IS NULL AND ($2 OR user_id = $3)`,
    values: [ctx.params.id, principal.role === "admin", principal.userId],
  });
  if (!row) throw apiKeyNotFound();
  return view(row) as ApiKeyView;
}

/** Ends a key, and the sockets that were opened with it. */
export async function revokeApiKey(ctx: Ctx<"identity.revokeApiKey">): Promise<null> {
  const { tx, principal } = ctx.locals;
  const ended = await tx.query<SessionRevoked & { id: string }>({
    name: "revoke_api_key",
    text: `UPDATE control.api_keys SET revoked_at = $4
      WHERE id = $1 AND revoked_at IS NULL AND ($2 OR user_id = $3)
      RETURNING id AS "sessionId", organization_id AS "organizationId", user_id AS "userId"`,
    values: [ctx.params.id, principal.role === "admin", principal.userId, tx.now],
  });
  if (ended.length === 0) throw apiKeyNotFound();
  announceEnd(ctx.broker, tx, ended);
  const { organizationId, userId: actorId } = principal;
  audit(tx, { type: "api_key.revoked", organizationId, actorId, subjectId: ctx.params.id });
  return null;
}

/** For gateways: what a key stands for. */
export const findApiKey = (ctx: Ctx<"identity.findApiKey">): Promise<FoundApiKey | null> =>
  findLiveKey(ctx.locals.tx, ctx.params);
