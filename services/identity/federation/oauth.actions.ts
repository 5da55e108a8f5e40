import { User } from "../../../entities/control.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import type { OidcProvider } from "../../../mixins/process/oidc-providers.ts";
import { errorType } from "../../../mixins/contract/errors.ts";
import type { Ctx, Result } from "../../contracts.ts";
import {
  acceptInviteOf,
  admit,
  beginSession,
  causesOf,
  frontEndOf,
  newBrowserKey,
  orTellFrontEnd,
  refuse,
  withQuery,
  noPassword,
  type ComeBack,
} from "./federated-sign-in.ts";
import { findFederation } from "./federation-settings.ts";
import { linkIdentity, useIdentity } from "./identities.ts";
import type { SignedIn } from "../identity.contract.ts";
import { notAUser } from "../identity.errors.ts";
import { accountsOf, getUser, isOfOwnDomain, markEmailVerified } from "../identity.repository.ts";
import { codeInvalid, signInRefused, stateInvalid } from "./oauth.errors.ts";
import type { OidcProviders, Secrets } from "./oauth.providers.ts";
import { decideFirstSignIn, isEmailTrusted, isSecondFactorDone, type Claims } from "./oauth.rules.ts";
import { requireSecondFactor } from "../second-factor/second-factor.actions.ts";
import { seedKeys } from "../second-factor/second-factor.repository.ts";
import { noteVerified } from "../sign-in/email-verification.ts";
import type { SignInParts } from "../sign-in/sign-in.actions.ts";
import { keepAttempt, takeAttempt, type Attempt } from "./sign-in-attempts.ts";
import { ownerOf, useCode } from "./sign-in-codes.ts";

/** What sign-in with OpenID Connect needs beyond its transaction. */
export interface OauthParts extends SignInParts {
  providers: OidcProviders;
}

const nameOf = (key: string): string => `oidc:${key}`;

/** Leads the browser to the provider. */
export async function startOauth(
  parts: OauthParts,
  ctx: Ctx<"identity.startOauth">,
): Promise<Result<"identity.startOauth">> {
  const { redirect, challenge = null } = ctx.params;
  const front = frontEndOf(parts, redirect, challenge);
  const { url, browserKey } = await begin(parts, ctx, { organizationId: null, userId: null, front });
  return { redirectTo: url, browserKey };
}

/**
 * As `startOauth`, for a user who is signed in. The cookie ties the link to this browser: the address alone, sent to
 * somebody else, would link their account of the provider to the sender's user.
 */
export async function linkOauth(
  parts: OauthParts,
  ctx: Ctx<"identity.linkOauth">,
): Promise<Result<"identity.linkOauth">> {
  const { organizationId, userId } = ctx.locals.principal;
  if (userId === null) throw notAUser();
  parts.providers.get(ctx.params.provider);
  const front = frontEndOf(parts, ctx.params.redirect, null);
  const { url, browserKey } = await begin(parts, ctx, { organizationId, userId, front });
  return { body: { url }, browserKey };
}

async function begin(
  { providers, runtime }: OauthParts,
  { params, locals }: Ctx<"identity.startOauth"> | Ctx<"identity.linkOauth">,
  whose: Pick<Attempt, "organizationId" | "userId" | "front">,
): Promise<{ url: string; browserKey: string }> {
  const { provider, browserKey = newBrowserKey() } = params;
  const { url, state, secrets } = await providers.begin(provider);
  const attempt = { ...whose, provider: nameOf(provider), secrets };
  await keepAttempt(locals.tx, runtime.sealedBox, { token: state, browserKey }, attempt);
  return { url, browserKey };
}

/** Where the provider leads back to. The state is used up first, whatever comes of it. */
export async function finishOauth(
  parts: OauthParts,
  ctx: Ctx<"identity.finishOauth">,
): Promise<Result<"identity.finishOauth">> {
  const { database, sealedBox } = parts.runtime;
  const { provider, state, code, iss, error, browserKey, ip, userAgent } = ctx.params;
  parts.providers.get(provider);
  if (browserKey === undefined) throw stateInvalid();
  const attempt = await database.transaction({ platform: database.control }, (tx) =>
    takeAttempt(tx, sealedBox, { token: state, provider: nameOf(provider), browserKey }),
  );
  if (!attempt) throw stateInvalid();
  return orTellFrontEnd(attempt, async () => {
    const secrets = attempt.secrets as Secrets;
    const claims = await parts.providers
      .finish(provider, { code, state, iss, error }, { state, secrets })
      .catch((failure: unknown) => {
        if (errorType(failure) === "SIGN_IN_UNPROVEN")
          ctx.broker.logger.warn(`sign-in with ${provider} refused: ${causesOf(failure)}`);
        throw failure;
      });
    const client = { ip, userAgent };
    const { userId, front, browserHash } = attempt;
    if (userId !== null)
      return database.transaction({ platform: database.control }, async (tx) => {
        const user = await getUser(tx, userId);
        if (!user.isActive) throw signInRefused("ACCOUNT_NOT_ACTIVE");
        const identity = await linkIdentity(tx, user, { provider, claims, client });
        if (isProofOf(parts.providers.get(provider), claims, user)) await prove(tx, user, provider);
        return front ? { redirectTo: withQuery(front.redirect, { linked: provider }) } : { body: identity };
      });
    const isDone = isSecondFactorDone(parts.providers.get(provider), claims);
    return signIn(parts, claims, { provider, isSecondFactorDone: isDone, front, browserHash, client });
  });
}

