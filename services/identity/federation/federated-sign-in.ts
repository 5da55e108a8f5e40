import { randomBytes } from "node:crypto";
import { User } from "../../../entities/control.ts";
import type { Database } from "../../../mixins/database/database.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import { errorType } from "../../../mixins/contract/errors.ts";
import type { Result } from "../../contracts.ts";
import { audit } from "../audit-log/audit-log.ts";
import type { SignedIn } from "../identity.contract.ts";
import { flushUser, getOrganization, noteLogin } from "../identity.repository.ts";
import { redirectRefused, signInRefused } from "./oauth.errors.ts";
import { allowedRedirect } from "./oauth.rules.ts";
import { requireUserRoom } from "../organizations/quotas.ts";
import { findFactor } from "../second-factor/second-factor.repository.ts";
import { openSession, type Client } from "../sessions/sessions.repository.ts";
import { signedIn, type SignInParts } from "../sign-in/sign-in.actions.ts";
import { couldStillInvite } from "../users/invites.ts";
import type { Attempt, FrontEnd } from "./sign-in-attempts.ts";
import { codeSeconds, keepCode } from "./sign-in-codes.ts";

/** Stands in the place of a password hash where there is no password. */
export const noPassword = "";
type Refusal = Parameters<typeof signInRefused>[0];

/** What a sign-in that came back knows besides the user. */
export interface ComeBack {
  provider: string;
  isSecondFactorDone: boolean;
  front: FrontEnd | null;
  browserHash: string;
  client: Client;
}

/**
 * Ends a sign-in that came back to the browser it began in: with a session; with a code where a front end takes it from
 * there (no token stands in a URL) or the second factor is missing.
 */
export async function admit(
  parts: SignInParts,
  tx: UnitOfWork,
  user: User,
  { provider, isSecondFactorDone, front, browserHash, client }: ComeBack,
): Promise<Result<"identity.finishSaml">> {
  if (!user.isActive) throw signInRefused("ACCOUNT_NOT_ACTIVE");
  if (front?.challenge) {
    const bearer = { challenge: front.challenge };
    const code = await keepCode(tx, user, { provider, isSecondFactorDone, bearer });
    return { redirectTo: withQuery(front.redirect, { code }) };
  }
  if (!isSecondFactorDone && (await findFactor(tx, user.id))?.isConfirmed) {
    const code = await keepCode(tx, user, { provider, isSecondFactorDone, bearer: { browserHash } });
    return { body: { next: "totp", code, expiresIn: codeSeconds } };
  }
  return { body: await beginSession(parts, tx, user, { provider, client }) };
}

/** Opens a session for a user whom a provider has proved. @throws 403 ACCOUNT_NOT_ACTIVE */
export async function beginSession(
  { runtime, issuer }: SignInParts,
  tx: UnitOfWork,
  user: User,
  { provider, client }: Pick<ComeBack, "provider" | "client">,
): Promise<SignedIn> {
  if (!(await noteLogin(tx, user))) throw signInRefused("ACCOUNT_NOT_ACTIVE");
  const { id, organizationId } = user;
  const organization = await getOrganization(tx, organizationId);
  const session = await openSession(tx, runtime.sealedBox, user, client);
  const details = { provider };
  audit(tx, { type: "user.signed_in", organizationId, actorId: id, subjectId: id, ...client, details });
  return signedIn(issuer, user, organization, session);
}

/**
 * Makes the user whom an invitation waits for, without a password. Of many at once, one does: the others get null, as they do of
 * an invitation whose giver could not invite any more.
 * @param isProved whether the provider's word proves that the address is the person's
 */
export async function acceptInviteOf(
  tx: UnitOfWork,
  { email, organizationId, isProved }: { email: string; organizationId: string; isProved: boolean },
  { provider, client }: Pick<ComeBack, "provider" | "client">,
): Promise<User | null> {
  const [invite] = await tx.query<{ id: string; name: string; role: string; invitedBy: string | null }>({
    name: "invite_of",
    text: `SELECT id, name, role, invited_by AS "invitedBy" FROM control.invites
      WHERE email = $1 AND organization_id = $2 AND expires_at > $3 FOR UPDATE`,
    values: [email, organizationId, tx.now],
  });
  if (!invite || !(await couldStillInvite(tx, { ...invite, organizationId }))) return null;
  await tx.execute({ text: "DELETE FROM control.invites WHERE id = $1", values: [invite.id] });
  await requireUserRoom(tx, organizationId);
  const { name, role } = invite;
  const address = { email, emailVerifiedAt: isProved ? tx.now : null };
  const user = tx.em.create(User, { organizationId, name, role, ...address, passwordHash: noPassword });
  await flushUser(tx);
  const details = { role: user.role, provider };
  audit(tx, {
    type: "user.joined",
    organizationId,
    actorId: user.id,
    subjectId: user.id,
    ...client,
    details,
  });
  return user;
}

/** Refuses somebody who is known, which their organization gets to know although the sign-in changes nothing. */
export async function refuse(
  database: Database,
  user: User,
  reason: Refusal,
  { provider, client }: Pick<ComeBack, "provider" | "client">,
): Promise<never> {
  const { id: subjectId, organizationId } = user;
  const details = { provider, reason };
  const entry = {
    type: "user.sign_in_failed",
    organizationId,
    actorId: null,
    subjectId,
    ...client,
    details,
  } as const;
  await database.transaction({ platform: database.control }, (tx) => Promise.resolve(audit(tx, entry)));
  throw signInRefused(reason);
}

/** Tells a front end why its sign-in failed, where there is one to tell. */
export async function orTellFrontEnd<A>(
  { front }: Pick<Attempt, "front">,
  end: () => Promise<A>,
): Promise<A | { redirectTo: string }> {
  try {
    return await end();
  } catch (error) {
    const type = errorType(error);
    if (!front || type === undefined) throw error;
    return { redirectTo: withQuery(front.redirect, { error: type }) };
  }
}

/** A URL with these in its query. */
export function withQuery(address: string, values: Record<string, string>): string {
  const url = new URL(address);
  for (const [name, value] of Object.entries(values)) url.searchParams.set(name, value);
  return url.href;
}

/** The key of a browser that has none yet. */
export const newBrowserKey = (): string => randomBytes(32).toString("base64url");

/** @throws 400 REDIRECT_REFUSED */
export function frontEndOf(
  { runtime: { env } }: SignInParts,
  redirect: string | undefined,
  challenge: string | null,
): FrontEnd | null {
  if (redirect === undefined) return null;
  const origins = [new URL(env.PUBLIC_URL).origin, ...(env.SIGN_IN_REDIRECTS ?? [])];
  const url = allowedRedirect(redirect, origins);
  if (!url) throw redirectRefused();
  return { redirect: url.href, challenge };
}

/** What a chain of errors says, without the tokens some of them carry along. */
export function causesOf(error: unknown): string {
  const said: string[] = [];
  for (let cause = error; cause instanceof Error && said.length < 5; cause = cause.cause)
    said.push((cause.message.split("\n")[0] ?? "").slice(0, 200));
  return said.join(": ");
}
