import type { Service } from "moleculer";
import { forgetRevocations } from "../../mixins/access/revocations.ts";
import { requireTrustedClock } from "../../mixins/concurrency/clock-watch.ts";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import { TxtRecords } from "../../mixins/outbound/txt-records.ts";
import { audit, forgetOldEntries, listAuditLog, noteExport } from "./audit-log/audit-log.ts";
import {
  createApiKey,
  findApiKey,
  getApiKey,
  listApiKeys,
  revokeApiKey,
} from "./api-keys/api-keys.actions.ts";
import { changePassword, resetUserMfa } from "./sign-in/credentials.actions.ts";
import type { HandlersOf, JobCtx } from "../contracts.ts";
import { identityContract } from "./identity.contract.ts";
import {
  acceptInvite,
  inviteUser,
  getInvite,
  listInvites,
  revokeInvite,
  sendInvite,
} from "./users/invites.ts";
import { resendVerification, sendVerification, verifyEmail } from "./sign-in/email-verification.ts";
import { forgotPassword, resetPassword, sendPasswordReset } from "./sign-in/password-reset.ts";
import { identityPersonalDataHandlers } from "./personal-data/personal-data.ts";
import { eraseOrganization, findErasures } from "./organizations/erasure.jobs.ts";
import {
  getDeletion,
  deleteOrganization,
  restoreOrganization,
  resumeOrganization,
  setPlan,
  suspendOrganization,
  wakeJobs,
} from "./organizations/lifecycle.actions.ts";
import {
  announceChange,
  getOwnOrganization,
  updateOrganization,
  verifyDomain,
} from "./organizations/organization.actions.ts";
import { getUsage } from "./organizations/quotas.ts";
import { createRole, deleteRole, getRole, listRoles, updateRole } from "./roles/roles.actions.ts";
import { disableTotp, enrollTotp, verifyTotp } from "./second-factor/second-factor.actions.ts";
import { listSessions, logout, me, revokeSession } from "./sessions/sessions.actions.ts";
import { getFederation, replaceFederation } from "./federation/federation-settings.ts";
import { listIdentities, unlinkIdentity } from "./federation/identities.ts";
import {
  finishOauth,
  linkOauth,
  startOauth,
  tradeSignInCode,
  type OauthParts,
} from "./federation/oauth.actions.ts";
import { OidcProviders } from "./federation/oauth.providers.ts";
import { acceptSaml, finishSaml, samlMetadata, startSaml } from "./federation/saml.actions.ts";
import { forgetAttempts } from "./federation/sign-in-attempts.ts";
import { login, refresh, register } from "./sign-in/sign-in.actions.ts";
import { forgetFailures } from "./sign-in/throttle.ts";
import { publicKeys, rewrapSigningKeys, rotateSigningKeys } from "./sessions/signing-keys.ts";
import { resealSeeds } from "./second-factor/second-factor.repository.ts";
import { TokenIssuer } from "./sessions/token-issuer.ts";
import { announceTrialEnd, expireTrials } from "./organizations/trials.jobs.ts";
import {
  activeUserIds,
  createUser,
  getUserById,
  hasAccount,
  listUsers,
  requireMayChange,
  updateUser,
} from "./users/users.actions.ts";

interface Parts extends OauthParts {
  txt: TxtRecords;
}

