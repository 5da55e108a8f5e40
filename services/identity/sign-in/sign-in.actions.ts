import { v7 as uuidv7 } from "uuid";
import { Organization, User } from "../../../entities/control.ts";
import { accessToken } from "../../../mixins/access/access-token.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import type { Runtime } from "../../../mixins/contract/service.ts";
import type { Ctx } from "../../contracts.ts";
import { audit } from "../audit-log/audit-log.ts";
import type { SignedIn } from "../identity.contract.ts";
import {
  invalidCredentials,
  invalidRefreshToken,
  passwordTooCommon,
  refreshTokenReused,
  registrationClosed,
} from "../identity.errors.ts";
import { accountsOf, flushUser, getOrganization, getUser, noteLogin } from "../identity.repository.ts";
import { isEasilyGuessed } from "../identity.rules.ts";
import { organizationView, userView } from "../identity.view.ts";
import { askForProof } from "./email-verification.ts";
import { whosePassword } from "./passwords.ts";
import { hashPasswordFor } from "./salts.ts";
import { newRefreshToken, readRefreshToken } from "../sessions/refresh-token.ts";
import { requireSecondFactor } from "../second-factor/second-factor.actions.ts";
import { seedKeys } from "../second-factor/second-factor.repository.ts";
import { announceEnd } from "../sessions/sessions.actions.ts";
import {
  endSession,
  openSession,
  requireActive,
  rotateRefreshToken,
} from "../sessions/sessions.repository.ts";
import { countFailure, requireRoom, signInCounters } from "./throttle.ts";
import type { TokenIssuer } from "../sessions/token-issuer.ts";

/** What signing in needs beyond its transaction. */
export interface SignInParts {
  runtime: Runtime;
  issuer: TokenIssuer;
}

const trialMs = 14 * 24 * 3_600_000;

/**
 * Makes an organization with its first admin, and signs them in. The address may stand elsewhere too, which the answer does not
 * tell; it is proved by the link that is mailed to it.
 */
export async function register(
  { runtime, issuer }: SignInParts,
  ctx: Ctx<"identity.register">,
): Promise<SignedIn> {
  const { organizationName, name, email, password, ...client } = ctx.params;
  if (runtime.env.REGISTRATION === "closed") throw registrationClosed();
  if (isEasilyGuessed(password, [name, email, organizationName])) throw passwordTooCommon();
  const passwordHash = await hashPasswordFor(runtime.database, email, password);

  const { tx } = ctx.locals;
  const organization = tx.em.create(Organization, {
    id: uuidv7(),
    name: organizationName,
    plan: "trial",
    trialEndsAt: new Date(tx.now.getTime() + trialMs),
    createdAt: tx.now,
    updatedAt: tx.now,
  });
  await tx.em.flush();
  const user = tx.em.create(User, {
    organizationId: organization.id,
    name,
    email,
    role: "admin",
    passwordHash,
    lastLoginAt: tx.now,
  });
  await flushUser(tx);
  askForProof(runtime, tx, user);
  const session = await openSession(tx, runtime.sealedBox, user, client);
  return signedIn(issuer, user, organization, session);
}

/**
 * Signs a user in: of several accounts with the address, the one with this password, before all the one that has proved the
 * address. An unknown email takes as long as a wrong password, and is answered, and after too many failures refused, the same.
 */
export const login = (parts: SignInParts, ctx: Ctx<"identity.login">): Promise<SignedIn> =>
  signIn(parts, ctx);

/** @param before runs once the user is known, in the transaction that opens the session */
export async function signIn(
  { runtime, issuer }: SignInParts,
  ctx: Ctx<"identity.login">,
  before?: (tx: UnitOfWork, user: User) => Promise<void>,
): Promise<SignedIn> {
  const { email, password, totp, userAgent, ip } = ctx.params;
  const { database } = runtime;
  // a transaction of its own: no connection is held while the password is compared
  const { counters, accounts } = await database.transaction({ platform: database.control }, async (tx) => {
    const counted = await signInCounters(tx, email, ip);
    await requireRoom(tx, counted);
    return { counters: counted, accounts: await accountsOf(tx, email) };
  });
  const active = accounts.filter(({ isActive }) => isActive);
  const found = await whosePassword(password, active);
  if (!found) {
    const [known] = accounts;
    const { id = null, organizationId = "" } = known ?? {};
    const entry = {
      type: "user.sign_in_failed",
      organizationId,
      actorId: null,
      subjectId: id,
      ip,
      userAgent,
    } as const;
    await countFailure(database, counters, known ? entry : null);
    throw invalidCredentials();
  }

  const keys = await seedKeys(runtime, found.organizationId);
  const { tx } = ctx.locals;
  await requireRoom(tx, counters);
  await requireSecondFactor(runtime, tx, { user: found, keys, code: totp, client: { ip, userAgent } });
  if (!(await noteLogin(tx, found))) throw invalidCredentials();
  const user = await getUser(tx, found.id);
  await before?.(tx, user);
  const organization = await getOrganization(tx, user.organizationId);
  const session = await openSession(tx, runtime.sealedBox, user, { userAgent, ip });
  const { id, organizationId } = user;
  audit(tx, { type: "user.signed_in", organizationId, actorId: id, subjectId: id, ip, userAgent });
  return signedIn(issuer, user, organization, session);
}

/**
 * Trades a refresh token for new tokens. One that was traded before is in two hands, so its session ends.
 * In a transaction of its own, because that end must stay although the caller is refused.
 */
export async function refresh(
  { runtime, issuer }: SignInParts,
  ctx: Ctx<"identity.refresh">,
): Promise<SignedIn> {
  const { refreshToken, ...client } = ctx.params;
  const old = readRefreshToken(refreshToken);
  if (old === null) throw invalidRefreshToken();
  const { sessionId, hash: oldHash } = old;
  const { token, hash: newHash } = newRefreshToken(runtime.sealedBox, sessionId);

  const { database } = runtime;
  const outcome = await database.transaction({ platform: database.control }, async (tx) => {
    const owner = await rotateRefreshToken(tx, { sessionId, oldHash, newHash, client });
    if (!owner) {
      // session ids stand in access tokens: an invented secret must not end somebody's session
      if (!old.isOurs(runtime.sealedBox)) return "unknown";
      const ended = await endSession(tx, sessionId, "reuse");
      announceEnd(ctx.broker, tx, ended);
      for (const { organizationId, userId } of ended)
        audit(tx, {
          type: "session.token_reused",
          organizationId,
          actorId: null,
          subjectId: userId,
          ...client,
        });
      return ended.length > 0 ? "reused" : "unknown";
    }
    await requireActive(tx, owner.organizationId);
    const user = await getUser(tx, owner.userId);
    return user.isActive
      ? { user, organization: await getOrganization(tx, owner.organizationId) }
      : "unknown";
  });
  if (outcome === "reused") throw refreshTokenReused();
  if (outcome === "unknown") throw invalidRefreshToken();
  return signedIn(issuer, outcome.user, outcome.organization, { sessionId, refreshToken: token });
}

/** What a client gets to know of a session that has begun or goes on. */
export async function signedIn(
  issuer: TokenIssuer,
  user: User,
  organization: Organization,
  { sessionId, refreshToken }: { sessionId: string; refreshToken: string },
): Promise<SignedIn> {
  const { id: userId, organizationId, role } = user;
  return {
    user: userView(user),
    organization: organizationView(organization),
    accessToken: await issuer.issue({ userId, organizationId, sessionId, role }),
    refreshToken,
    expiresIn: accessToken.lifetimeSeconds,
  };
}
