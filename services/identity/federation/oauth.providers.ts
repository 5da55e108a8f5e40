import * as oidc from "openid-client";
import { z } from "zod";
import type { OidcProvider } from "../../../mixins/process/oidc-providers.ts";
import { errorType } from "../../../mixins/contract/errors.ts";
import type { Env } from "../../../mixins/process/env.ts";
import type { OutboundHttp, OutboundRequest } from "../../../mixins/outbound/http.ts";
import { Outside } from "../../../mixins/outbound/outside-call.ts";
import { OutsideStatusError } from "../../../mixins/outbound/outside-status.ts";
import { providerUnavailable, providerUnknown, signInDenied, signInUnproven } from "./oauth.errors.ts";
import type { Claims } from "./oauth.rules.ts";

/** For one call; a sign-in makes up to four, within the half minute of its request. */
const timeoutMs = 7_000;
const discoveredForMs = 10 * 60_000;
/** No `none`, and nothing that a client secret could sign. */
const algorithms = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "Ed25519",
  "EdDSA",
];

/** What is kept of a sign-in while the provider has it. */
export type Secrets = Record<"nonce" | "codeVerifier", string>;

interface Known {
  provider: OidcProvider;
  outside: Outside;
  discovered?: { configuration: Promise<oidc.Configuration>; until: number };
}

/** The OpenID Connect providers of this installation, asked through the guarded client. */
export class OidcProviders {
  readonly #outbound: OutboundHttp;
  readonly #known: ReadonlyMap<string, Known>;
  readonly #callbackBase: string;

