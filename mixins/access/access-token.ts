import {
  decodeProtectedHeader,
  errors,
  importJWK,
  jwtVerify,
  type CryptoKey,
  type JWK,
  type JWTPayload,
} from "jose";
import { LRUCache } from "lru-cache";
import { appError, unauthorized } from "../contract/errors.ts";

/** How access tokens are made; whoever signs and whoever verifies agree here. */
export const accessToken = { algorithm: "EdDSA", issuer: "sangam", lifetimeSeconds: 600 } as const;

/** What a verified access token, or API key, says. */
export interface Claims {
  userId: string;
  organizationId: string;
  /** The API key's own id, if it is one. */
  sessionId: string;
  role: string;
  /** Of an API key; see Principal. */
  scopes?: readonly string[];
  /** Seconds since 1970. */
  expiresAt: number;
}

const rememberedTokens = 10_000;
const reloadPauseMs = 10_000;

/**
 * Verifies access tokens (RFC 7519) with the public keys of the identity service. Only EdDSA passes, whatever
 * a token's header claims. A token is verified once and then looked up until it expires; whether its session has ended, Revocations tells.
 */
export class AccessTokens {
  readonly #loadKeys: () => Promise<{ keys: JWK[] }>;
  readonly #now: () => number;
  readonly #verified = new LRUCache<string, Claims>({ max: rememberedTokens });
  #keys = new Map<string, CryptoKey>();
  #loadedAt = -Infinity;
  #loading: Promise<void> | undefined;

  /** @param now milliseconds since 1970 */
  constructor(loadKeys: () => Promise<{ keys: JWK[] }>, now: () => number = Date.now) {
    this.#loadKeys = loadKeys;
    this.#now = now;
  }

  /**
   * @param ofStranger called before the signature of a token is verified that never passed here; what it throws is thrown
   * @throws 401 TOKEN_EXPIRED, TOKEN_INVALID; 503 while the keys cannot be had
   */
  async verify(token: string, ofStranger?: () => void): Promise<Claims> {
    let claims = this.#verified.get(token);
    if (claims === undefined) {
      ofStranger?.();
      claims = await this.#verifySignature(token);
      this.#verified.set(token, claims);
    }
    if (claims.expiresAt * 1000 <= this.#now()) throw tokenExpired();
    return claims;
  }

  async #verifySignature(token: string): Promise<Claims> {
    const key = await this.#keyOf(keyIdOf(token));
    if (key === undefined) throw tokenInvalid();
    try {
      const { payload } = await jwtVerify(token, key, {
        algorithms: [accessToken.algorithm],
        issuer: accessToken.issuer,
        requiredClaims: ["exp"],
        currentDate: new Date(this.#now()),
      });
      return claimsOf(payload);
    } catch (error) {
      throw error instanceof errors.JWTExpired ? tokenExpired() : tokenInvalid();
    }
  }

  async #keyOf(keyId: string): Promise<CryptoKey | undefined> {
    if (!this.#keys.has(keyId) && (this.#loading || this.#now() - this.#loadedAt >= reloadPauseMs)) {
      this.#loading ??= this.#load().finally(() => (this.#loading = undefined));
      await this.#loading;
    }
    return this.#keys.get(keyId);
  }

  async #load(): Promise<void> {
    try {
      const { keys } = await this.#loadKeys();
      const imported = await Promise.all(keys.map((jwk) => importJWK(jwk, accessToken.algorithm)));
      this.#keys = new Map(keys.map((jwk, index) => [jwk.kid ?? "", imported[index] as CryptoKey]));
    } catch (error) {
      throw appError(503, "SIGN_IN_UNAVAILABLE", "Access tokens cannot be verified now; try again.", {
        cause: error instanceof Error ? error.message : String(error),
      });
    }
    // an installation has a key from its start on: whoever asked before that asks again at once
    if (this.#keys.size > 0) this.#loadedAt = this.#now();
  }
}

const tokenInvalid = () => unauthorized("TOKEN_INVALID", "The access token is not valid.");
const tokenExpired = () => unauthorized("TOKEN_EXPIRED", "The access token has expired; refresh it.");

/** The key a token names, without believing it. @throws 401 TOKEN_INVALID when it names none or is no JWT */
function keyIdOf(token: string): string {
  let keyId: unknown;
  try {
    keyId = decodeProtectedHeader(token).kid;
  } catch {
    throw tokenInvalid();
  }
  if (typeof keyId !== "string") throw tokenInvalid();
  return keyId;
}

function claimsOf({ sub, org, sid, role, exp }: JWTPayload): Claims {
  if (
    typeof sub !== "string"
    || typeof org !== "string"
    || typeof sid !== "string"
    || typeof role !== "string"
  )
    throw tokenInvalid();
  return { userId: sub, organizationId: org, sessionId: sid, role, expiresAt: exp as number };
}
