import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import type { OrganizationCipher } from "../../../mixins/encryption/organization-cipher.ts";
import type { Runtime } from "../../../mixins/contract/service.ts";
import type { SealedBox } from "../../../mixins/encryption/sealed-box.ts";
import { recoveryHash, stepOf } from "./totp.ts";

/** A user's TOTP seed, sealed; it counts once it has been confirmed. */
export interface Factor {
  sealedSecret: Buffer;
  /** False: MASTER_KEY itself sealed it, before organizations had keys of their own. */
  isUnderOrganizationKey: boolean;
  isConfirmed: boolean;
}

/** What opens the seeds of an organization. */
export interface SeedKeys {
  cipher: OrganizationCipher;
  box: SealedBox;
}
/** Ask for them before the transaction, as of `OrganizationKeys.of`. */
export const seedKeys = async (
  { organizationKeys, sealedBox }: Runtime,
  organizationId: string,
): Promise<SeedKeys> => ({ cipher: await organizationKeys.of(organizationId), box: sealedBox });

const place = (userId: string) => ({ table: "control.totp_factors", column: "sealed_secret", row: userId });
/** The seed of a factor. */
export const openSeed = ({ cipher, box }: SeedKeys, userId: string, factor: Factor): string =>
  factor.isUnderOrganizationKey
    ? cipher.open(place(userId), factor.sealedSecret)
    : box.open(factor.sealedSecret, Object.values(place(userId)).join("|"));

const factorColumns = `sealed_secret AS "sealedSecret", is_under_organization_key AS "isUnderOrganizationKey",
  confirmed_at IS NOT NULL AS "isConfirmed"`;

/** The user's second factor, confirmed or not, or null. */
export async function findFactor(tx: UnitOfWork, userId: string): Promise<Factor | null> {
  const [factor] = await tx.query<Factor>({
    name: "find_factor",
    text: `SELECT ${factorColumns} FROM control.totp_factors WHERE user_id = $1`,
    values: [userId],
  });
  return factor ?? null;
}

/** Keeps a new seed in the place of one that was not confirmed. Answers false when one was. */
export async function replaceSeed(
  tx: UnitOfWork,
  cipher: OrganizationCipher,
  userId: string,
  secret: string,
): Promise<boolean> {
  const kept = await tx.execute({
    name: "replace_seed",
    text: `INSERT INTO control.totp_factors AS f
        (user_id, organization_id, sealed_secret, is_under_organization_key, created_at)
      VALUES ($1, $2, $3, true, $4)
      ON CONFLICT (user_id) DO UPDATE SET sealed_secret = excluded.sealed_secret,
        is_under_organization_key = true, created_at = excluded.created_at
        WHERE f.confirmed_at IS NULL`,
    values: [userId, tx.organizationId, cipher.seal(place(userId), secret), tx.now],
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
  keys: SeedKeys,
  { userId, factor, code }: { userId: string; factor: Factor; code: string },
): Promise<boolean> {
  const step = stepOf(code, openSeed(keys, userId, factor), tx.now);
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

const resealedAtOnce = 200;

/**
 * Seals the seeds that MASTER_KEY itself sealed with their organizations' keys, in small transactions: it may die
 * anywhere, run twice and run at once.
 * @returns how many
 */
export async function resealSeeds(runtime: Runtime): Promise<number> {
  const { database, sealedBox: box } = runtime;
  const platform = database.control;
  let resealed = 0;
  for (let after = "00000000-0000-0000-0000-000000000000"; ;) {
    const found = await database.transaction({ platform }, (tx) =>
      tx.query<{ user_id: string; organization_id: string }>({
        text: `SELECT user_id, organization_id FROM control.totp_factors
          WHERE NOT is_under_organization_key AND user_id > $1 ORDER BY user_id LIMIT $2`,
        values: [after, resealedAtOnce],
      }),
    );
    const last = found.at(-1);
    if (!last) return resealed;
    after = last.user_id;
    for (const { user_id: userId, organization_id: organizationId } of found) {
      const keys = { box, cipher: await runtime.organizationKeys.of(organizationId) };
      resealed += await database.transaction({ control: organizationId }, (tx) => reseal(tx, keys, userId));
    }
  }
}

async function reseal(tx: UnitOfWork, keys: SeedKeys, userId: string): Promise<number> {
  const [factor] = await tx.query<Factor>({
    text: `SELECT ${factorColumns} FROM control.totp_factors
      WHERE user_id = $1 AND NOT is_under_organization_key FOR NO KEY UPDATE`,
    values: [userId],
  });
  if (!factor) return 0;
  return tx.execute({
    text: `UPDATE control.totp_factors SET sealed_secret = $2, is_under_organization_key = true WHERE user_id = $1`,
    values: [userId, keys.cipher.seal(place(userId), openSeed(keys, userId, factor))],
  });
}