  constructor({ env, outbound }: { env: Env; outbound: OutboundHttp }) {
    this.#outbound = outbound;
    this.#callbackBase = `${env.API_URL}/api/v1/auth/oauth`;
    this.#known = new Map(
      [...googleOf(env), ...env.OIDC_PROVIDERS].map((provider) => [
        provider.key,
        { provider, outside: new Outside(`oidc-${provider.key}`, { timeoutMs }) },
      ]),
    );
  }

  get all(): OidcProvider[] {
    return [...this.#known.values()].map(({ provider }) => provider);
  }

  /** @throws 404 SIGN_IN_PROVIDER_UNKNOWN */
  get(key: string): OidcProvider {
    return this.#get(key).provider;
  }

  /** Where a sign-in goes first, and what must come back with it. @throws 503 SIGN_IN_PROVIDER_UNAVAILABLE */
  async begin(key: string): Promise<{ url: string; state: string; secrets: Secrets }> {
    const configuration = await this.#discover(this.#get(key));
    const state = oidc.randomState();
    const secrets = { nonce: oidc.randomNonce(), codeVerifier: oidc.randomPKCECodeVerifier() };
    const url = oidc.buildAuthorizationUrl(configuration, {
      redirect_uri: this.#callback(key),
      scope: "openid email profile",
      state,
      nonce: secrets.nonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(secrets.codeVerifier),
      code_challenge_method: "S256",
    });
    return { url: url.href, state, secrets };
  }

  /**
   * Trades the code that came back for what the provider says of the person, with every check of OpenID Connect Core
   * 3.1.3.7, signature included, and of RFC 9207 (`iss`).
   * @param answer query of the callback
   * @throws 403 SIGN_IN_DENIED, SIGN_IN_UNPROVEN; 503 SIGN_IN_PROVIDER_UNAVAILABLE
   */
  async finish(
    key: string,
    answer: Record<string, string | undefined>,
    { state, secrets }: { state: string; secrets: Secrets },
  ): Promise<Claims> {
    const known = this.#get(key);
    const configuration = await this.#discover(known);
    const url = new URL(this.#callback(key));
    for (const [name, value] of Object.entries(answer))
      if (value !== undefined) url.searchParams.set(name, value);
    try {
      const tokens = await oidc.authorizationCodeGrant(configuration, url, {
        expectedState: state,
        expectedNonce: secrets.nonce,
        pkceCodeVerifier: secrets.codeVerifier,
        idTokenExpected: true,
      });
      const token = idToken.parse(tokens.claims());
      if (token.azp !== undefined && token.azp !== known.provider.clientId)
        throw new Error("The token was issued to another client (azp)");
      // by scope alone, a provider may leave these to the userinfo endpoint (OpenID Connect Core 5.4)
      const said =
        token.email === undefined && configuration.serverMetadata().userinfo_endpoint !== undefined
          ? person.parse(await oidc.fetchUserInfo(configuration, tokens.access_token, token.sub))
          : token;
      return {
        issuer: token.iss,
        subject: token.sub,
        email: said.email ?? null,
        isEmailVerified: said.email_verified === true,
        hostedDomain: token.hd ?? null,
        methods: token.amr ?? [],
      };
    } catch (error) {
      if (error instanceof oidc.AuthorizationResponseError) throw signInDenied();
      throw isOfNetwork(error) ? providerUnavailable(error) : signInUnproven(error);
    }
  }

  #callback(key: string): string {
    return `${this.#callbackBase}/${key}/callback`;
  }

  #get(key: string): Known {
    const known = this.#known.get(key);
    if (!known) throw providerUnknown();
    return known;
  }

  async #discover(known: Known): Promise<oidc.Configuration> {
    if (!known.discovered || known.discovered.until < Date.now()) {
      const found = { configuration: this.#configure(known), until: Date.now() + discoveredForMs };
      known.discovered = found;
      found.configuration.catch(() => {
        if (known.discovered === found) delete known.discovered;
      });
    }
    try {
      return await known.discovered.configuration;
    } catch (error) {
      throw providerUnavailable(error);
    }
  }

  async #configure({ provider, outside }: Known): Promise<oidc.Configuration> {
    const { issuer, clientId, clientSecret } = provider;
    const fetch: oidc.CustomFetch = (url, options) => this.#fetch(outside, url, options);
    const insecure = issuer.startsWith("http:") ? [oidc.allowInsecureRequests] : [];
    const found = await oidc.discovery(new URL(issuer), clientId, undefined, oidc.None(), {
      [oidc.customFetch]: fetch,
      execute: insecure,
      timeout: timeoutMs / 1000,
    });
    const metadata: oidc.ServerMetadata = found.serverMetadata();
    const signs = metadata.id_token_signing_alg_values_supported ?? ["RS256"];
    const methods = metadata.token_endpoint_auth_methods_supported ?? ["client_secret_basic"];
    const authenticate = methods.includes("client_secret_basic")
      ? oidc.ClientSecretBasic
      : oidc.ClientSecretPost;
    const configuration = new oidc.Configuration(
      {
        ...metadata,
        id_token_signing_alg_values_supported: signs.filter((name) => algorithms.includes(name)),
      },
      clientId,
      undefined,
      authenticate(clientSecret),
    );
    configuration[oidc.customFetch] = fetch;
    configuration.timeout = timeoutMs / 1000;
    // verifies signatures, which the library leaves to TLS otherwise
    for (const extension of [oidc.enableNonRepudiationChecks, ...insecure]) extension(configuration);
    return configuration;
  }

  async #fetch(outside: Outside, url: string, options: oidc.CustomFetchOptions): Promise<Response> {
    const { method, headers, body, signal } = options;
    const request = { method: method as OutboundRequest["method"], headers, mostRedirects: 0 };
    const sent =
      body === undefined || body === null ? {} : { body: String(body as URLSearchParams | string) };
    try {
      const answer = await this.#outbound.request(
        outside,
        url,
        { ...request, ...sent },
        signal ? { signal } : {},
      );
      const type = answer.headers["content-type"];
      return new Response(answer.body.toString("utf8"), {
        status: answer.status,
        headers: typeof type === "string" ? { "content-type": type } : {},
      });
    } catch (error) {
      if (error instanceof OutsideStatusError) return new Response(null, { status: error.status });
      throw error;
    }
  }
}

const person = z.object({
  email: z.string().trim().toLowerCase().max(254).pipe(z.email()).optional().catch(undefined),
  email_verified: z.boolean().optional().catch(undefined),
});
const idToken = person.extend({
  iss: z.string().min(1).max(500),
  sub: z.string().min(1).max(255),
  azp: z.string().optional(),
  hd: z.string().optional().catch(undefined),
  amr: z.array(z.string()).optional().catch(undefined),
});

function googleOf({ GOOGLE_CLIENT_ID: clientId, GOOGLE_CLIENT_SECRET: clientSecret }: Env): OidcProvider[] {
  if (clientId === undefined || clientSecret === undefined) return [];
  const issuer = "https://accounts.google.com";
  return [
    { key: "google", label: "Google", issuer, clientId, clientSecret, emailDomains: [], isMfaTrusted: false },
  ];
}

/** Whether the provider could not be asked, wherever in the chain of causes that stands. */
function isOfNetwork(error: unknown): boolean {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
    if (/^(OUTSIDE|OUTBOUND|DEADLINE)_/.test(errorType(cause) ?? "")) return true;
  return false;
}
