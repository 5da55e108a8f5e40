import type { QueryResultRow } from "pg";
import { v7 as uuidv7 } from "uuid";
import type { Values } from "../../../mixins/records/finding/listing.ts";
import { readPage } from "../../../mixins/records/finding/page.ts";
import { User } from "../../../entities/control.ts";
import { can, covers, type Principal } from "../../../mixins/access/principal.ts";
import type { Runtime } from "../../../mixins/contract/service.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import { requireRoomFor } from "../../../mixins/organizations/limits.ts";
import { enqueue, type Ctx, type JobCtx, type Result } from "../../contracts.ts";
import { audit } from "../audit-log/audit-log.ts";
import type { SignedIn } from "../identity.contract.ts";
import {
  emailTaken,
  inviteNotFound,
  linkInvalid,
  passwordTooCommon,
  tooManyInvites,
} from "../identity.errors.ts";
import { findUserByEmail, flushUser, getOrganization } from "../identity.repository.ts";
import { isEasilyGuessed } from "../identity.rules.ts";
import { inviteListing, type InviteView } from "./invites.contract.ts";
import { addressCounters, inviteCounters } from "./mail-limits.ts";
import { linkHash, newLinkToken } from "../sign-in/link-token.ts";
import { inviteMail } from "../sign-in/mails.ts";
import { hashPasswordFor } from "../sign-in/salts.ts";
import { countOrWait, giveBack, takeRoom, waitFor } from "../sign-in/throttle.ts";
import { holdRights, requireCovered, requireGrantable } from "../roles/roles.repository.ts";
import { requireUserRoom } from "../organizations/quotas.ts";
import { openSession } from "../sessions/sessions.repository.ts";
import { signedIn, type SignInParts } from "../sign-in/sign-in.actions.ts";

const validDays = 7;
const columns = `id, name, email, role, invited_by AS "invitedBy", mailed_at AS "mailedAt",
  mail_delayed_until AS "mailDelayedUntil", expires_at AS "expiresAt", created_at AS "createdAt"`;
type InviteFields = Omit<InviteView, "isValid">;

/**
 * Invites somebody. The same email again: the earlier invitation is replaced, its link ends. Who is known elsewhere is found
 * out by nobody but the person, who accepts. Where the address has had as many mails as it may, the answer says until when this waits.
 * @throws 429 TOO_MANY_INVITES
 */
export async function inviteUser(
  { database }: Runtime,
  ctx: Ctx<"identity.inviteUser">,
): Promise<Result<"identity.inviteUser">> {
  const { organizationId } = ctx.locals.principal;
  // before this transaction holds a connection
  const counters = await database.transaction({ control: organizationId }, (before) =>
    inviteCounters(before, organizationId, ctx.params.email),
  );
  await takeRoom(database, counters, tooManyInvites);
  const waitSeconds = await database.transaction({ platform: database.control }, async (before) =>
    waitFor(before, await addressCounters(before, organizationId, ctx.params.email)),
  );
  try {
    return await storeInvite(ctx, waitSeconds);
  } catch (error) {
    await ctx.locals.tx.rollback();
    await giveBack(database, counters);
    throw error;
  }
}

async function storeInvite(
  ctx: Ctx<"identity.inviteUser">,
  waitSeconds: number,
): Promise<Result<"identity.inviteUser">> {
  const { tx, principal } = ctx.locals;
  const { name, email, role } = ctx.params;
  const { organizationId, userId: actorId } = principal;
  if (await findUserByEmail(tx, email)) throw emailTaken();
  const [replaced] = await tx.query<{ role: string }>({
    text: "SELECT role FROM control.invites WHERE email = $1 AND expires_at > $2 FOR UPDATE",
    values: [email, tx.now],
  });
  if (replaced) await requireCovered(tx, principal, replaced.role);
  await requireGrantable(tx, principal, role);
  const [invite] = await tx.query<InviteFields>({
    name: "invite_user",
    text: `INSERT INTO control.invites
        (organization_id, id, name, email, role, invited_by, mail_delayed_until, expires_at, created_at)
      VALUES ($1, $2, $3, $4, $5, $8, CASE WHEN $9 > 0 THEN $6::timestamptz + $9 * interval '1 s' END,
        $6::timestamptz + $7 * interval '1 day', $6)
      ON CONFLICT (organization_id, email) DO UPDATE SET id = excluded.id, name = excluded.name,
        role = excluded.role, invited_by = excluded.invited_by, hash = NULL, mailed_at = NULL,
        mail_delayed_until = excluded.mail_delayed_until, expires_at = excluded.expires_at, created_at = excluded.created_at
      RETURNING ${columns}`,
    values: [tx.organizationId, uuidv7(), name, email, role, tx.now, validDays, actorId, waitSeconds],
  });
  if (!invite) throw new Error("An invitation was written and not answered");
  await requireRoomFor(tx, "invites", { adding: 0 });
  enqueue(tx, "identity.sendInvite", { inviteId: invite.id }, { delayMs: waitSeconds * 1000 });
  audit(tx, { type: "user.invited", organizationId, actorId, subjectId: invite.id, details: { role } });
  return { ...invite, isValid: true, status: "pending" };
}

