import type { OidcProvider } from "../../../mixins/process/oidc-providers.ts";

/** What a provider says of a person, once its word was verified. */
export interface Claims {
  issuer: string;
  subject: string;
  /** Lowercased; null without one. */
  email: string | null;
  isEmailVerified: boolean;
  /** Google's: the Workspace domain that manages the account. */
  hostedDomain: string | null;
  /** Authentication methods (RFC 8176). */
  methods: readonly string[];
}

const google = "https://accounts.google.com";

/**
 * Whether the provider has a say in who owns this address: it calls it verified, and hands out mailboxes of its domain.
 * Elsewhere "verified" means that a mail arrived there once, or nothing.
 *
 * Google's own are gmail.com and the domains of Workspace, which it names in `hd`
 * (https://developers.google.com/identity/gsi/web/guides/verify-google-id-token).
 */
export function isEmailTrusted(
  provider: Pick<OidcProvider, "issuer" | "emailDomains">,
  claims: Claims,
): boolean {
  const { email, isEmailVerified, hostedDomain } = claims;
  if (email === null || !isEmailVerified) return false;
  const domain = email.slice(email.lastIndexOf("@") + 1);
  if (provider.issuer === google && (domain === "gmail.com" || domain === hostedDomain?.toLowerCase()))
    return true;
  return provider.emailDomains.some((trusted) => trusted === "*" || trusted === domain);
}

/** What becomes of somebody who signs in with a provider that nobody linked yet. */
export type FirstSignIn =
  "link" | "accept_invite" | "EMAIL_NOT_VERIFIED" | "ACCOUNT_EXISTS" | "ACCOUNT_NOT_ACTIVE" | "NO_ACCOUNT";

/**
 * Decides a first sign-in. An account with a password belongs to who knows that, so its owner links providers
 * themselves, unless the organization lets addresses do. One without a password was made by a provider's word for
 * its address, so the same word is enough again.
 */
export function decideFirstSignIn(known: {
  isEmailTrusted: boolean;
  /** Who has proved the address. */
  user: { isActive: boolean; hasPassword: boolean } | null;
  linksByEmail: boolean;
  invites: number;
  /** Whether there are accounts with the address, none of which has proved it. */
  isClaimed: boolean;
}): FirstSignIn {
  if (!known.isEmailTrusted) return "EMAIL_NOT_VERIFIED";
  if (known.user) {
    if (!known.user.isActive) return "ACCOUNT_NOT_ACTIVE";
    return known.linksByEmail || !known.user.hasPassword ? "link" : "ACCOUNT_EXISTS";
  }
  // among several organizations only the person can choose: each mail has a link of its own
  if (known.invites === 1) return "accept_invite";
  return known.isClaimed ? "ACCOUNT_EXISTS" : "NO_ACCOUNT";
}

/** Whether the provider asked for a second factor, where its word for that counts. */
export const isSecondFactorDone = ({ isMfaTrusted }: OidcProvider, { methods }: Claims): boolean =>
  isMfaTrusted && methods.includes("mfa");

/**
 * The URL a front end asked to be returned to, if its origin may be.
 * @param origins of front ends
 */
export function allowedRedirect(redirect: string, origins: readonly string[]): URL | null {
  const url = URL.parse(redirect);
  const isPlain = url?.username === "" && url.password === "" && url.hash === "";
  return url && isPlain && origins.includes(url.origin) ? url : null;
}
