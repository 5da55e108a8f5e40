import {
  SignJWT,
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  importJWK,
  type CryptoKey,
  type JWK,
} from "jose";
import { accessToken, type Claims } from "../../mixins/access-token.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { Runtime } from "../../mixins/service.ts";

interface SigningKey {
  kid: string;
  publicJwk: JWK;
  sealedPrivateJwk: Buffer;
}

/** Signs access tokens with the platform's newest key, which the first node that starts makes. */
export class TokenIssuer {
  readonly #runtime: Runtime;
  #current: { kid: string; key: CryptoKey } | undefined;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Loads the signing key. @throws Error when MASTER_KEY does not open it */
  async start(): Promise<void> {
    const { database, sealedBox } = this.#runtime;
    const fresh = await newSigningKey((secret, kid) => sealedBox.seal(secret, sealContext(kid)));
    const { kid, sealedPrivateJwk } = await database.transaction({ platform: database.control }, (tx) =>
      newestKeyOr(fresh, tx),
    );
    const jwk = JSON.parse(sealedBox.open(sealedPrivateJwk, sealContext(kid))) as JWK;
    this.#current = { kid, key: (await importJWK(jwk, accessToken.algorithm)) as CryptoKey };
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

/** The public half of every signing key, newest first; older ones verify what they signed before. */
export async function publicKeys(tx: UnitOfWork): Promise<Record<string, unknown>[]> {
  const rows = await tx.query<{ public_jwk: Record<string, unknown> }>({
    name: "public_keys",
    text: "SELECT public_jwk FROM control.signing_keys ORDER BY created_at DESC, kid",
  });
  return rows.map((row) => row.public_jwk);
}

const sealContext = (kid: string): string => `control.signing_keys|sealed_private_jwk|${kid}`;

async function newSigningKey(seal: (secret: string, kid: string) => Buffer): Promise<SigningKey> {
  const pair = await generateKeyPair(accessToken.algorithm, { extractable: true });
  const publicJwk = await exportJWK(pair.publicKey);
  const kid = await calculateJwkThumbprint(publicJwk);
  return {
    kid,
    publicJwk: { ...publicJwk, kid, use: "sig", alg: accessToken.algorithm },
    sealedPrivateJwk: seal(JSON.stringify(await exportJWK(pair.privateKey)), kid),
  };
}

/** The newest key of the platform, or `fresh` if there is none. Nodes that start at once agree: they take turns. */
async function newestKeyOr(
  fresh: SigningKey,
  tx: UnitOfWork,
): Promise<Pick<SigningKey, "kid" | "sealedPrivateJwk">> {
  await tx.query({ text: "SELECT pg_advisory_xact_lock(hashtext('control.signing_keys'))" });
  const [newest] = await tx.query<{ kid: string; sealed_private_jwk: Buffer }>({
    text: "SELECT kid, sealed_private_jwk FROM control.signing_keys ORDER BY created_at DESC, kid LIMIT 1",
  });
  if (newest) return { kid: newest.kid, sealedPrivateJwk: newest.sealed_private_jwk };
  await tx.execute({
    text: "INSERT INTO control.signing_keys (kid, public_jwk, sealed_private_jwk) VALUES ($1, $2, $3)",
    values: [fresh.kid, JSON.stringify(fresh.publicJwk), fresh.sealedPrivateJwk],
  });
  return fresh;
}
