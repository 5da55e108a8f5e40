import { z } from "zod";
import { action } from "../../../mixins/contract/contract.ts";
import { id } from "../../../mixins/contract/schemas.ts";
import { job } from "../../../mixins/jobs/job-spec.ts";

export const emailActions = {
  verifyEmail: action({
    summary: "Proves that the caller's address is theirs, with the token of a link mailed to it, once",
    params: z.strictObject({ token: z.string().min(1).max(200) }),
    returns: z.null(),
    permission: "session",
    rest: "POST /auth/email/verify",
    status: 204,
  }),
  resendVerification: action({
    summary: "Mails the caller another link to prove the address; nothing if that is done",
    params: z.strictObject({}),
    returns: z.null(),
    permission: "session",
    rest: "POST /auth/email/verify/resend",
    status: 204,
  }),
};

export const emailJobs = {
  sendVerification: job({
    summary: "Mails a link to prove an address",
    payload: z.strictObject({
      userId: id,
      /** By the user, and counted: nobody else is to be spared the mail. */
      isAsked: z.boolean().default(false),
    }),
    queue: "email-send",
  }),
};