interface InviteRow extends QueryResultRow {
  id: string;
  name: string;
  email: string;
  role: string;
  invited_by: string | null;
  mailed_at: string | null;
  mail_delayed_until: string | null;
  expires_at: string;
  created_at: string;
}
const inviteView = (row: InviteRow): InviteFields => ({
  id: row.id,
  name: row.name,
  email: row.email,
  role: row.role,
  invitedBy: row.invited_by,
  mailedAt: row.mailed_at,
  mailDelayedUntil: row.mail_delayed_until,
  expiresAt: row.expires_at,
  createdAt: row.created_at,
});

/** Invitations that wait for an answer. */
export async function listInvites(ctx: Ctx<"identity.listInvites">): Promise<Result<"identity.listInvites">> {
  const { tx } = ctx.locals;
  const waiting = (values: Values) => [`expires_at > ${values.add(tx.now)}`];
  const { data, page } = await readPage(tx, inviteListing, ctx.params, inviteView, waiting);
  const valid = await validAmong(
    tx,
    data.map(({ id }) => id),
  );
  return { data: data.map((invite) => ({ ...invite, isValid: valid.has(invite.id) })), page };
}

/** One invitation that waits for an answer. @throws 404 */
export async function getInvite(ctx: Ctx<"identity.getInvite">): Promise<InviteView> {
  const { tx } = ctx.locals;
  const [invite] = await tx.query<InviteFields & QueryResultRow>({
    name: "get_invite",
    text: `SELECT ${columns} FROM control.invites WHERE id = $1 AND expires_at > $2`,
    values: [ctx.params.id, tx.now],
  });
  if (!invite) throw inviteNotFound();
  return { ...invite, isValid: (await validAmong(tx, [invite.id])).has(invite.id) };
}

/** Which of these invitations count now. */
async function validAmong(tx: UnitOfWork, ids: string[]): Promise<ReadonlySet<string>> {
  const { organizationId } = tx;
  const givings = await tx.query<{ role: string; invitedBy: string | null; ids: string[] }>({
    name: "givers_of_invites",
    text: `SELECT role, invited_by AS "invitedBy", array_agg(id)::text[] AS ids FROM control.invites
      WHERE id = ANY ($1::uuid[]) GROUP BY role, invited_by`,
    values: [ids],
  });
  const valid = new Set<string>();
  for (const { ids: given, ...giving } of givings)
    if (await couldStillInvite(tx, { organizationId, ...giving }, "")) for (const id of given) valid.add(id);
  return valid;
}

/** Takes an invitation back: its link ends. */
export async function revokeInvite(ctx: Ctx<"identity.revokeInvite">): Promise<null> {
  const { tx, principal } = ctx.locals;
  const [revoked] = await tx.query<{ role: string }>({
    name: "revoke_invite",
    text: "DELETE FROM control.invites WHERE id = $1 RETURNING role",
    values: [ctx.params.id],
  });
  if (!revoked) throw inviteNotFound();
  await requireCovered(tx, principal, revoked.role);
  return null;
}

/**
 * Mails an invitation that still waits and counts; where the address has had enough of such mails, later, which the invitation says.
 * Repeated, it mails another link, and only the last works.
 */
