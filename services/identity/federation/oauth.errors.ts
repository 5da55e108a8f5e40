import { appError, badRequest, conflict } from "../../../mixins/contract/errors.ts";

export const providerUnknown = () =>
  appError(404, "SIGN_IN_PROVIDER_UNKNOWN", "There is no such provider of sign-in here.");
export const providerUnavailable = (cause: unknown) =>
  Object.assign(
    appError(503, "SIGN_IN_PROVIDER_UNAVAILABLE", "The provider cannot be asked now; try again in a minute."),
    { cause },
  );
/** The same for a state that was used, has ended, never was, or belongs to another browser or provider. */
export const stateInvalid = () =>
  badRequest(
    "SIGN_IN_STATE_INVALID",
    "This sign-in was finished, began in another browser or over ten minutes ago; begin again.",
  );
export const signInDenied = () => appError(403, "SIGN_IN_DENIED", "The provider did not let you sign in.");
/** Which check failed stands in the log. */
export const signInUnproven = (cause: unknown) =>
  Object.assign(
    appError(403, "SIGN_IN_UNPROVEN", "What the provider answered proves nothing; begin again."),
    {
      cause,
    },
  );
export const codeInvalid = () =>
  badRequest("SIGN_IN_CODE_INVALID", "This code was used before, has ended or is not yours; begin again.");
export const redirectRefused = () =>
  badRequest("REDIRECT_REFUSED", "A sign-in does not return to this address; see SIGN_IN_REDIRECTS.");
export const identityTaken = () =>
  conflict("IDENTITY_TAKEN", "This account of the provider is linked to another user.");
export const identityNotFound = () =>
  appError(404, "IDENTITY_NOT_FOUND", "There is no such linked account of a provider.");
export const lastSignIn = () =>
  conflict(
    "LAST_SIGN_IN",
    "You could not sign in any more; set a password first, by POST /auth/password/forgot.",
  );

const refusals = {
  EMAIL_NOT_VERIFIED: "The provider does not vouch for your email address; sign in otherwise, then link it.",
  ACCOUNT_EXISTS: "A user with this email exists; sign in with the password, then link the provider.",
  ACCOUNT_NOT_ACTIVE: "The user is not active.",
  ROLE_NOT_ALLOWED: "Users of this role do not sign in with SAML here.",
  NO_ACCOUNT: "Nobody with this email is a user or was invited; ask for an invitation.",
} as const;
export const signInRefused = (reason: keyof typeof refusals) => appError(403, reason, refusals[reason]);
