import { User } from "../../../entities/control.ts";
import type { Runtime } from "../../../mixins/contract/service.ts";
import { versionMismatch } from "../../../mixins/contract/errors.ts";
import { readPage } from "../../../mixins/records/finding/page.ts";
import type { Ctx, Result } from "../../contracts.ts";
import { userListing, type UserView } from "../identity.contract.ts";
import { lastAdmin, passwordTooCommon } from "../identity.errors.ts";
import { accountsOf, flushUser, getUser, hasOtherAdmin, lockAdmins } from "../identity.repository.ts";
import { isEasilyGuessed, removesAdmin, standingChanges, whySessionsEnd } from "../identity.rules.ts";
import { userRowView, userView } from "../identity.view.ts";
import { requireUserRoom } from "../organizations/quotas.ts";
import { audit } from "../audit-log/audit-log.ts";
import { restrictKeysOf } from "../api-keys/api-keys.repository.ts";
import { askForProof } from "../sign-in/email-verification.ts";
import { hashPasswordFor } from "../sign-in/salts.ts";
import { requireCovered, requireGrantable } from "../roles/roles.repository.ts";
import { announceEnd } from "../sessions/sessions.actions.ts";
import { endSessionsOf } from "../sessions/sessions.repository.ts";

/** A page of the organization's users. */
export async function listUsers(ctx: Ctx<"identity.listUsers">): Promise<Result<"identity.listUsers">> {
  return readPage(ctx.locals.tx, userListing, ctx.params, userRowView);
}

/**
 * Adds a user with a first password, and has them mailed a link to prove the address: somebody elsewhere may have it too, which
 * the answer does not tell.
 */
export async function createUser(runtime: Runtime, ctx: Ctx<"identity.createUser">): Promise<UserView> {
  const { name, email, role, password } = ctx.params;
  if (isEasilyGuessed(password, [name, email])) throw passwordTooCommon();
  const passwordHash = await hashPasswordFor(runtime.database, email, password);
  const { tx } = ctx.locals;
  const { organizationId } = tx;
  await requireGrantable(tx, ctx.locals.principal, role);
  await requireUserRoom(tx, organizationId);
  const user = tx.em.create(User, { organizationId, name, email, role, passwordHash });
  await flushUser(tx);
  askForProof(runtime, tx, user);
  const { userId: actorId } = ctx.locals.principal;
  audit(tx, { type: "user.joined", organizationId, actorId, subjectId: user.id, details: { role } });
  return userView(user);
}

/** One user of the organization. */
export async function getUserById(ctx: Ctx<"identity.getUser">): Promise<UserView> {
  return userView(await getUser(ctx.locals.tx, ctx.params.id));
}

/**
 * Changes a user who may do no more than the caller; another role or deactivation ends their sessions, whose tokens carry
 * the old rights.
 */
export async function updateUser(ctx: Ctx<"identity.updateUser">): Promise<UserView> {
  const { tx } = ctx.locals;
  const { id, name, role, isActive, expectedVersion } = ctx.params;
  if (role !== undefined || isActive !== undefined) await lockAdmins(tx);
  const user = await getUser(tx, id, { lock: true });
  if (expectedVersion !== undefined && expectedVersion !== user.version) throw versionMismatch(user.version);
  const before = { role: user.role, isActive: user.isActive };
  await requireCovered(tx, ctx.locals.principal, user.role);
  if (role !== undefined && role !== user.role) await requireGrantable(tx, ctx.locals.principal, role);
  const after = { role: role ?? user.role, isActive: isActive ?? user.isActive };
  if (after.isActive && !before.isActive) await requireUserRoom(tx, tx.organizationId);
  if (removesAdmin(before, after) && !(await hasOtherAdmin(tx, id))) throw lastAdmin();
  tx.em.assign(user, { ...after, name: name ?? user.name });
  await tx.em.flush();
  for (const { type, ...details } of standingChanges(before, after)) {
    const { organizationId, userId: actorId } = ctx.locals.principal;
    audit(tx, { type, organizationId, actorId, subjectId: id, details });
  }
  const endReason = whySessionsEnd(before, after);
  if (endReason) announceEnd(ctx.broker, tx, await endSessionsOf(tx, id, endReason));
  if (endReason) announceEnd(ctx.broker, tx, await restrictKeysOf(tx, id, endReason));
  return userView(user);
}

/** For the system alone: nobody else may learn who is known. */
export const hasAccount = async (
  { database }: Runtime,
  ctx: Ctx<"identity.hasAccount">,
): Promise<boolean> => {
  const accounts = await database.transaction({ platform: database.control }, (tx) =>
    accountsOf(tx, ctx.params.email),
  );
  return accounts.length > 0;
};

/** For services that are about to change something of these users. @throws 403 when one may do more than the caller */
export async function requireMayChange(ctx: Ctx<"identity.requireMayChange">): Promise<null> {
  const { tx, principal } = ctx.locals;
  const rows = await tx.query<{ role: string }>({
    text: "SELECT DISTINCT role FROM control.users WHERE id = ANY ($1::uuid[])",
    values: [ctx.params.ids],
  });
  for (const { role } of rows) await requireCovered(tx, principal, role);
  return null;
}

/** Which of the ids are active users of the organization. */
export async function activeUserIds(ctx: Ctx<"identity.activeUserIds">): Promise<string[]> {
  const rows = await ctx.locals.tx.query<{ id: string }>({
    name: "active_user_ids",
    text: "SELECT id FROM control.users WHERE id = ANY ($1::uuid[]) AND is_active",
    values: [ctx.params.ids],
  });
  return rows.map((row) => row.id);
}
