import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import type { SealedBox } from "../../../mixins/encryption/sealed-box.ts";
import { linkHash } from "../sign-in/link-token.ts";

const validMinutes = 10;

/** A sign-in that leads over another site, from where it may come back once, to the browser it began in. */
export interface Attempt {
  /** `oidc:<key>` or `saml`. */
  provider: string;
  /** Who links the provider to themselves, or whose provider it is. */
  organizationId: string | null;
  userId: string | null;
  /** What only this side may know: nonce and code verifier. */
  secrets: Record<string, string>;
  front: FrontEnd | null;
}

/** Where a sign-in returns to. */
export interface FrontEnd {
  redirect: string;
  /** SHA-256 (base64url) of what the front end will prove itself with; null where it gets no code. */
  challenge: string | null;
}

const sealContext = (hash: string): string => `control.sign_in_attempts|sealed_secrets|${hash}`;

/** Keeps a sign-in that begins, under a token that goes with it and comes back. */
export async function keepAttempt(
  tx: UnitOfWork,
  box: SealedBox,
  { token, browserKey }: { token: string; browserKey: string },
  { organizationId, userId, provider, secrets, front }: Attempt,
): Promise<void> {
  const hash = linkHash(token);
  await tx.execute({
    name: "keep_sign_in_attempt",
    text: `INSERT INTO control.sign_in_attempts
        (hash, organization_id, user_id, provider, browser_hash, sealed_secrets, redirect, challenge, expires_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::timestamptz + $10 * interval '1 minute')`,
    values: [
      hash,
      organizationId,
      userId,
      provider,
      linkHash(browserKey),
      box.seal(JSON.stringify(secrets), sealContext(hash)),
      front?.redirect,
      front?.challenge,
      tx.now,
      validMinutes,
    ],
  });
}

interface AttemptRow {
  organization_id: string | null;
  user_id: string | null;
  sealed_secrets: Buffer;
  redirect: string | null;
  challenge: string | null;
  browser_hash: string;
}

/**
 * Takes a sign-in that came back; of many who try, one gets it. Answers null when it was taken, has ended, or is of
 * another browser or provider.
 * @param from.browserKey undefined: not checked here, and the caller must bind what comes next to `browserHash`
 */
export async function takeAttempt(
  tx: UnitOfWork,
  box: SealedBox,
  from: { token: string; provider: string; browserKey: string | undefined; organizationId?: string },
): Promise<(Attempt & { browserHash: string }) | null> {
  const hash = linkHash(from.token);
  const [row] = await tx.query<AttemptRow>({
    name: "take_sign_in_attempt",
    text: `DELETE FROM control.sign_in_attempts
      WHERE hash = $1 AND provider = $2 AND expires_at > $3
        AND ($4::text IS NULL OR browser_hash = $4) AND ($5::uuid IS NULL OR organization_id = $5)
      RETURNING organization_id, user_id, sealed_secrets, redirect, challenge, browser_hash`,
    values: [
      hash,
      from.provider,
      tx.now,
      from.browserKey === undefined ? null : linkHash(from.browserKey),
      from.organizationId,
    ],
  });
  if (!row) return null;
  const { redirect, challenge } = row;
  return {
    provider: from.provider,
    organizationId: row.organization_id,
    userId: row.user_id,
    secrets: JSON.parse(box.open(row.sealed_secrets, sealContext(hash))) as Record<string, string>,
    front: redirect === null ? null : { redirect, challenge },
    browserHash: row.browser_hash,
  };
}

/** Forgets sign-ins that never came back or on, and assertions that have ended: some thousands at a time. */
export async function forgetAttempts(tx: UnitOfWork): Promise<void> {
  for (const table of ["sign_in_attempts", "sign_in_codes", "saml_assertions"])
    await tx.execute({
      text: `DELETE FROM control.${table} WHERE hash IN (SELECT hash FROM control.${table}
        WHERE expires_at < now() LIMIT 10000 FOR UPDATE SKIP LOCKED) AND expires_at < now()`,
    });
}
