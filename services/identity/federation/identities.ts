import { v7 as uuidv7 } from "uuid";
import type { User } from "../../../entities/control.ts";
import { requireRoomFor } from "../../../mixins/organizations/limits.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import type { Values } from "../../../mixins/records/finding/listing.ts";
import { readPage } from "../../../mixins/records/finding/page.ts";
import type { Ctx, Result } from "../../contracts.ts";
import { audit } from "../audit-log/audit-log.ts";
import { noPassword } from "./federated-sign-in.ts";
import { notAUser } from "../identity.errors.ts";
import { getUser } from "../identity.repository.ts";
import { identityListing, type IdentityView } from "./oauth.contract.ts";
import { identityNotFound, identityTaken, lastSignIn } from "./oauth.errors.ts";
import type { Claims } from "./oauth.rules.ts";
import type { Client } from "../sessions/sessions.repository.ts";

const columns = `id, provider, issuer, email, last_used_at AS "lastUsedAt", created_at AS "createdAt"`;

/** Whose account of a provider this is, and notes that it was used; null when nobody linked it. */
export async function useIdentity(tx: UnitOfWork, { issuer, subject }: Claims): Promise<string | null> {
  const [found] = await tx.query<{ user_id: string }>({
    name: "use_identity",
    text: `UPDATE control.identities SET last_used_at = $3 WHERE issuer = $1 AND subject = $2 RETURNING user_id`,
    values: [issuer, subject, tx.now],
  });
  return found?.user_id ?? null;
}

/** Links an account of a provider to a user. @throws 409 IDENTITY_TAKEN when it is linked, to whomever */
export async function linkIdentity(
  tx: UnitOfWork,
  { id: userId, organizationId }: User,
  { provider, claims, client }: { provider: string; claims: Claims; client: Client },
): Promise<IdentityView> {
  const { issuer, subject, email } = claims;
  const [linked] = await tx.query<IdentityView>({
    name: "link_identity",
    text: `INSERT INTO control.identities (id, organization_id, user_id, issuer, subject, provider, email, created_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (issuer, subject) DO NOTHING RETURNING ${columns}`,
    values: [uuidv7(), organizationId, userId, issuer, subject, provider, email, tx.now],
  });
  if (!linked) throw identityTaken();
  await requireRoomFor(tx, "identitiesOfUser", { of: userId, organizationId, adding: 0 });
  const details = { provider };
  audit(tx, {
    type: "identity.linked",
    organizationId,
    actorId: userId,
    subjectId: userId,
    ...client,
    details,
  });
  return linked;
}

interface IdentityRow {
  id: string;
  provider: string;
  issuer: string;
  email: string | null;
  last_used_at: string | null;
  created_at: string;
}
const identityView = (row: IdentityRow): IdentityView => ({
  id: row.id,
  provider: row.provider,
  issuer: row.issuer,
  email: row.email,
  lastUsedAt: row.last_used_at,
  createdAt: row.created_at,
});

/** The user's accounts of providers, oldest first. */
export async function listIdentities(
  ctx: Ctx<"identity.listIdentities">,
): Promise<Result<"identity.listIdentities">> {
  const { tx, principal } = ctx.locals;
  const ofUser = (values: Values) => [`user_id = ${values.add(principal.userId)}`];
  return readPage(tx, identityListing, ctx.params, identityView, ofUser);
}

/** Takes a link of the user away. The way in that is left last stays. */
export async function unlinkIdentity(ctx: Ctx<"identity.unlinkIdentity">): Promise<null> {
  const { tx, principal } = ctx.locals;
  if (principal.userId === null) throw notAUser();
  // locked, so that of two unlinked at once the second sees that it is the last
  const user = await getUser(tx, principal.userId, { lock: true });
  const links = await tx.query<{ id: string; provider: string }>({
    name: "links_of",
    text: "SELECT id, provider FROM control.identities WHERE user_id = $1",
    values: [user.id],
  });
  const link = links.find(({ id }) => id === ctx.params.id);
  if (!link) throw identityNotFound();
  if (links.length === 1 && user.passwordHash === noPassword) throw lastSignIn();
  await tx.execute({ text: "DELETE FROM control.identities WHERE id = $1", values: [link.id] });
  const { id: userId, organizationId } = user;
  const details = { provider: link.provider };
  audit(tx, { type: "identity.unlinked", organizationId, actorId: userId, subjectId: userId, details });
  return null;
}
