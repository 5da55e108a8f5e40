import { z } from "zod";
import { browserAnswer, browserKey } from "../../../mixins/contract/browser-answer.ts";
import { action } from "../../../mixins/contract/contract.ts";
import { listParams, type Listing } from "../../../mixins/records/finding/listing.ts";
import { byId, id, pageOf, timestamp } from "../../../mixins/contract/schemas.ts";
import { secondFactorCode } from "../second-factor/second-factor.contract.ts";

const provider = z.string().max(32);
/** Where a front end wants its user back; SIGN_IN_REDIRECTS lists the origins that may be. */
const redirect = z.string().max(2_000);
/** BASE64URL(SHA256(verifier)), as RFC 7636: only who knows the verifier can use the code that comes back. */
const challenge = z.string().regex(/^[\w-]{43}$/, "must be the 43 characters of BASE64URL(SHA256(verifier))");
const client = {
  /** Filled by the gateway from the connection. */
  userAgent: z.string().max(500).optional(),
  ip: z.string().max(64).optional(),
  browserKey,
};

/** What the two ways to begin a sign-in elsewhere have in common. */
export const frontEnd = { redirect: redirect.optional(), challenge: challenge.optional() };
export const isWholeFrontEnd = (params: { redirect?: string; challenge?: string }): boolean =>
  (params.redirect === undefined) === (params.challenge === undefined);
export const needsBoth = { path: ["challenge"], error: "redirect and challenge go together" };
export { client as browserClient };

const identity = z
  .strictObject({
    id,
    /** Key of the provider. */
    provider: z.string(),
    issuer: z.string(),
    /** What the provider called the user when it was linked. */
    email: z.string().nullable(),
    lastUsedAt: timestamp.nullable(),
    createdAt: timestamp,
  })
  .meta({ id: "Identity" });
export type IdentityView = z.output<typeof identity>;

export const identityListing: Listing = {
  table: "control.identities",
  fields: {
    id: "uuid",
    provider: "text",
    issuer: "text",
    email: "text",
    lastUsedAt: "timestamp",
    createdAt: "timestamp",
  },
  filterable: ["provider", "issuer", "email", "createdAt"],
  sortable: ["createdAt"],
  defaultSort: "createdAt",
};

/** The password's part is done; `POST /auth/oauth/token` with this code and `totp` does the rest. */
export const needsSecondFactor = z
  .strictObject({
    next: z.literal("totp"),
    code: z.string(),
    /** Seconds until the code ends. */
    expiresIn: z.number().int(),
  })
  .meta({ id: "NeedsSecondFactor" });

/** @param signedIn what a sign-in answers */
export const oauthActions = <S extends z.ZodType>(signedIn: S) => ({
  listProviders: action({
    summary: "Providers that users can sign in with",
    params: z.strictObject({}),
    returns: pageOf(z.strictObject({ key: z.string(), label: z.string() })),
    reads: true,
    permission: "public",
    rest: "GET /auth/oauth",
  }),
  startOauth: action({
    summary: "Leads a browser to the provider to sign in",
    params: z.strictObject({ provider, ...frontEnd, browserKey }).refine(isWholeFrontEnd, needsBoth),
    returns: browserAnswer(z.null()),
    permission: "public",
    rest: "GET /auth/oauth/:provider/start",
    transfer: "browser",
  }),
  finishOauth: action({
    summary: "Where the provider leads the browser back; signs in, or returns to the front end with a code",
    params: z.looseObject({
      provider,
      state: z.string().max(200),
      code: z.string().max(4_000).optional(),
      iss: z.string().max(500).optional(),
      error: z.string().max(200).optional(),
      ...client,
    }),
    returns: browserAnswer(z.union([signedIn, needsSecondFactor, identity])),
    permission: "public",
    rest: "GET /auth/oauth/:provider/callback",
    transfer: "browser",
  }),
  tradeSignInCode: action({
    summary: "Trades the code that a sign-in with a provider ended with for tokens, once",
    params: z.strictObject({
      code: z.string().max(100),
      /** Of the `challenge`; where there was none, the browser's cookie stands for it. */
      verifier: z
        .string()
        .regex(/^[\w.~-]{43,128}$/, "must be 43 to 128 letters, digits, -, ., _ or ~")
        .optional(),
      /** Six digits, or a recovery code; asked for by 401 MFA_REQUIRED. */
      totp: secondFactorCode.optional(),
      ...client,
    }),
    returns: signedIn,
    permission: "public",
    rest: "POST /auth/oauth/token",
  }),
  linkOauth: action({
    summary: "Begins to link an account of a provider; the browser goes to the url",
    params: z.strictObject({ provider, redirect: redirect.optional(), browserKey }),
    returns: browserAnswer(z.strictObject({ url: z.string() })),
    // the key of the browser signs in: it is kept nowhere
    kept: ({ body }) => ({ body }),
    permission: "session",
    rest: "POST /auth/oauth/:provider/link",
    transfer: "browser",
  }),
  listIdentities: action({
    summary: "Accounts of providers that the user signs in with",
    params: listParams(identityListing).omit({ q: true }),
    returns: pageOf(identity.partial().extend({ id }).meta({ id: "IdentityPart" })),
    reads: true,
    permission: "session",
    rest: "GET /auth/identities",
  }),
  unlinkIdentity: action({
    summary: "Takes the link to an account of a provider away",
    params: byId,
    returns: z.null(),
    permission: "session",
    rest: "DELETE /auth/identities/:id",
    status: 204,
  }),
});