/** Organizations, their users, and the sessions and tokens they sign in with. */
export default (runtime: Runtime) => {
  const issuer = new TokenIssuer(runtime);
  const parts: Parts = {
    ...{ runtime, issuer, providers: new OidcProviders(runtime) },
    txt: new TxtRecords(runtime.env.DNS_SERVERS),
  };
  return createService(identityContract, identityHandlers(parts), runtime, {
    home: "control",
    jobs: {
      expireTrials,
      announceTrialEnd,
      noteInAuditLog: (ctx: JobCtx<"identity.noteInAuditLog">) => {
        const { organizationId } = ctx.locals.tx;
        return runtime.database.transaction({ control: organizationId }, (tx) =>
          Promise.resolve(audit(tx, { ...ctx.params, organizationId })),
        );
      },
      announceChange,
      wakeJobs: (ctx: JobCtx<"identity.wakeJobs">) => wakeJobs(ctx, runtime.database),
      findErasures,
      eraseOrganization: (ctx: JobCtx<"identity.eraseOrganization">) =>
        eraseOrganization(ctx, runtime.database),
      sendPasswordReset: (ctx: JobCtx<"identity.sendPasswordReset">) => sendPasswordReset(runtime, ctx),
      sendVerification: (ctx: JobCtx<"identity.sendVerification">) => sendVerification(runtime, ctx),
      sendInvite: (ctx: JobCtx<"identity.sendInvite">) => sendInvite(parts, ctx),
      forgetSignInFailures: async ({ locals: { tx } }: JobCtx<"identity.forgetSignInFailures">) => {
        await requireTrustedClock(tx);
        await forgetFailures(tx);
        await forgetOldEntries(tx);
        await forgetAttempts(tx);
        await forgetRevocations(tx);
      },
      tendKeys: async () => {
        const { database, sealedBox, env } = runtime;
        await rotateSigningKeys(database, sealedBox, env.SIGNING_KEY_DAYS);
        await rewrapSigningKeys(database, sealedBox);
        await resealSeeds(runtime);
      },
    },
    created(this: Service) {
      issuer.onError = (error) => this.logger.warn(`signing keys: ${error.message}`);
    },
    started: () => issuer.start(),
    stopped() {
      issuer.stop();
      return Promise.resolve();
    },
    personalData: identityPersonalDataHandlers(runtime.database),
  });
};

const identityHandlers = (parts: Parts): HandlersOf<typeof identityContract> => ({
  register: (ctx) => register(parts, ctx),
  login: (ctx) => login(parts, ctx),
  refresh: (ctx) => refresh(parts, ctx),
  logout,
  me,
  listSessions,
  revokeSession,
  listUsers,
  createUser: (ctx) => createUser(parts.runtime, ctx),
  getUser: getUserById,
  updateUser,
  getOrganization: getOwnOrganization,
  updateOrganization,
  verifyDomain: (ctx) => verifyDomain(parts.runtime, parts.txt, ctx),
  getUsage: (ctx) => getUsage(parts.runtime, ctx),
  getDeletion,
  deleteOrganization: (ctx) => deleteOrganization(parts.runtime, ctx),
  restoreOrganization: (ctx) => restoreOrganization(parts, ctx),
  suspendOrganization: (ctx) => suspendOrganization(parts.runtime, ctx),
  resumeOrganization: (ctx) => resumeOrganization(parts.runtime, ctx),
  setPlan: (ctx) => setPlan(parts.runtime, ctx),
  listAuditLog,
  noteExport,
  changePassword: (ctx) => changePassword(parts.runtime, ctx),
  resetUserMfa,
  forgotPassword,
  resetPassword: (ctx) => resetPassword(parts.runtime, ctx),
  verifyEmail,
  resendVerification: (ctx) => resendVerification(parts.runtime, ctx),
  inviteUser: (ctx) => inviteUser(parts.runtime, ctx),
  listInvites,
  getInvite,
  revokeInvite,
  acceptInvite: (ctx) => acceptInvite(parts, ctx),
  enrollTotp: (ctx) => enrollTotp(parts.runtime, ctx),
  verifyTotp: (ctx) => verifyTotp(parts.runtime, ctx),
  disableTotp: (ctx) => disableTotp(parts.runtime, ctx),
  listRoles,
  getRole,
  createRole: (ctx) => createRole(ctx, parts.runtime.contracts),
  updateRole: (ctx) => updateRole(ctx, parts.runtime.contracts),
  deleteRole,
  createApiKey,
  listApiKeys,
  getApiKey,
  revokeApiKey,
  findApiKey,
  listProviders: () =>
    Promise.resolve({
      data: parts.providers.all.map(({ key, label }) => ({ key, label })),
      page: { nextCursor: null, hasMore: false },
    }),
  startOauth: (ctx) => startOauth(parts, ctx),
  finishOauth: (ctx) => finishOauth(parts, ctx),
  tradeSignInCode: (ctx) => tradeSignInCode(parts, ctx),
  linkOauth: (ctx) => linkOauth(parts, ctx),
  listIdentities,
  unlinkIdentity,
  getFederation,
  replaceFederation,
  samlMetadata: (ctx) => samlMetadata(parts, ctx),
  startSaml: (ctx) => startSaml(parts, ctx),
  acceptSaml: (ctx) => acceptSaml(parts, ctx),
  finishSaml: (ctx) => finishSaml(parts, ctx),
  hasAccount: (ctx) => hasAccount(parts.runtime, ctx),
  requireMayChange,
  activeUserIds,
  verificationKeys: async (ctx) => ({ keys: await publicKeys(ctx.locals.tx) }),
});
