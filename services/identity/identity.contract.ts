import { z } from "zod";
import { emailText } from "../../mixins/records/conditions/fields.ts";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import { cronPayload, job } from "../../mixins/jobs/job-spec.ts";
import { byIdOf, listParams, type Listing } from "../../mixins/records/finding/listing.ts";
import { apiKeyActions } from "./api-keys/api-keys.contract.ts";
import { emailActions, emailJobs } from "./sign-in/email-verification.contract.ts";
import { credentialActions, newPassword } from "./sign-in/credentials.contract.ts";
import { identityPersonalData } from "./personal-data/personal-data.contract.ts";
import { secondFactorActions, secondFactorCode } from "./second-factor/second-factor.contract.ts";
import { auditActions, auditJobs } from "./audit-log/audit-log.contract.ts";
import { roleActions, roleInput } from "./roles/roles.contract.ts";
import {
  organizationActions,
  organizationEvents,
  organizationJobs,
  organization,
} from "./organizations/organization.contract.ts";
import { federationSettingsActions } from "./federation/federation-settings.contract.ts";
import { inviteActions } from "./users/invites.contract.ts";
import { oauthActions } from "./federation/oauth.contract.ts";
import { samlActions } from "./federation/saml.contract.ts";
import {
  byId,
  email,
  expectedVersion,
  id,
  nameText,
  pageOf,
  timestamp,
} from "../../mixins/contract/schemas.ts";

const user = z
  .strictObject({
    id,
    name: z.string(),
    email: z.string(),
    /** Since when it is proved to be the user's; null: not yet. */
    emailVerifiedAt: timestamp.nullable(),
    /** A built-in role's name, or the id of a custom role. */
    role: z.string(),
    isActive: z.boolean(),
    lastLoginAt: timestamp.nullable(),
    createdAt: timestamp,
    updatedAt: timestamp,
    version: z.number().int(),
  })
  .meta({ id: "User" });
export type UserView = z.output<typeof user>;
const signedIn = z
  .strictObject({
    user,
    organization,
    accessToken: z.string(),
    refreshToken: z.string(),
    /** Seconds until the access token ends. */
    expiresIn: z.number().int(),
  })
  .meta({ id: "SignedIn" });
export type SignedIn = z.output<typeof signedIn>;
const session = z
  .strictObject({
    id,
    userAgent: z.string().nullable(),
    ip: z.string().nullable(),
    isCurrent: z.boolean(),
    lastUsedAt: timestamp,
    expiresAt: timestamp,
    createdAt: timestamp,
  })
  .meta({ id: "Session" });
export type SessionView = z.output<typeof session>;

const client = {
  /** Filled by the gateway from the connection. */
  userAgent: z.string().max(500).optional(),
  ip: z.string().max(64).optional(),
};
const credentials = z.strictObject({
  email,
  password: z.string().max(200),
  /** Six digits, or a recovery code. */
  totp: secondFactorCode.optional(),
  ...client,
});

export const userListing: Listing = {
  table: "control.users",
  fields: {
    id: "uuid",
    name: "text",
    email: "text",
    emailVerifiedAt: "timestamp",
    role: "text",
    isActive: "boolean",
    lastLoginAt: "timestamp",
    createdAt: "timestamp",
    updatedAt: "timestamp",
    version: "integer",
  },
  filterable: ["name", "email", "role", "isActive", "createdAt"],
  stored: { email: emailText },
  sortable: ["createdAt", "name", "email"],
  defaultSort: "createdAt",
};

export const sessionListing: Listing = {
  table: "control.sessions",
  fields: {
    id: "uuid",
    userAgent: "text",
    ip: "text",
    lastUsedAt: "timestamp",
    expiresAt: "timestamp",
    createdAt: "timestamp",
  },
  filterable: ["ip", "lastUsedAt", "createdAt"],
  sortable: ["lastUsedAt", "createdAt"],
  defaultSort: "-lastUsedAt",
};

