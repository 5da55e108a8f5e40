import { LockMode } from "@mikro-orm/postgresql";
import { Organization, User } from "../../entities/control.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { sqlState, violatedConstraint } from "../../mixins/contract/errors.ts";
import { emailTaken, organizationNotFound, userNotFound } from "./identity.errors.ts";

/** A user of any organization; for sign-in, in a platform transaction. */
export const findUserByEmail = (tx: UnitOfWork, email: string): Promise<User | null> =>
  tx.em.findOne(User, { email });

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

/** Writes what is pending. @throws 409 EMAIL_TAKEN when a user's email is another's already */
export async function flushUser(tx: UnitOfWork): Promise<void> {
  try {
    await tx.em.flush();
  } catch (error) {
    if (sqlState(error) === "23505" && violatedConstraint(error) === "users_email_key") throw emailTaken();
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
