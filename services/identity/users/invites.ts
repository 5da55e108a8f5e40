import type { QueryResultRow } from "pg";
import { v7 as uuidv7 } from "uuid";
import type { Values } from "../../../mixins/records/listing.ts";
import { readPage } from "../../../mixins/records/page.ts";
import { User } from "../../../entities/control.ts";
import { requireRoomFor } from "../../../mixins/organizations/limits.ts";
import { enqueue, type Ctx, type JobCtx, type Result } from "../../contracts.ts";
import { audit } from "../audit-log/audit-log.ts";
import type { SignedIn } from "../identity.contract.ts";
import { emailTaken, inviteNotFound, linkInvalid, passwordTooCommon } from "../identity.errors.ts";
import { findUserByEmail, flushUser, getOrganization } from "../identity.repository.ts";
import { isEasilyGuessed } from "../identity.rules.ts";
import { inviteListing, type InviteView } from "./invites.contract.ts";
import { linkHash, newLinkToken } from "../sign-in/link-token.ts";
import { hashPassword } from "../sign-in/passwords.ts";
import { requireGrantable } from "../roles/roles.repository.ts";
import { requireUserRoom } from "../organizations/quotas.ts";
import { openSession } from "../sessions/sessions.repository.ts";
import { signedIn, type SignInParts } from "../sign-in/sign-in.actions.ts";

const validDays = 7;
const columns = `id, name, email, role, expires_at AS "expiresAt", created_at AS "createdAt"`;

/** Invites somebody. The same email again: the earlier invitation is replaced, its link ends. */
export async function inviteUser(ctx: Ctx<"identity.inviteUser">): Promise<Result<"identity.inviteUser">> {
  const { tx } = ctx.locals;
  const { name, email, role } = ctx.params;
  // only in this organization: what other organizations have is found out by who accepts
  if (await findUserByEmail(tx, email)) throw emailTaken();
  await requireGrantable(tx, ctx.locals.actor, role);
  const [invite] = await tx.query<InviteView>({
    name: "invite_user",
    text: `INSERT INTO control.invites (organization_id, id, name, email, role, expires_at, created_at)
      VALUES ($1, $2, $3, $4, $5, $6::timestamptz + $7 * interval '1 day', $6)
      ON CONFLICT (organization_id, email) DO UPDATE SET id = excluded.id, name = excluded.name,
        role = excluded.role, hash = NULL, expires_at = excluded.expires_at, created_at = excluded.created_at
      RETURNING ${columns}`,
    values: [tx.organizationId, uuidv7(), name, email, role, tx.now, validDays],
  });
  if (!invite) throw new Error("An invitation was written and not answered");
  await requireRoomFor(tx, "invites", { adding: 0 });
  enqueue(tx, "identity.sendInvite", { inviteId: invite.id });
  const { organizationId, userId: actorId } = ctx.locals.actor;
  audit(tx, { type: "user.invited", organizationId, actorId, subjectId: invite.id, details: { role } });
  return { ...invite, status: "pending" };
}

interface InviteRow extends QueryResultRow {
  id: string;
  name: string;
  email: string;
  role: string;
  expires_at: string;
  created_at: string;
}
const inviteView = (row: InviteRow): InviteView => ({
  id: row.id,
  name: row.name,
  email: row.email,
  role: row.role,
  expiresAt: row.expires_at,
  createdAt: row.created_at,
});

/** Invitations that wait for an answer. */
export async function listInvites(ctx: Ctx<"identity.listInvites">): Promise<Result<"identity.listInvites">> {
  const { tx } = ctx.locals;
  const waiting = (values: Values) => [`expires_at > ${values.add(tx.now)}`];
  return readPage(tx, inviteListing, ctx.params, inviteView, waiting);
}

/** One invitation that waits for an answer. @throws 404 */
export async function getInvite(ctx: Ctx<"identity.getInvite">): Promise<InviteView> {
  const { tx } = ctx.locals;
  const [invite] = await tx.query<InviteView & Record<string, unknown>>({
    name: "get_invite",
    text: `SELECT ${columns} FROM control.invites WHERE id = $1 AND expires_at > $2`,
    values: [ctx.params.id, tx.now],
  });
  if (!invite) throw inviteNotFound();
  return invite;
}

/** Takes an invitation back: its link ends. */
export async function revokeInvite(ctx: Ctx<"identity.revokeInvite">): Promise<null> {
  const revoked = await ctx.locals.tx.execute({
    name: "revoke_invite",
    text: "DELETE FROM control.invites WHERE id = $1",
    values: [ctx.params.id],
  });
  if (revoked === 0) throw inviteNotFound();
  return null;
}

/** Mails an invitation that still waits. Repeated, it mails another link, and only the last works. */
export async function sendInvite(
  { runtime: { database, mailer, env } }: SignInParts,
  ctx: JobCtx<"identity.sendInvite">,
): Promise<void> {
  const { organizationId } = ctx.locals.tx;
  // made here, the token is in no job that somebody could read; committed before the mail is on its way
  const { token, hash } = newLinkToken();
  const invite = await database.transaction({ control: organizationId }, async (tx) => {
    const [found] = await tx.query<{ name: string; email: string }>({
      text: "UPDATE control.invites SET hash = $2 WHERE id = $1 AND expires_at > $3 RETURNING name, email",
      values: [ctx.params.inviteId, hash, tx.now],
    });
    return found && { ...found, organization: (await getOrganization(tx, organizationId)).name };
  });
  if (!invite) return;
  await mailer.send({
    organizationId,
    to: invite.email,
    subject: "You are invited to Sangam",
    text: `Hello ${invite.name},

${invite.organization} invites you to work with them in Sangam. The link works once, within a week:

${env.PUBLIC_URL}/accept-invite?token=${token}

If you do not know them, do nothing.
`,
  });
}

/** Makes the invited user, with a password of their own, and signs them in. Of many with one token, one succeeds. */
export async function acceptInvite(
  { runtime: { database, sealedBox }, issuer }: SignInParts,
  ctx: Ctx<"identity.acceptInvite">,
): Promise<SignedIn> {
  const { token, password, ...client } = ctx.params;
  const values = [linkHash(token)];
  const where = "hash = $1 AND expires_at > now()";
  // a transaction of its own: no connection is held while the password is hashed
  const [invited] = await database.transaction({ platform: database.control }, (tx) =>
    tx.query<{ name: string; email: string }>({
      name: "find_invite",
      text: `SELECT name, email FROM control.invites WHERE ${where}`,
      values,
    }),
  );
  if (!invited) throw linkInvalid();
  if (isEasilyGuessed(password, [invited.name, invited.email])) throw passwordTooCommon();
  const passwordHash = await hashPassword(password);

  const { tx } = ctx.locals;
  const [invite] = await tx.query<{ organizationId: string; name: string; email: string; role: string }>({
    name: "use_invite",
    text: `DELETE FROM control.invites WHERE ${where}
      RETURNING organization_id AS "organizationId", name, email, role`,
    values,
  });
  if (!invite) throw linkInvalid();
  await requireUserRoom(tx, invite.organizationId);
  const user = tx.em.create(User, { ...invite, passwordHash, lastLoginAt: tx.now });
  await flushUser(tx);
  const organization = await getOrganization(tx, user.organizationId);
  const details = { role: user.role };
  const joined = { organizationId: organization.id, actorId: user.id, subjectId: user.id, details };
  audit(tx, { type: "user.joined", ...joined, ...client });
  return signedIn(issuer, user, organization, await openSession(tx, sealedBox, user, client));
}