/** Trades the code a sign-in ended with for a session. A wrong second factor leaves the code as it was. */
export async function tradeSignInCode(
  parts: SignInParts,
  ctx: Ctx<"identity.tradeSignInCode">,
): Promise<SignedIn> {
  const { tx } = ctx.locals;
  const { code, verifier, browserKey, totp, ip, userAgent } = ctx.params;
  const { database } = parts.runtime;
  // before a connection is held: the keys may need another
  const owner = await database.transaction({ platform: database.control }, (before) => ownerOf(before, code));
  if (owner === null) throw codeInvalid();
  const keys = await seedKeys(parts.runtime, owner);
  const used = await useCode(tx, code, { verifier, browserKey });
  if (!used) throw codeInvalid();
  const client = { ip, userAgent };
  const user = await getUser(tx, used.userId);
  if (!user.isActive) throw signInRefused("ACCOUNT_NOT_ACTIVE");
  if (!used.isSecondFactorDone)
    await requireSecondFactor(parts.runtime, tx, { user, keys, code: totp, client });
  return beginSession(parts, tx, user, { provider: used.provider, client });
}

/** Signs the person in whom the claims name, in a transaction of its own: it fails apart from the action's. */
async function signIn(
  parts: OauthParts,
  claims: Claims,
  how: ComeBack,
): Promise<Result<"identity.finishOauth">> {
  const { database } = parts.runtime;
  const outcome = await database.transaction({ platform: database.control }, async (tx) => {
    const linked = await useIdentity(tx, claims);
    const user = linked === null ? null : await getUser(tx, linked);
    const found = user ?? (await findFirstUser(parts, tx, claims, how));
    if ("refused" in found) return found;
    return found.isActive
      ? admit(parts, tx, found, how)
      : { user: found, refused: "ACCOUNT_NOT_ACTIVE" as const };
  });
  if (!("refused" in outcome)) return outcome;
  if (!outcome.user) throw signInRefused(outcome.refused);
  return refuse(database, outcome.user, outcome.refused, how);
}

type Refused = { user: User | null; refused: Parameters<typeof signInRefused>[0] };

/** Whose this account of a provider is, used for the first time; links it. */
async function findFirstUser(
  { providers }: OauthParts,
  tx: UnitOfWork,
  claims: Claims,
  { provider, client }: ComeBack,
): Promise<User | Refused> {
  const { email } = claims;
  const trusted = isEmailTrusted(providers.get(provider), claims);
  if (email === null || !trusted) return { user: null, refused: "EMAIL_NOT_VERIFIED" };
  const accounts = await accountsOf(tx, email);
  const user = await ownerAmong(tx, accounts);
  const invites = user ? [] : await invitesOf(tx, email);
  const decision = decideFirstSignIn({
    isEmailTrusted: trusted,
    user: user && { isActive: user.isActive, hasPassword: user.passwordHash !== noPassword },
    linksByEmail: user !== null && (await findFederation(tx, user.organizationId)).linksByEmail,
    invites: invites.length,
    isClaimed: accounts.length > 0,
  });
  if (decision === "link" && user) {
    await linkIdentity(tx, user, { provider, claims, client });
    await prove(tx, user, provider);
    return user;
  }
  if (decision === "accept_invite" && invites[0]) {
    const invited = { email, organizationId: invites[0], isProved: trusted };
    const joined = await acceptInviteOf(tx, invited, { provider, client });
    if (!joined) return { user: null, refused: "NO_ACCOUNT" };
    await linkIdentity(tx, joined, { provider, claims, client });
    return joined;
  }
  return { user, refused: decision === "link" || decision === "accept_invite" ? "NO_ACCOUNT" : decision };
}

/**
 * Whose address it is, of those who have an account with it: who has proved it, or somebody of an organization that has proved the
 * domain. Others may have been made by anybody, to wait there for the address's owner.
 */
async function ownerAmong(tx: UnitOfWork, accounts: readonly User[]): Promise<User | null> {
  const [first] = accounts;
  if (first?.emailVerifiedAt) return first;
  for (const account of accounts) if (await isOfOwnDomain(tx, account)) return account;
  return null;
}

const isProofOf = (provider: OidcProvider, claims: Claims, { email }: User): boolean =>
  claims.email === email && isEmailTrusted(provider, claims);

/** A provider whose word counts for an address proves it, unless another account has. */
async function prove(tx: UnitOfWork, user: User, provider: string): Promise<void> {
  const [first] = await accountsOf(tx, user.email);
  if (!first?.emailVerifiedAt && (await markEmailVerified(tx, user.id))) noteVerified(tx, user, provider);
}

/** Organizations that wait for this address; two are as good as more. */
async function invitesOf(tx: UnitOfWork, email: string): Promise<string[]> {
  const rows = await tx.query<{ organization_id: string }>({
    name: "invites_of_email",
    text: "SELECT organization_id FROM control.invites WHERE email = $1 AND expires_at > $2 LIMIT 2",
    values: [email, tx.now],
  });
  return rows.map((row) => row.organization_id);
}