export async function sendInvite(
  { runtime: { database, mailer, env } }: SignInParts,
  ctx: JobCtx<"identity.sendInvite">,
): Promise<void> {
  const { organizationId } = ctx.locals.tx;
  const { inviteId } = ctx.params;
  const inControl = <T>(work: (tx: UnitOfWork) => Promise<T>) =>
    database.transaction({ platform: database.control }, work);
  // made here, the token is in no job that somebody could read; committed before the mail is on its way
  const { token, hash } = newLinkToken();
  const mail = await inControl(async (tx) => {
    const [found] = await tx.query<{ email: string; role: string; invitedBy: string | null }>({
      text: `SELECT email, role, invited_by AS "invitedBy" FROM control.invites
        WHERE id = $1 AND expires_at > $2 FOR UPDATE`,
      values: [inviteId, tx.now],
    });
    if (!found || !(await couldStillInvite(tx, { ...found, organizationId }))) return null;
    const counters = await addressCounters(tx, organizationId, found.email);
    const waitSeconds = await countOrWait(tx, counters);
    await tx.execute({
      text:
        waitSeconds > 0
          ? "UPDATE control.invites SET mail_delayed_until = now() + $2 * interval '1 s' WHERE id = $1"
          : "UPDATE control.invites SET mail_delayed_until = NULL, hash = $2 WHERE id = $1",
      values: [inviteId, waitSeconds > 0 ? waitSeconds : hash],
    });
    if (waitSeconds > 0) return { waitSeconds };
    const { name } = await getOrganization(tx, organizationId);
    const message = inviteMail(`${env.PUBLIC_URL}/accept-invite?token=${token}`, name);
    return { counters, to: found.email, ...message };
  });
  if (!mail) return;
  if (mail.waitSeconds !== undefined) {
    enqueue(ctx.locals.tx, "identity.sendInvite", { inviteId }, { delayMs: mail.waitSeconds * 1000 });
    return;
  }
  const { counters, ...message } = mail;
  try {
    await mailer.send({ organizationId, ...message });
  } catch (error) {
    await giveBack(database, counters);
    throw error;
  }
  const values = [inviteId, hash];
  const text = "UPDATE control.invites SET mailed_at = now() WHERE id = $1 AND hash = $2";
  await inControl((tx) => tx.execute({ text, values }));
}

/**
 * Whether whoever invited is active and could still give this role.
 * @param tx the organization's or the platform's
 * @param lock until the end of the transaction that stays so
 */
export async function couldStillInvite(
  tx: UnitOfWork,
  { organizationId, invitedBy, role }: { organizationId: string; invitedBy: string | null; role: string },
  lock: "" | "FOR SHARE" = "FOR SHARE",
): Promise<boolean> {
  const [inviter] = await tx.query<{ role: string }>({
    text: `SELECT role FROM control.users WHERE organization_id = $1 AND id = $2 AND is_active ${lock}`,
    values: [organizationId, invitedBy],
  });
  const theirs = inviter && (await holdRights(tx, inviter.role, lock));
  const given = await holdRights(tx, role, lock);
  if (!inviter || !theirs || !given) return false;
  const principal: Principal = { organizationId, userId: invitedBy, role: inviter.role, rights: theirs };
  return can(principal, "users:create") && covers(principal, given);
}

interface Invited {
  name: string;
  email: string;
  role: string;
  invitedBy: string | null;
}

/**
 * Makes the invited user, with a password of their own, and signs them in; the mail that came proves the address. Of many with one
 * token, one succeeds.
 * @throws 400 LINK_INVALID also when whoever invited could not do so any more, 409 EMAIL_TAKEN when the person has proved the
 *   address with another account
 */
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
  const passwordHash = await hashPasswordFor(database, invited.email, password);

  const { tx } = ctx.locals;
  const [invite] = await tx.query<Invited & { organizationId: string }>({
    name: "use_invite",
    text: `DELETE FROM control.invites WHERE ${where}
      RETURNING organization_id AS "organizationId", name, email, role, invited_by AS "invitedBy"`,
    values,
  });
  if (!invite || !(await couldStillInvite(tx, invite))) throw linkInvalid();
  await requireUserRoom(tx, invite.organizationId);
  const { invitedBy: _, ...person } = invite;
  const proof = { emailVerifiedAt: tx.now };
  const user = tx.em.create(User, { ...person, ...proof, passwordHash, lastLoginAt: tx.now });
  await flushUser(tx);
  const organization = await getOrganization(tx, user.organizationId);
  const details = { role: user.role };
  const joined = { organizationId: organization.id, actorId: user.id, subjectId: user.id, details };
  audit(tx, { type: "user.joined", ...joined, ...client });
  return signedIn(issuer, user, organization, await openSession(tx, sealedBox, user, client));
}
