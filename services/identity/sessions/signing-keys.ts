import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from "jose";
import { accessToken } from "../../../mixins/access/access-token.ts";
import type { Database } from "../../../mixins/database/database.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import type { SealedBox } from "../../../mixins/encryption/sealed-box.ts";

/** A new key signs this long after it was published: verifiers look at most every 10 s, others keep what they read. */
const publishedBeforeSeconds = 600;
/** A key goes this long after its successor began to sign; the last token it signed lived 10 minutes. */
const keptAfterSeconds = 24 * 3600;

interface SigningKey {
  kid: string;
  publicJwk: JWK;
  sealedPrivateJwk: Buffer;
  masterKeyId: string;
}
/** The part of a signing key that signs. */
export type SealedSigningKey = Pick<SigningKey, "kid" | "sealedPrivateJwk">;

const sealContext = (kid: string): string => `control.signing_keys|sealed_private_jwk|${kid}`;

/** A new key pair; its private half is sealed with the newest MASTER_KEY. */
export async function newSigningKey(box: SealedBox): Promise<SigningKey> {
  const pair = await generateKeyPair(accessToken.algorithm, { extractable: true });
  const publicJwk = await exportJWK(pair.publicKey);
  const kid = await calculateJwkThumbprint(publicJwk);
  return {
    kid,
    publicJwk: { ...publicJwk, kid, use: "sig", alg: accessToken.algorithm },
    sealedPrivateJwk: box.seal(JSON.stringify(await exportJWK(pair.privateKey)), sealContext(kid)),
    masterKeyId: box.newestKeyId,
  };
}

/** The private half, as a JWK in JSON. @throws Error when no MASTER_KEY opens it */
export const openSigningKey = (box: SealedBox, { kid, sealedPrivateJwk }: SealedSigningKey): string =>
  box.open(sealedPrivateJwk, sealContext(kid));

/** The public half of every signing key, newest first; older ones verify what they signed before. */
export async function publicKeys(tx: UnitOfWork): Promise<Record<string, unknown>[]> {
  const rows = await tx.query<{ public_jwk: Record<string, unknown> }>({
    name: "public_keys",
    text: "SELECT public_jwk FROM control.signing_keys ORDER BY created_at DESC, kid",
  });
  return rows.map((row) => row.public_jwk);
}

/** The key that signs now, or `fresh`, kept, if there is none. Nodes that start at once agree: they take turns. */
export async function signingKeyOr(
  fresh: SigningKey | undefined,
  tx: UnitOfWork,
): Promise<SealedSigningKey | undefined> {
  if (fresh) await lockKeys(tx);
  const [current] = await tx.query<{ kid: string; sealed_private_jwk: Buffer }>({
    // not now(): who began earlier and had the lock later would find the other's key to be of the future
    text: `SELECT kid, sealed_private_jwk FROM control.signing_keys WHERE signs_from <= clock_timestamp()
      ORDER BY signs_from DESC, kid LIMIT 1`,
  });
  if (current) return { kid: current.kid, sealedPrivateJwk: current.sealed_private_jwk };
  if (fresh) await insertKey(tx, fresh, 0);
  return fresh;
}

/**
 * Publishes a new key when the newest is older than `maxAgeDays`, and drops those whose last token ended long ago.
 * Of several at once, one publishes.
 */
export async function rotateSigningKeys(
  database: Database,
  box: SealedBox,
  maxAgeDays: number,
): Promise<void> {
  const fresh = await newSigningKey(box);
  await database.transaction({ platform: database.control }, async (tx) => {
    await lockKeys(tx);
    const recent = await tx.query({
      // one of the future was made while the clock was ahead; not now(), as in signingKeyOr
      text: `SELECT FROM control.signing_keys
        WHERE created_at > now() - $1 * interval '1 day' AND created_at <= clock_timestamp() LIMIT 1`,
      values: [maxAgeDays],
    });
    if (recent.length === 0) await insertKey(tx, fresh, publishedBeforeSeconds);
    tx.defer({
      text: `DELETE FROM control.signing_keys k WHERE EXISTS (SELECT FROM control.signing_keys newer
        WHERE newer.signs_from > k.signs_from AND newer.signs_from < now() - $1 * interval '1 s')`,
      values: [keptAfterSeconds],
    });
  });
}

/** Seals anew, under the newest MASTER_KEY, what an older one sealed. It may run twice and at once. */
export async function rewrapSigningKeys(database: Database, box: SealedBox): Promise<void> {
  await database.transaction({ platform: database.control }, async (tx) => {
    const rows = await tx.query<SealedSigningKey>({
      text: `SELECT kid, sealed_private_jwk AS "sealedPrivateJwk" FROM control.signing_keys
        WHERE master_key_id IS DISTINCT FROM $1 FOR UPDATE SKIP LOCKED`,
      values: [box.newestKeyId],
    });
    for (const row of rows)
      tx.defer({
        text: "UPDATE control.signing_keys SET sealed_private_jwk = $2, master_key_id = $3 WHERE kid = $1",
        values: [row.kid, box.seal(openSigningKey(box, row), sealContext(row.kid)), box.newestKeyId],
      });
  });
}

const lockKeys = (tx: UnitOfWork) =>
  tx.query({ text: "SELECT pg_advisory_xact_lock(hashtext('control.signing_keys'))" });

const insertKey = (tx: UnitOfWork, key: SigningKey, signsInSeconds: number) =>
  tx.execute({
    text: `INSERT INTO control.signing_keys (kid, public_jwk, sealed_private_jwk, master_key_id, signs_from)
      VALUES ($1, $2, $3, $4, now() + $5 * interval '1 s')`,
    values: [key.kid, JSON.stringify(key.publicJwk), key.sealedPrivateJwk, key.masterKeyId, signsInSeconds],
  });
