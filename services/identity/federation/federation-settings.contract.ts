import { X509Certificate } from "node:crypto";
import { z } from "zod";
import { action } from "../../../mixins/contract/contract.ts";
import { isHttpsOrLoopback } from "../../../mixins/process/oidc-providers.ts";
import { roleInput } from "../roles/roles.contract.ts";

/** A PEM certificate with a key that signatures of today need: RSA of 2048 bits or more. */
const certificate = z
  .string()
  .trim()
  .max(10_000)
  .refine(isStrongCertificate, { error: "must be a PEM certificate with an RSA key of at least 2048 bits" });

export const samlSettings = z
  .strictObject({
    /** As the provider's assertions name it (Issuer). */
    idpEntityId: z.string().trim().min(1).max(1_000),
    /** Where browsers go to sign in (HTTP-Redirect binding). */
    ssoUrl: z.string().max(2_000).refine(isHttpsOrLoopback, { error: "must be an https URL" }),
    /** Of the keys the provider signs with; two while it changes them. */
    certificates: z.array(certificate).min(1).max(5),
    /** Name of the attribute that holds the email; null: the NameID is one. */
    emailAttribute: z.string().trim().min(1).max(500).nullable().default(null),
    /** Roles, built-in or custom, whose users may sign in by it; null: all. */
    roles: z.array(roleInput).min(1).max(200).nullable().default(null),
  })
  .meta({ id: "SamlSettings" });
export type SamlSettings = z.output<typeof samlSettings>;

const settings = z.strictObject({
  /**
   * Whether a provider's word for an address is enough to link it to a user who has a password. Default false: such
   * users link it themselves.
   */
  linksByEmail: z.boolean().default(false),
  /** SAML 2.0; null: off. */
  saml: samlSettings.nullable().default(null),
});

const off = { linksByEmail: false, saml: null };
const example = { params: off, result: off };

export const federationSettingsActions = {
  getFederation: action({
    summary: "How users of the organization may sign in with providers",
    params: z.strictObject({}),
    returns: settings,
    reads: true,
    permission: "organization:update",
    rest: "GET /organization/federation",
    example,
  }),
  replaceFederation: action({
    summary:
      "Sets how users of the organization may sign in with providers; what is left out gets its default",
    params: settings,
    returns: settings,
    permission: "organization:update",
    rest: "PUT /organization/federation",
    example,
  }),
};

function isStrongCertificate(pem: string): boolean {
  try {
    const { publicKey } = new X509Certificate(pem);
    return (
      publicKey.asymmetricKeyType === "rsa" && (publicKey.asymmetricKeyDetails?.modulusLength ?? 0) >= 2048
    );
  } catch {
    return false;
  }
}