export const identityContract = defineContract("identity", {
  tables: {
    owns: [
      "control.api_keys",
      "control.audit_log",
      "control.email_verifications",
      "control.erasure_receipts",
      "control.federation_settings",
      "control.identities",
      "control.invites",
      "control.kept_mails",
      "control.organization_keys",
      "control.organizations",
      "control.password_resets",
      "control.recovery_codes",
      "control.revocations",
      "control.roles",
      "control.saml_assertions",
      "control.sessions",
      "control.sign_in_attempts",
      "control.sign_in_codes",
      "control.sign_in_failures",
      "control.signing_keys",
      "control.totp_factors",
      "control.users",
    ],
    reads: [
      "control.api_usage",
      "control.deprecated_calls",
      "control.installation",
      "control.organization_shards",
      "events",
    ],
  },
  actions: {
    register: action({
      summary: "Makes an organization and its first admin",
      params: z.strictObject({
        organizationName: nameText(200),
        name: nameText(200),
        email,
        password: newPassword,
        ...client,
      }),
      returns: signedIn,
      permission: "public",
      rest: "POST /auth/register",
      status: 201,
      location: () => "/auth/me",
    }),
    login: action({
      summary: "Signs in with email and password",
      params: credentials,
      returns: signedIn,
      permission: "public",
      rest: "POST /auth/login",
    }),
    refresh: action({
      summary: "Trades a refresh token for new tokens; an old one used again ends the session",
      params: z.strictObject({ refreshToken: z.string().min(1).max(500), ...client }),
      returns: signedIn,
      permission: "public",
      rest: "POST /auth/refresh",
    }),
    logout: action({
      summary: "Ends the session of the access token",
      params: z.strictObject({}),
      returns: z.null(),
      permission: "session",
      rest: "POST /auth/logout",
      status: 204,
    }),
    me: action({
      summary: "The signed-in user, the organization and what the role permits",
      params: z.strictObject({}),
      returns: z.strictObject({
        user,
        organization,
        permissions: z.array(z.string()),
        isMfaOn: z.boolean(),
      }),
      reads: true,
      permission: "authenticated",
      rest: "GET /auth/me",
    }),
    listSessions: action({
      summary: "The user's sessions that have not ended, the one used last first",
      params: listParams(sessionListing).omit({ q: true, fields: true }),
      returns: pageOf(session),
      reads: true,
      permission: "session",
      rest: "GET /auth/sessions",
    }),
    revokeSession: action({
      summary: "Ends a session of the user",
      params: byId,
      returns: z.null(),
      permission: "session",
      rest: "DELETE /auth/sessions/:id",
      status: 204,
    }),
    listUsers: action({
      summary: "Lists the organization's users",
      params: listParams(userListing),
      returns: pageOf(user.partial().extend({ id }).meta({ id: "UserPart" })),
      reads: true,
      permission: "users:read",
      rest: "GET /users",
    }),
    createUser: action({
      summary:
        "Adds a user with a first password, and mails them a link to prove the address; the answer does not tell whether it is known elsewhere",
      params: z.strictObject({ name: nameText(200), email, role: roleInput, password: newPassword }),
      returns: user,
      permission: "users:create",
      rest: "POST /users",
      status: 201,
    }),
    getUser: action({
      summary: "One user",
      params: byIdOf(userListing),
      returns: user,
      reads: true,
      permission: "users:read",
      rest: "GET /users/:id",
    }),
    updateUser: action({
      summary: "Changes a user's name or role, or deactivates them, which ends their sessions",
      params: z
        .strictObject({ name: nameText(200), role: roleInput, isActive: z.boolean() })
        .partial()
        .extend({ id, expectedVersion }),
      returns: user,
      permission: "users:update",
      rest: "PATCH /users/:id",
    }),
    ...organizationActions,
    restoreOrganization: action({
      summary: "Calls the deletion of the organization off, and signs in; an admin does so",
      params: credentials,
      returns: signedIn,
      permission: "public",
      rest: "POST /organization/restore",
    }),
    forgotPassword: action({
      summary: "Mails a link to choose a new password, if there is such a user; the answer does not tell",
      params: z.strictObject({ email, ...client }),
      returns: z.null(),
      permission: "public",
      rest: "POST /auth/password/forgot",
      status: 204,
    }),
    resetPassword: action({
      summary: "Sets a new password with the token of a mailed link, once; ends all sessions of the user",
      params: z.strictObject({ token: z.string().min(1).max(200), password: newPassword }),
      returns: z.null(),
      permission: "public",
      rest: "POST /auth/password/reset",
      status: 204,
    }),
    ...emailActions,
    acceptInvite: action({
      summary: "Makes the invited user, with the token of a mailed link, once; signs in",
      params: z.strictObject({ token: z.string().min(1).max(200), password: newPassword, ...client }),
      returns: signedIn,
      permission: "public",
      rest: "POST /auth/invite/accept",
      status: 201,
      location: () => "/auth/me",
    }),
    ...auditActions,
    ...inviteActions,
    ...roleActions,
    ...credentialActions,
    ...secondFactorActions,
    ...apiKeyActions,
    ...federationSettingsActions,
    ...oauthActions(signedIn),
    ...samlActions(signedIn),
    hasAccount: action({
      summary: "Whether there is an account with this address, in whichever organization",
      params: z.strictObject({ email }),
      returns: z.boolean(),
      reads: true,
      permission: "system",
    }),
    requireMayChange: action({
      summary: "Answers if the caller may change each of these users, and is refused if not",
      params: z.strictObject({ ids: z.array(id).max(1000) }),
      returns: z.null(),
      reads: true,
      permission: "authenticated",
    }),
    activeUserIds: action({
      summary: "Which of these are active users of the organization",
      params: z.strictObject({ ids: z.array(id).max(1000) }),
      returns: z.array(id),
      reads: true,
      permission: "authenticated",
    }),
    verificationKeys: action({
      summary: "Public keys that verify access tokens (RFC 7517)",
      params: z.strictObject({}),
      returns: z.strictObject({ keys: z.array(z.record(z.string(), z.unknown())) }),
      reads: true,
      permission: "public",
      rest: "GET /auth/jwks",
    }),
  },
  events: {
    "organization.trial_ended": z.strictObject({ plan: z.string(), trialEndedAt: timestamp }),
    ...organizationEvents,
  },
  jobs: {
    ...auditJobs,
    expireTrials: job({
      summary: "Ends the trials that are over",
      payload: cronPayload,
      scope: "platform",
      cron: { schedule: "0 * * * *", missed: "skip" },
    }),
    forgetSignInFailures: job({
      summary:
        "Forgets failed sign-ins and revocations that no longer count, and old entries of the audit log",
      payload: cronPayload,
      scope: "platform",
      cron: { schedule: "20 * * * *", missed: "skip" },
    }),
    tendKeys: job({
      summary:
        "Publishes a new key of access tokens in its time, and brings what an old MASTER_KEY sealed under the newest",
      payload: cronPayload,
      scope: "platform",
      cron: { schedule: "11 * * * *", missed: "skip" },
    }),
    sendPasswordReset: job({
      summary: "Mails a link to choose a new password",
      payload: z.strictObject({ email: z.string() }),
      scope: "platform",
      queue: "email-send",
    }),
    ...emailJobs,
    sendInvite: job({
      summary: "Mails an invitation",
      payload: z.strictObject({ inviteId: id }),
      queue: "email-send",
    }),
    ...organizationJobs,
    announceTrialEnd: job({
      summary: "Tells an organization's feed that its trial has ended",
      whileSuspended: true,
      payload: z.strictObject({ version: z.number().int(), trialEndedAt: timestamp }),
    }),
  },
  personalData: identityPersonalData,
});
