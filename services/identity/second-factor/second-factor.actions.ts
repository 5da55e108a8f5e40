import type { Principal } from "../../../mixins/access/principal.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import { invalidField } from "../../../mixins/contract/errors.ts";
import type { Runtime } from "../../../mixins/contract/service.ts";
import type { User } from "../../../entities/control.ts";
import type { Ctx, Result } from "../../contracts.ts";
import {
  invalidCredentials,
  mfaAlreadyOn,
  mfaNotEnrolled,
  mfaRequired,
  notAUser,
} from "../identity.errors.ts";
import { getUser } from "../identity.repository.ts";
import type { AuditType } from "../audit-log/audit-log.contract.ts";
import { audit } from "../audit-log/audit-log.ts";
import { isPassword } from "../sign-in/passwords.ts";
import {
  confirmFactor,
  findFactor,
  openSeed,
  removeFactor,
  replaceRecoveryCodes,
  replaceSeed,
  seedKeys,
  useCode,
  type SeedKeys,
} from "./second-factor.repository.ts";
import type { Client } from "../sessions/sessions.repository.ts";
import { countFailure, requireRoom, secondFactorCounters } from "../sign-in/throttle.ts";
import { newRecoveryCodes, newSeed, stepOf } from "./totp.ts";

/** Keeps a new seed for the user, sealed. */
export async function enrollTotp(
  { organizationKeys }: Runtime,
  ctx: Ctx<"identity.enrollTotp">,
): Promise<Result<"identity.enrollTotp">> {
  const { tx, principal } = ctx.locals;
  if (principal.userId === null) throw notAUser();
  const cipher = await organizationKeys.of(principal.organizationId);
  const user = await getUser(tx, principal.userId);
  const { secret, uri } = newSeed(user.email);
  if (!(await replaceSeed(tx, cipher, user.id, secret))) throw mfaAlreadyOn();
  return { secret, uri };
}

/** Turns the second factor on. The user's sessions go on. */
export async function verifyTotp(
  runtime: Runtime,
  ctx: Ctx<"identity.verifyTotp">,
): Promise<Result<"identity.verifyTotp">> {
  const { tx, principal } = ctx.locals;
  if (principal.userId === null) throw notAUser();
  const keys = await seedKeys(runtime, principal.organizationId);
  const factor = await findFactor(tx, principal.userId);
  if (!factor) throw mfaNotEnrolled();
  if (factor.isConfirmed) throw mfaAlreadyOn();
  const step = stepOf(ctx.params.totp, openSeed(keys, principal.userId, factor), tx.now);
  if (step === null)
    throw invalidField("totp", "wrong_code", "This is not the code the app shows now; try the next one.");
  if (!(await confirmFactor(tx, principal.userId, step))) throw mfaAlreadyOn();
  const recoveryCodes = newRecoveryCodes();
  await replaceRecoveryCodes(tx, principal.userId, recoveryCodes);
  auditOwn(tx, "mfa.enabled", principal);
  return { recoveryCodes };
}

/** Turns the second factor off, for somebody who has both factors. The user's sessions go on. */
export async function disableTotp(runtime: Runtime, ctx: Ctx<"identity.disableTotp">): Promise<null> {
  const { tx, principal } = ctx.locals;
  const { password, totp: code } = ctx.params;
  const { userId, organizationId } = principal;
  if (userId === null) throw notAUser();
  const { database } = runtime;
  const keys = await seedKeys(runtime, organizationId);
  const counters = secondFactorCounters(userId);
  await database.transaction({ platform: database.control }, (before) => requireRoom(before, counters));
  // a transaction of its own: no connection is held while the password is compared
  const user = await database.transaction({ control: organizationId }, (before) => getUser(before, userId));
  const isRight = await isPassword(password, user.isActive ? user.passwordHash : undefined);
  const factor = isRight ? await findFactor(tx, userId) : null;
  if (isRight && !factor?.isConfirmed) throw mfaNotEnrolled();
  if (!factor || !(await useCode(tx, keys, { userId, factor, code }))) {
    await tx.rollback();
    const failure = { organizationId, actorId: userId, subjectId: userId };
    await countFailure(database, counters, { type: "user.sign_in_failed", ...failure });
    throw invalidCredentials();
  }
  await removeFactor(tx, userId);
  auditOwn(tx, "mfa.disabled", principal);
  return null;
}

const auditOwn = (tx: UnitOfWork, type: AuditType, { organizationId, userId }: Principal): void =>
  audit(tx, { type, organizationId, actorId: userId, subjectId: userId });

/**
 * Asks for the second factor of a user whose password was right, if there is one, and uses its code up in `tx`.
 * @param keys of the user's organization
 * @throws 401 MFA_REQUIRED without a code, INVALID_CREDENTIALS for a wrong one; 429 TOO_MANY_ATTEMPTS
 */
export async function requireSecondFactor(
  { database }: Runtime,
  tx: UnitOfWork,
  { user, keys, code, client }: { user: User; keys: SeedKeys; code: string | undefined; client: Client },
): Promise<void> {
  const factor = await findFactor(tx, user.id);
  if (!factor?.isConfirmed) return;
  if (code === undefined || code === "") throw mfaRequired();
  const counters = secondFactorCounters(user.id);
  await requireRoom(tx, counters);
  if (await useCode(tx, keys, { userId: user.id, factor, code })) return;
  // counting needs a connection: this one is given back, with the lock of a code that was used before
  await tx.rollback();
  const { id: subjectId, organizationId } = user;
  const details = { isSecondFactor: true };
  const failure = { organizationId, actorId: null, subjectId, ...client, details };
  await countFailure(database, counters, { type: "user.sign_in_failed", ...failure });
  throw invalidCredentials();
}
