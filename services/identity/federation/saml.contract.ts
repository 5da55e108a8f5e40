import { z } from "zod";
import { browserAnswer, browserKey } from "../../../mixins/contract/browser-answer.ts";
import { action } from "../../../mixins/contract/contract.ts";
import { id } from "../../../mixins/contract/schemas.ts";
import { browserClient, frontEnd, isWholeFrontEnd, needsBoth, needsSecondFactor } from "./oauth.contract.ts";

const organization = id;

/** @param signedIn what a sign-in answers */
export const samlActions = <S extends z.ZodType>(signedIn: S) => ({
  samlMetadata: action({
    summary: "What the organization's identity provider must know of us (SAML 2.0 metadata)",
    params: z.strictObject({ organization }),
    returns: browserAnswer(z.null()),
    permission: "public",
    rest: "GET /auth/saml/:organization/metadata",
    transfer: "browser",
  }),
  startSaml: action({
    summary: "Leads a browser to the organization's identity provider to sign in",
    params: z.strictObject({ organization, ...frontEnd, browserKey }).refine(isWholeFrontEnd, needsBoth),
    returns: browserAnswer(z.null()),
    permission: "public",
    rest: "GET /auth/saml/:organization/start",
    transfer: "browser",
  }),
  acceptSaml: action({
    summary:
      "Where the identity provider posts its response; leads on to the front end, or to finish, with a code",
    params: z.strictObject({
      organization,
      /** Base64 of the response. */
      SAMLResponse: z.string().min(1).max(200_000),
      /** Sent back by providers; nothing is read from it. */
      RelayState: z.string().max(2_000).optional(),
      ...browserClient,
    }),
    returns: browserAnswer(z.null()),
    permission: "public",
    rest: "POST /auth/saml/:organization/acs",
    transfer: "browser",
    isForm: true,
  }),
  finishSaml: action({
    summary: "Signs in, in the browser that began",
    params: z.strictObject({ organization, code: z.string().max(100), ...browserClient }),
    returns: browserAnswer(z.union([signedIn, needsSecondFactor])),
    permission: "public",
    rest: "GET /auth/saml/:organization/finish",
    transfer: "browser",
  }),
});
