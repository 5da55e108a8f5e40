import { User } from "../../../entities/control.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import type { Runtime } from "../../../mixins/contract/service.ts";
import { enqueue, type Ctx, type JobCtx } from "../../contracts.ts";
import { audit } from "../audit-log/audit-log.ts";
import { linkInvalid, passwordTooCommon } from "../identity.errors.ts";
import { accountsOf, getOrganization, getUser, markEmailVerified } from "../identity.repository.ts";
import { noteVerified } from "./email-verification.ts";
import { isEasilyGuessed } from "../identity.rules.ts";
import { linkHash, newLinkToken } from "./link-token.ts";
import { passwordMail } from "./mails.ts";
import { hashPasswordFor } from "./salts.ts";
import { announceEnd } from "../sessions/sessions.actions.ts";
import { endSessionsOf } from "../sessions/sessions.repository.ts";
import { hasRoom, resetCounters } from "./throttle.ts";

const validHours = 1;
/** Accounts of one address that a mail has links for. */
const mostAccounts = 5;

/**
 * Asks for a mail with a link. Whether there is such a user is found out by the job: the answer and its time
 * tell nothing. Asked for too often, no more mails are sent, which the answer does not tell either.
 */
export async function forgotPassword(ctx: Ctx<"identity.forgotPassword">): Promise<null> {
  const { tx } = ctx.locals;
  const { email, ip } = ctx.params;
  if (await hasRoom(tx, await resetCounters(tx, email, ip)))
    enqueue(tx, "identity.sendPasswordReset", { email }, { key: email });
  return null;
}

/**
 * Mails a link to the active user who has proved this email or, while nobody has, one for each account with it. Repeated, it
 * mails others, and all work.
 */
export async function sendPasswordReset(
  { database, mailer, env }: Runtime,
  ctx: JobCtx<"identity.sendPasswordReset">,
): Promise<void> {
  const { email } = ctx.params;
  const resets = await database.transaction({ platform: database.control }, async (tx) => {
    const made: { link: string; organizationId: string; organization: string }[] = [];
    for (const user of await accountsToReset(tx, email)) {
      // made here, the token is in no job that somebody could read; committed before the mail is on its way
      const { token, hash } = newLinkToken();
      await keepToken(tx, user, hash);
      const { organizationId } = user;
      const { name: organization } = await getOrganization(tx, organizationId);
      made.push({ link: `${env.PUBLIC_URL}/reset-password?token=${token}`, organizationId, organization });
    }
    return made;
  });
  const [first] = resets;
  if (first) await mailer.send({ organizationId: first.organizationId, to: email, ...passwordMail(resets) });
}

async function accountsToReset(tx: UnitOfWork, email: string): Promise<User[]> {
  const accounts = (await accountsOf(tx, email)).filter(({ isActive }) => isActive);
  return accounts.slice(0, accounts[0]?.emailVerifiedAt ? 1 : mostAccounts);
}

async function keepToken(tx: UnitOfWork, user: User, hash: string): Promise<void> {
  await tx.execute({
    text: `DELETE FROM control.password_resets WHERE user_id = $1 AND expires_at <= $2`,
    values: [user.id, tx.now],
  });
  await tx.execute({
    text: `INSERT INTO control.password_resets (hash, organization_id, user_id, expires_at)
      VALUES ($1, $2, $3, $4::timestamptz + $5 * interval '1 hour')`,
    values: [hash, user.organizationId, user.id, tx.now, validHours],
  });
}

/** Sets a new password and ends all sessions; the mail that came proves the address too. Of many with one token, one succeeds. */
export async function resetPassword(
  { database }: Runtime,
  ctx: Ctx<"identity.resetPassword">,
): Promise<null> {
  const { password } = ctx.params;
  const values = [linkHash(ctx.params.token)];
  // a transaction of its own: no connection is held while the password is hashed
  const asked = await database.transaction({ platform: database.control }, async (tx) => {
    const [reset] = await tx.query<{ user_id: string }>({
      name: "find_password_reset",
      text: "SELECT user_id FROM control.password_resets WHERE hash = $1 AND expires_at > now()",
      values,
    });
    return reset ? tx.em.findOne(User, { id: reset.user_id, isActive: true }) : null;
  });
  if (!asked) throw linkInvalid();
  if (isEasilyGuessed(password, [asked.name, asked.email])) throw passwordTooCommon();
  const passwordHash = await hashPasswordFor(database, asked.email, password);

  const { tx } = ctx.locals;
  const user = await getUser(tx, asked.id, { lock: true });
  const used = await tx.execute({
    name: "use_password_reset",
    text: "DELETE FROM control.password_resets WHERE hash = $1",
    values,
  });
  if (used === 0 || !user.isActive) throw linkInvalid();
  user.passwordHash = passwordHash;
  await tx.em.flush();
  await tx.execute({
    name: "forget_password_resets",
    text: "DELETE FROM control.password_resets WHERE user_id = $1",
    values: [user.id],
  });
  const [owner] = await accountsOf(tx, user.email);
  if (!owner?.emailVerifiedAt && (await markEmailVerified(tx, user.id))) noteVerified(tx, user, "mail");
  announceEnd(ctx.broker, tx, await endSessionsOf(tx, user.id, "password_reset"));
  const { id, organizationId } = user;
  audit(tx, { type: "user.password_reset", organizationId, actorId: null, subjectId: id });
  return null;
}
