import { SignJWT, importJWK, type CryptoKey, type JWK } from "jose";
import { accessToken, type Claims } from "../../../mixins/access/access-token.ts";
import type { Runtime } from "../../../mixins/contract/service.ts";
import { newSigningKey, openSigningKey, signingKeyOr } from "./signing-keys.ts";

const reloadMs = 30_000;

/** Signs access tokens with the platform's present key; the first node that starts makes the first one. */
export class TokenIssuer {
  readonly #runtime: Runtime;
  #current: { kid: string; key: CryptoKey } | undefined;
  #reload: NodeJS.Timeout | undefined;
  /** Hears of each look for a successor that failed. */
  onError: (error: Error) => void = () => undefined;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Loads the signing key, and from then on its successors. @throws Error when MASTER_KEY does not open it */
  async start(): Promise<void> {
    await this.load();
    this.#reload ??= setInterval(() => {
      this.load().catch((error: unknown) => this.onError(error as Error));
    }, reloadMs).unref();
  }

  stop(): void {
    clearInterval(this.#reload);
  }

  /** Takes the key that signs now. */
  async load(): Promise<void> {
    const { database, sealedBox } = this.#runtime;
    const fresh = this.#current ? undefined : await newSigningKey(sealedBox);
    const row = await database.transaction({ platform: database.control }, (tx) => signingKeyOr(fresh, tx));
    if (!row || row.kid === this.#current?.kid) return;
    const jwk = JSON.parse(openSigningKey(sealedBox, row)) as JWK;
    this.#current = { kid: row.kid, key: (await importJWK(jwk, accessToken.algorithm)) as CryptoKey };
  }

  /** A signed token that ends after `accessToken.lifetimeSeconds`. */
  async issue({ userId, organizationId, sessionId, role }: Omit<Claims, "expiresAt">): Promise<string> {
    if (!this.#current) throw new Error("The token issuer has not started");
    const issuedAt = Math.floor(Date.now() / 1000);
    return new SignJWT({ org: organizationId, sid: sessionId, role })
      .setProtectedHeader({ alg: accessToken.algorithm, kid: this.#current.kid })
      .setIssuer(accessToken.issuer)
      .setSubject(userId)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + accessToken.lifetimeSeconds)
      .sign(this.#current.key);
  }
}
