import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { SealedBox } from "../../mixins/sealed-box.ts";
import { recoveryHash, stepOf } from "./totp.ts";

/** A user's TOTP seed, sealed; it counts once it has been confirmed. */
export interface Factor {
  sealedSecret: Buffer;
  isConfirmed: boolean;
}

const sealContext = (userId: string): string => `control.totp_factors|sealed_secret|${userId}`;
/** The seed of a factor. */
export const openSeed = (box: SealedBox, userId: string, factor: Factor): string =>
  box.open(factor.sealedSecret, sealContext(userId));

/** The user's second factor, confirmed or not, or null. */
export async function findFactor(tx: UnitOfWork, userId: string): Promise<Factor | null> {
  const [factor] = await tx.query<Factor>({
    name: "find_factor",
    text: `SELECT sealed_secret AS "sealedSecret", confirmed_at IS NOT NULL AS "isConfirmed"
      FROM control.totp_factors WHERE user_id = $1`,
    values: [userId],
  });
  return factor ?? null;
}

/** Keeps a new seed in the place of one that was not confirmed. Answers false when one was. */
export async function replaceSeed(
  tx: UnitOfWork,
  box: SealedBox,
  userId: string,
  secret: string,
): Promise<boolean> {
  const kept = await tx.execute({
    name: "replace_seed",
    text: `INSERT INTO control.totp_factors AS f (user_id, organization_id, sealed_secret, created_at)
      VALUES ($1, $2, $3, $4)
      ON CONFLICT (user_id) DO UPDATE SET sealed_secret = excluded.sealed_secret, created_at = excluded.created_at
        WHERE f.confirmed_at IS NULL`,
    values: [userId, tx.organizationId, box.seal(secret, sealContext(userId)), tx.now],
  });
  return kept === 1;
}

/** Confirms the seed with a code of this step. Of many at once, one succeeds. */
export async function confirmFactor(tx: UnitOfWork, userId: string, step: number): Promise<boolean> {
  const confirmed = await tx.execute({
    name: "confirm_factor",
    text: `UPDATE control.totp_factors SET confirmed_at = $2, last_step = $3
      WHERE user_id = $1 AND confirmed_at IS NULL`,
    values: [userId, tx.now, step],
  });
  return confirmed === 1;
}

/** Keeps the hashes of a user's only recovery codes. */
export async function replaceRecoveryCodes(
  tx: UnitOfWork,
  userId: string,
  codes: readonly string[],
): Promise<void> {
  await tx.execute({
    text: "DELETE FROM control.recovery_codes WHERE user_id = $1",
    values: [userId],
  });
  await tx.execute({
    text: `INSERT INTO control.recovery_codes (organization_id, user_id, hash)
      SELECT $1, $2, unnest($3::text[])`,
    values: [tx.organizationId, userId, codes.map((code) => recoveryHash(code, userId))],
  });
}

/**
 * Uses up a code of the user's authenticator, or a recovery code: each once, also when many come at the same time,
 * for the row is locked until this transaction ends. Answers false when the code is wrong or used up.
 */
export async function useCode(
  tx: UnitOfWork,
  box: SealedBox,
  { userId, factor, code }: { userId: string; factor: Factor; code: string },
): Promise<boolean> {
  const step = stepOf(code, openSeed(box, userId, factor), tx.now);
  const hash = recoveryHash(code, userId);
  if (step === null && hash === null) return false;
  const used =
    step === null
      ? await tx.execute({
          name: "use_recovery_code",
          text: "DELETE FROM control.recovery_codes WHERE user_id = $1 AND hash = $2",
          values: [userId, hash],
        })
      : await tx.execute({
          name: "use_totp_step",
          text: `UPDATE control.totp_factors SET last_step = $2
            WHERE user_id = $1 AND confirmed_at IS NOT NULL AND last_step < $2`,
          values: [userId, step],
        });
  return used === 1;
}

/** Forgets a user's second factor and its recovery codes. */
export async function removeFactor(tx: UnitOfWork, userId: string): Promise<void> {
  await tx.execute({ text: "DELETE FROM control.totp_factors WHERE user_id = $1", values: [userId] });
  await tx.execute({ text: "DELETE FROM control.recovery_codes WHERE user_id = $1", values: [userId] });
}
