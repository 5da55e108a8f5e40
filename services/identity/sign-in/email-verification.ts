import type { User } from "../../../entities/control.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import type { Runtime } from "../../../mixins/contract/service.ts";
import { enqueue, type Ctx, type JobCtx } from "../../contracts.ts";
import { audit } from "../audit-log/audit-log.ts";
import { linkInvalid, notAUser, tooManyAttempts } from "../identity.errors.ts";
import { accountsOf, getOrganization, getUser, markEmailVerified } from "../identity.repository.ts";
import { linkHash, newLinkToken } from "./link-token.ts";
import { knownElsewhereMail, verificationMail } from "./mails.ts";
import { countOrWait, giveBack, takeRoom, verificationCounters, type Counter } from "./throttle.ts";
import { noticeCounters } from "../users/mail-limits.ts";

const validDays = 7;

/** Has the user of a new account mailed a link to prove the address; nothing where no mail can be sent. */
export function askForProof({ mailer }: Pick<Runtime, "mailer">, tx: UnitOfWork, user: User): void {
  if (!mailer.isConfigured) return;
  const { id: userId, organizationId } = user;
  enqueue(tx, "identity.sendVerification", { userId }, { key: userId, organizationId });
}

/** Mails the caller another link. @throws 429 TOO_MANY_ATTEMPTS */
export async function resendVerification(
  runtime: Runtime,
  ctx: Ctx<"identity.resendVerification">,
): Promise<null> {
  const { tx, principal } = ctx.locals;
  if (principal.userId === null) throw notAUser();
  const { userId, organizationId } = principal;
  const { database } = runtime;
  const user = await database.transaction({ control: organizationId }, (before) => getUser(before, userId));
  if (user.emailVerifiedAt) return null;
  await takeRoom(database, verificationCounters(user), tooManyAttempts);
  enqueue(tx, "identity.sendVerification", { userId, isAsked: true }, { key: userId });
  return null;
}

/**
 * Mails a link to prove an address, unless that is done; where the address has had enough of such mails, later. Somebody who has
 * proved it with another account is told so instead. Repeated, it mails another link, and both work.
 */
export async function sendVerification(
  { database, mailer, env }: Runtime,
  ctx: JobCtx<"identity.sendVerification">,
): Promise<void> {
  const { organizationId } = ctx.locals.tx;
  const { userId, isAsked } = ctx.params;
  const { token, hash } = newLinkToken();
  const mail = await database.transaction({ platform: database.control }, async (tx) => {
    const user = await getUser(tx, userId);
    if (!user.isActive || user.emailVerifiedAt) return null;
    // who asked was counted then
    const counters = isAsked ? [] : await countersOf(tx, user);
    const waitSeconds = counters.length === 0 ? 0 : await countOrWait(tx, counters);
    if (waitSeconds > 0) return { waitSeconds };
    const { name } = await getOrganization(tx, organizationId);
    const owner = (await accountsOf(tx, user.email)).find(({ emailVerifiedAt }) => emailVerifiedAt);
    if (owner) return { to: user.email, counters, ...knownElsewhereMail(name) };
    await keepToken(tx, user, hash);
    const link = `${env.PUBLIC_URL}/verify-email?token=${token}`;
    return { to: user.email, counters, ...verificationMail(link, name) };
  });
  if (!mail) return;
  if (mail.waitSeconds !== undefined) {
    const later = { key: userId, delayMs: mail.waitSeconds * 1000 };
    enqueue(ctx.locals.tx, "identity.sendVerification", { userId }, later);
    return;
  }
  const { counters, ...message } = mail;
  try {
    await mailer.send({ organizationId, ...message });
  } catch (error) {
    await giveBack(database, counters);
    throw error;
  }
}

/** Of somebody who registered, their own asking; of a colleague whom an admin added, the organization's. */
async function countersOf(tx: UnitOfWork, user: User): Promise<Counter[]> {
  const isOwn = user.lastLoginAt !== null;
  return isOwn ? verificationCounters(user) : noticeCounters(tx, user.organizationId, user.email);
}

async function keepToken(tx: UnitOfWork, user: User, hash: string): Promise<void> {
  await tx.execute({
    text: "DELETE FROM control.email_verifications WHERE user_id = $1 AND expires_at <= $2",
    values: [user.id, tx.now],
  });
  await tx.execute({
    text: `INSERT INTO control.email_verifications (hash, organization_id, user_id, expires_at)
      VALUES ($1, $2, $3, $4::timestamptz + $5 * interval '1 day')`,
    values: [hash, user.organizationId, user.id, tx.now, validDays],
  });
}

/**
 * Proves the caller's address: who has both the account and the mailbox. The link alone is not enough, or one careless click would
 * give a stranger's account the address. Of two accounts of one address, one succeeds.
 * @throws 400 LINK_INVALID, also for a link of another account; 409 EMAIL_TAKEN when another account has proved it
 */
export async function verifyEmail(ctx: Ctx<"identity.verifyEmail">): Promise<null> {
  const { tx, principal } = ctx.locals;
  if (principal.userId === null) throw notAUser();
  const used = await tx.execute({
    name: "use_email_verification",
    text: "DELETE FROM control.email_verifications WHERE hash = $1 AND user_id = $2 AND expires_at > now()",
    values: [linkHash(ctx.params.token), principal.userId],
  });
  if (used === 0) throw linkInvalid();
  const user = await getUser(tx, principal.userId, { lock: true });
  if (!user.isActive) throw linkInvalid();
  if (await markEmailVerified(tx, user.id)) noteVerified(tx, user, "mail");
  return null;
}

/** @param by what proved it: `mail`, or a provider of sign-in */
export function noteVerified(tx: UnitOfWork, { id, organizationId }: User, by: string): void {
  audit(tx, { type: "user.email_verified", organizationId, actorId: id, subjectId: id, details: { by } });
}
