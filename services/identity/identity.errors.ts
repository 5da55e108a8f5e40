import { appError, badRequest, conflict, invalidField, unauthorized } from "../../mixins/contract/errors.ts";

/** The same for an unknown email, a wrong password or code and an inactive user: it must not tell which. */
export const invalidCredentials = () =>
  unauthorized("INVALID_CREDENTIALS", "Email, password or code is wrong, or the user is not active.");
export const mfaRequired = () =>
  unauthorized("MFA_REQUIRED", "Send the code of the authenticator app, or a recovery code, as totp.");
export const mfaAlreadyOn = () => conflict("MFA_ALREADY_ON", "The second factor is on; turn it off first.");
export const mfaNotEnrolled = () =>
  conflict("MFA_NOT_ENROLLED", "There is no second factor; enroll one first.");
/** The same whether or not the account exists. */
export const tooManyAttempts = (retryAfterSeconds: number) =>
  appError(429, "TOO_MANY_ATTEMPTS", `Too many attempts failed; try again in ${retryAfterSeconds} s.`, {
    retryAfterSeconds,
  });
export const registrationClosed = () =>
  appError(403, "REGISTRATION_CLOSED", "New organizations cannot register here; ask the operator.");
export const emailTaken = () => conflict("EMAIL_TAKEN", "A user with this email exists.");
/** Only to who has just proved that the address is theirs. */
export const emailProvedElsewhere = () =>
  conflict(
    "EMAIL_TAKEN",
    "Another account of yours has proved this address: sign in there, or be invited at another address.",
  );
export const emailNotProved = () =>
  appError(
    403,
    "EMAIL_NOT_VERIFIED",
    "Prove your own email first, with the link that was mailed to it; POST /auth/email/verify/resend mails another.",
  );
export const tooManyInvites = (retryAfterSeconds: number) =>
  appError(
    429,
    "TOO_MANY_INVITES",
    `Too many invitations were mailed today; try again in ${retryAfterSeconds} s.`,
    { retryAfterSeconds },
  );
export const domainMissing = () =>
  conflict("DOMAIN_MISSING", "The organization has no domain; set one first.");
export const domainNotProved = (name: string, value: string) =>
  conflict(
    "DOMAIN_NOT_VERIFIED",
    `The TXT record ${name} does not hold ${value}; it may take a while to be seen.`,
  );
export const passwordTooCommon = (path = "password") =>
  invalidField(path, "too_common", "This password is among the first to be guessed; choose another.");
export const invalidRefreshToken = () =>
  unauthorized("INVALID_REFRESH_TOKEN", "The refresh token is not valid; sign in again.");
export const refreshTokenReused = () =>
  unauthorized(
    "REFRESH_TOKEN_REUSED",
    "This refresh token was used before, so its session has been ended; sign in again.",
  );
export const notAUser = () => unauthorized("UNAUTHENTICATED", "Only a signed-in user can do this.");
export const userNotFound = () => appError(404, "USER_NOT_FOUND", "There is no such user.");
export const sessionNotFound = () => appError(404, "SESSION_NOT_FOUND", "There is no such session.");
export const mfaIsOwn = () =>
  conflict("MFA_IS_OWN", "Turn your own second factor off with POST /auth/mfa/totp/disable.");
/** The same for a token that was used, has expired or never was. */
export const linkInvalid = () =>
  badRequest("LINK_INVALID", "This link was used before or has expired; ask for a new one.");
export const inviteNotFound = () => appError(404, "INVITE_NOT_FOUND", "There is no such invitation.");
export const apiKeyNotFound = () => appError(404, "API_KEY_NOT_FOUND", "There is no such API key.");
export const organizationNotFound = () =>
  appError(404, "ORGANIZATION_NOT_FOUND", "There is no such organization.");
export const domainTaken = () =>
  conflict("DOMAIN_TAKEN", "Another organization has proved that this domain is its own.");
export const deletionNotScheduled = () =>
  conflict("DELETION_NOT_SCHEDULED", "The organization is not about to be deleted.");
export const noDeletion = () =>
  appError(404, "DELETION_NOT_FOUND", "The organization is not about to be deleted.");
export const lastAdmin = () =>
  conflict("LAST_ADMIN", "The organization would have no active admin; make another user admin first.");
