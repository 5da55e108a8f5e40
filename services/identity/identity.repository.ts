import { LockMode } from "@mikro-orm/postgresql";
import { Organization, User } from "../../entities/control.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { sqlState, violatedConstraint } from "../../mixins/contract/errors.ts";
import { emailProvedElsewhere, emailTaken, organizationNotFound, userNotFound } from "./identity.errors.ts";

/** A user of the transaction's organization. */
export const findUserByEmail = (tx: UnitOfWork, email: string): Promise<User | null> =>
  tx.em.findOne(User, { organizationId: tx.organizationId, email });

/** More than anybody has accounts, and many enough that strangers' registrations do not hide a real one. */
const mostAccounts = 1_000;

/**
 * The accounts with this address, of all organizations, in a platform transaction: first the one that has proved it, which is
 * one at most, then the others, the oldest first.
 */
export const accountsOf = (tx: UnitOfWork, email: string): Promise<User[]> =>
  tx.em.find(
    User,
    { email },
    {
      orderBy: [{ emailVerifiedAt: "asc nulls last" }, { createdAt: "asc" }, { id: "asc" }],
      limit: mostAccounts,
    },
  );

/**
 * Notes that the address is the user's; from now on it is nobody else's. Again, it changes nothing.
 * @throws 409 EMAIL_TAKEN when another has proved it
 */
export async function markEmailVerified(tx: UnitOfWork, userId: string): Promise<boolean> {
  tx.onViolation(verifiedEmail, emailProvedElsewhere);
  const marked = await tx.execute({
    name: "mark_email_verified",
    text: `UPDATE control.users SET email_verified_at = $2, updated_at = $2, version = version + 1
      WHERE id = $1 AND email_verified_at IS NULL`,
    values: [userId, tx.now],
  });
  return marked === 1;
}
const verifiedEmail = "users_verified_email";

/** Whether the organization has proved the domain of this address to be its own. */
export async function isOfOwnDomain(
  tx: UnitOfWork,
  { organizationId, email }: { organizationId: string; email: string },
): Promise<boolean> {
  const rows = await tx.query({
    name: "is_of_own_domain",
    text: "SELECT FROM control.organizations WHERE id = $1 AND domain = $2 AND domain_verified_at IS NOT NULL",
    values: [organizationId, email.slice(email.lastIndexOf("@") + 1)],
  });
  return rows.length > 0;
}

/** @throws 404 USER_NOT_FOUND */
export async function getUser(tx: UnitOfWork, id: string, options: { lock?: boolean } = {}): Promise<User> {
  const lockMode = options.lock ? LockMode.PESSIMISTIC_WRITE : undefined;
  const user = await tx.em.findOne(User, { id }, { lockMode });
  if (!user) throw userNotFound();
  return user;
}

/** @throws 404 ORGANIZATION_NOT_FOUND */
export async function getOrganization(
  tx: UnitOfWork,
  id: string,
  options: { lock?: boolean } = {},
): Promise<Organization> {
  const lockMode = options.lock ? LockMode.PESSIMISTIC_WRITE : undefined;
  const organization = await tx.em.findOne(Organization, { id }, { lockMode });
  if (!organization) throw organizationNotFound();
  return organization;
}

/** Makes changes of who is admin in this organization wait for each other, until this transaction ends. */
export async function lockAdmins(tx: UnitOfWork): Promise<void> {
  await tx.query({
    name: "lock_admins",
    text: "SELECT FROM control.organizations WHERE id = $1 FOR NO KEY UPDATE",
    values: [tx.organizationId],
  });
}

/** Whether another user of the organization is an active admin. Only certain while `lockAdmins` is held. */
export async function hasOtherAdmin(tx: UnitOfWork, userId: string): Promise<boolean> {
  const others = await tx.query({
    name: "other_admin",
    text: "SELECT FROM control.users WHERE role = 'admin' AND is_active AND id <> $1 LIMIT 1",
    values: [userId],
  });
  return others.length > 0;
}

/** Writes what is pending. @throws 409 EMAIL_TAKEN when a user of the organization has the email, or another has proved it */
export async function flushUser(tx: UnitOfWork): Promise<void> {
  try {
    await tx.em.flush();
  } catch (error) {
    if (sqlState(error) !== "23505") throw error;
    if (violatedConstraint(error) === "users_organization_email") throw emailTaken();
    if (violatedConstraint(error) === verifiedEmail) throw emailProvedElsewhere();
    throw error;
  }
}

/**
 * Notes a sign-in. Answers false if the user has been deactivated or given another password since
 * `user` was read. Leaves `version` alone: signing in must not fail somebody's edit of the user.
 */
export async function noteLogin(tx: UnitOfWork, user: User): Promise<boolean> {
  const changed = await tx.execute({
    name: "note_login",
    text: `UPDATE control.users SET last_login_at = $1
      WHERE id = $2 AND is_active AND password_hash = $3`,
    values: [tx.now, user.id, user.passwordHash],
  });
  return changed === 1;
}
