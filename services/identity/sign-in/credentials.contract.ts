import { z } from "zod";
import { action } from "../../../mixins/contract/contract.ts";
import { byId } from "../../../mixins/contract/schemas.ts";

/** 10 to 200 characters; no rule about their kinds (NIST SP 800-63B). */
export const newPassword = z.string().min(10).max(200);

export const credentialActions = {
  changePassword: action({
    summary: "Sets a new password for who knows the current one; ends the user's other sessions",
    params: z.strictObject({ currentPassword: z.string().max(200), newPassword }),
    returns: z.null(),
    permission: "session",
    rest: "POST /auth/password/change",
    status: 204,
  }),
  resetUserMfa: action({
    summary: "Takes the second factor from another user, who has lost it; ends the user's sessions",
    params: byId,
    returns: z.null(),
    permission: "users:update",
    rest: "DELETE /users/:id/mfa",
    status: 204,
  }),
};
