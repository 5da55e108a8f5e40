import { z } from "zod";
import { isLoopbackHost } from "./loopback.ts";

/** An OpenID Connect provider that users may sign in with, as the operator registered Sangam there. */
const oidcProvider = z.strictObject({
  /** In paths: /auth/oauth/{key}/start. */
  key: z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/),
  /** As its tokens name it; its discovery document is under it. */
  issuer: z.string().refine(isHttpsOrLoopback, "must be an https URL (http only on loopback)"),
  clientId: z.string().min(1),
  clientSecret: z.string().min(1),
  /** For people. */
  label: z.string().min(1).max(100),
  /**
   * Domains whose mailboxes this provider hands out, or `*`: only there does its word that an address is verified let
   * somebody in who never linked the two. Default none.
   */
  emailDomains: z.array(z.string().toLowerCase().min(1)).default([]),
  /** Whether its word `amr: ["mfa"]` stands for the second factor here. Default false. */
  isMfaTrusted: z.boolean().default(false),
});
export type OidcProvider = z.output<typeof oidcProvider>;

/** `OIDC_PROVIDERS`: a JSON array. Complains without repeating what it holds, which is secret. */
export const oidcProviders = z
  .string()
  .transform((text, context) => {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      context.addIssue({ code: "custom", message: "must be a JSON array" });
      return z.NEVER;
    }
  })
  .pipe(
    z
      .array(oidcProvider)
      .refine((all) => new Set(all.map(({ key }) => key)).size === all.length, "every key must be another"),
  );

/** Whether a URL is safe to send secrets to; plain http stays on this machine. */
export function isHttpsOrLoopback(text: string): boolean {
  const url = URL.parse(text);
  if (url?.protocol === "http:") return isLoopbackHost(url.hostname);
  return url?.protocol === "https:";
}
