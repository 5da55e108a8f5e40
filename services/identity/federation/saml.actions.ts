import { randomBytes } from "node:crypto";
import type { User } from "../../../entities/control.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import { appError } from "../../../mixins/contract/errors.ts";
import type { Ctx, Result } from "../../contracts.ts";
import {
  acceptInviteOf,
  admit,
  causesOf,
  frontEndOf,
  newBrowserKey,
  orTellFrontEnd,
  refuse,
  withQuery,
  type ComeBack,
} from "./federated-sign-in.ts";
import type { SamlSettings } from "./federation-settings.contract.ts";
import { findFederation } from "./federation-settings.ts";
import { findUserByEmail, getUser, isOfOwnDomain } from "../identity.repository.ts";
import { linkHash } from "../sign-in/link-token.ts";
import { codeInvalid, signInRefused, signInUnproven, stateInvalid } from "./oauth.errors.ts";
import { checkResponse, metadataOf, requestUrl, serviceProviderOf, type Assertion } from "./saml.response.ts";
import type { SignInParts } from "../sign-in/sign-in.actions.ts";
import { keepAttempt, takeAttempt, type Attempt } from "./sign-in-attempts.ts";
import { keepCode, useCode } from "./sign-in-codes.ts";

const provider = "saml";
/** The same for an organization that is not there. */
const samlOff = () => appError(404, "SAML_OFF", "This organization does not sign in with SAML.");

/** Needs nothing of the organization, and so tells nothing of it. */
export const samlMetadata = (
  { runtime: { env } }: SignInParts,
  ctx: Ctx<"identity.samlMetadata">,
): Promise<Result<"identity.samlMetadata">> =>
  Promise.resolve({ xml: metadataOf(serviceProviderOf(env.API_URL, ctx.params.organization)) });

/** Leads the browser to the organization's identity provider. */
export async function startSaml(
  parts: SignInParts,
  ctx: Ctx<"identity.startSaml">,
): Promise<Result<"identity.startSaml">> {
  const { tx } = ctx.locals;
  const {
    organization: organizationId,
    redirect,
    challenge = null,
    browserKey = newBrowserKey(),
  } = ctx.params;
  const front = frontEndOf(parts, redirect, challenge);
  const saml = await getSaml(tx, organizationId);
  // an XML id begins with no digit
  const token = `_${randomBytes(20).toString("hex")}`;
  await keepAttempt(
    tx,
    parts.runtime.sealedBox,
    { token, browserKey },
    { provider, organizationId, userId: null, secrets: {}, front },
  );
  const { API_URL } = parts.runtime.env;
  return {
    redirectTo: await requestUrl(serviceProviderOf(API_URL, organizationId), saml, token),
    browserKey,
  };
}

/**
 * Takes what the identity provider posted, under the eyes of its organization alone: it vouches for no others' users.
 * The browser's cookie does not come with a form of another site, so this leads on to where it does.
 */
export async function acceptSaml(
  parts: SignInParts,
  ctx: Ctx<"identity.acceptSaml">,
): Promise<Result<"identity.acceptSaml">> {
  const { database, sealedBox, env } = parts.runtime;
  const { organization: organizationId, SAMLResponse, ip, userAgent } = ctx.params;
  const client = { ip, userAgent };
  const target = { control: organizationId };
  const saml = await database.transaction(target, (tx) => getSaml(tx, organizationId));
  const ours = serviceProviderOf(env.API_URL, organizationId);
  const asked: ((Attempt & { browserHash: string }) | null)[] = [];
  const takeOnce = async (token: string): Promise<boolean> => {
    const taken = await database.transaction(target, (tx) =>
      takeAttempt(tx, sealedBox, { token, provider, organizationId, browserKey: undefined }),
    );
    asked.push(taken);
    return taken !== null;
  };
  const checked = await checkResponse(SAMLResponse, ours, saml, takeOnce).then(
    (assertion) => ({ assertion }),
    (failure: unknown) => ({ failure }),
  );
  const [attempt] = asked;
  if (attempt === null) throw stateInvalid();
  if ("failure" in checked)
    ctx.broker.logger.warn(`SAML response for ${organizationId} refused: ${causesOf(checked.failure)}`);
  return orTellFrontEnd({ front: attempt?.front ?? null }, async () => {
    if ("failure" in checked) throw signInUnproven(checked.failure);
    if (!attempt) throw stateInvalid();
    const { front, browserHash } = attempt;
    const how = { provider, isSecondFactorDone: false, front, browserHash, client };
    const outcome = await database.transaction(target, async (tx) => {
      const found = await findPerson(tx, checked.assertion, saml, how);
      if ("refused" in found) return found;
      const bearer = front?.challenge ? { challenge: front.challenge } : { browserHash };
      const code = await keepCode(tx, found, { provider, isSecondFactorDone: false, bearer });
      return { redirectTo: withQuery(front?.redirect ?? ours.finishUrl, { code }) };
    });
    if (!("refused" in outcome)) return outcome;
    if (!outcome.user) throw signInRefused(outcome.refused);
    return refuse(database, outcome.user, outcome.refused, how);
  });
}

/** Signs in, in the browser that began; asks for the second factor of users who have one. */
export async function finishSaml(
  parts: SignInParts,
  ctx: Ctx<"identity.finishSaml">,
): Promise<Result<"identity.finishSaml">> {
  const { organization, code, browserKey, ip, userAgent } = ctx.params;
  if (browserKey === undefined) throw codeInvalid();
  const { database } = parts.runtime;
  return database.transaction({ control: organization }, async (tx) => {
    const used = await useCode(tx, code, { browserKey });
    if (!used) throw codeInvalid();
    const user = await getUser(tx, used.userId);
    const { isSecondFactorDone } = used;
    const client = { ip, userAgent };
    return admit(parts, tx, user, {
      ...{ provider, isSecondFactorDone, front: null, client },
      browserHash: linkHash(browserKey),
    });
  });
}

type Refused = { user: User | null; refused: Parameters<typeof signInRefused>[0] };

/** The organization's user, present or invited, whom the assertion names. */
async function findPerson(
  tx: UnitOfWork,
  { hash, endsAt, email }: Assertion,
  { roles }: SamlSettings,
  how: ComeBack,
): Promise<User | Refused> {
  const { organizationId } = tx;
  const isNew = await tx.execute({
    name: "note_saml_assertion",
    text: `INSERT INTO control.saml_assertions (organization_id, hash, expires_at) VALUES ($1, $2, $3)
      ON CONFLICT DO NOTHING`,
    values: [organizationId, hash, endsAt],
  });
  if (isNew === 0) throw signInUnproven(new Error("The assertion was brought before"));
  const person = { email, organizationId };
  // an organization's own provider says what it likes, so it proves addresses of the organization's own domain alone
  const user =
    (await findUserByEmail(tx, email))
    ?? (await acceptInviteOf(tx, { ...person, isProved: await isOfOwnDomain(tx, person) }, how));
  if (!user) return { user, refused: "NO_ACCOUNT" };
  if (!user.isActive) return { user, refused: "ACCOUNT_NOT_ACTIVE" };
  return (roles?.includes(user.role) ?? true) ? user : { user, refused: "ROLE_NOT_ALLOWED" };
}

/** @throws 404 SAML_OFF */
async function getSaml(tx: UnitOfWork, organizationId: string): Promise<SamlSettings> {
  const { saml } = await findFederation(tx, organizationId);
  if (!saml) throw samlOff();
  return saml;
}
