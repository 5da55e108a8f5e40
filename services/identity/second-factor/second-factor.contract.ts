import { z } from "zod";
import { action } from "../../../mixins/contract/contract.ts";

/** Six digits of an authenticator app, or a recovery code. */
export const secondFactorCode = z.string().trim().max(40);

export const secondFactorActions = {
  enrollTotp: action({
    summary: "Begins a second factor: a new seed for an authenticator app, which counts once it is verified",
    params: z.strictObject({}),
    returns: z.strictObject({
      /** Base32; this once: null in a repeated answer, as is `uri`. */
      secret: z.string().nullable(),
      /** `otpauth://`, to be shown as a QR code. */
      uri: z.string().nullable(),
    }),
    kept: () => ({ secret: null, uri: null }),
    permission: "session",
    rest: "POST /auth/mfa/totp/enroll",
  }),
  verifyTotp: action({
    summary: "Turns the second factor on with a first code; answers the recovery codes",
    params: z.strictObject({ totp: secondFactorCode }),
    returns: z.strictObject({
      /** Each signs in once in the place of a code. Shown this once: empty in a repeated answer. */
      recoveryCodes: z.array(z.string()),
    }),
    kept: () => ({ recoveryCodes: [] }),
    permission: "session",
    rest: "POST /auth/mfa/totp/verify",
  }),
  disableTotp: action({
    summary: "Turns the second factor off",
    params: z.strictObject({ password: z.string().max(200), totp: secondFactorCode }),
    returns: z.null(),
    permission: "session",
    rest: "POST /auth/mfa/totp/disable",
    status: 204,
  }),
};
