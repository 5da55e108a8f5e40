import type { Runtime } from "../../../mixins/contract/service.ts";
import type { Ctx } from "../../contracts.ts";
import { audit } from "../audit-log/audit-log.ts";
import {
  invalidCredentials,
  mfaIsOwn,
  mfaNotEnrolled,
  notAUser,
  passwordTooCommon,
} from "../identity.errors.ts";
import { getUser } from "../identity.repository.ts";
import { isEasilyGuessed } from "../identity.rules.ts";
import { isPassword } from "./passwords.ts";
import { hashPasswordFor } from "./salts.ts";
import { requireCovered } from "../roles/roles.repository.ts";
import { findFactor, removeFactor } from "../second-factor/second-factor.repository.ts";
import { announceEnd } from "../sessions/sessions.actions.ts";
import { endOtherSessionsOf, endSessionsOf } from "../sessions/sessions.repository.ts";
import { countFailure, requireRoom, secondFactorCounters } from "./throttle.ts";

/** Sets a new password. Of two at once with the same current password, one succeeds. Links to reset it end. */
export async function changePassword(
  { database }: Runtime,
  ctx: Ctx<"identity.changePassword">,
): Promise<null> {
  const { tx, principal } = ctx.locals;
  const { currentPassword, newPassword } = ctx.params;
  const { userId, organizationId } = principal;
  if (userId === null || ctx.meta.sessionId === undefined) throw notAUser();
  const counters = secondFactorCounters(userId);
  // a transaction of its own: no connection is held while passwords are hashed
  await database.transaction({ platform: database.control }, (before) => requireRoom(before, counters));
  const user = await database.transaction({ control: organizationId }, (before) => getUser(before, userId));
  const known = { organizationId, actorId: userId, subjectId: userId };
  if (!(await isPassword(currentPassword, (user.isActive && user.passwordHash) || undefined))) {
    await countFailure(database, counters, { type: "user.sign_in_failed", ...known });
    throw invalidCredentials();
  }
  if (isEasilyGuessed(newPassword, [user.name, user.email])) throw passwordTooCommon("newPassword");
  const passwordHash = await hashPasswordFor(database, user.email, newPassword);

  const locked = await getUser(tx, userId, { lock: true });
  if (!locked.isActive || locked.passwordHash !== user.passwordHash) throw invalidCredentials();
  locked.passwordHash = passwordHash;
  await tx.em.flush();
  await tx.execute({ text: "DELETE FROM control.password_resets WHERE user_id = $1", values: [userId] });
  const ended = await endOtherSessionsOf(tx, userId, ctx.meta.sessionId, "password_changed");
  announceEnd(ctx.broker, tx, ended);
  audit(tx, { type: "user.password_changed", ...known });
  return null;
}

/** Takes the second factor from a user who lost it: for an admin, after having made sure who asks. */
export async function resetUserMfa(ctx: Ctx<"identity.resetUserMfa">): Promise<null> {
  const { tx, principal } = ctx.locals;
  const { id } = ctx.params;
  // one's own needs password and code: see disableTotp
  if (id === principal.userId) throw mfaIsOwn();
  const user = await getUser(tx, id, { lock: true });
  await requireCovered(tx, principal, user.role);
  if (!(await findFactor(tx, id))) throw mfaNotEnrolled();
  await removeFactor(tx, id);
  announceEnd(ctx.broker, tx, await endSessionsOf(tx, id, "mfa_reset"));
  const { organizationId, userId: actorId } = principal;
  audit(tx, { type: "mfa.reset", organizationId, actorId, subjectId: id });
  return null;
}
