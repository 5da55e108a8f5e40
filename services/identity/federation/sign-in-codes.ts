import { createHash } from "node:crypto";
import type { User } from "../../../entities/control.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import { linkHash, newLinkToken } from "../sign-in/link-token.ts";

/** Long enough to type a code of the authenticator app. */
export const codeSeconds = 300;

/** Who may use a code: the front end with the verifier of this challenge, or this browser. */
export type CodeBearer = { challenge: string } | { browserHash: string };

/** A sign-in that is done but for the second factor, and for who has begun it. */
export interface SignInCode {
  organizationId: string;
  userId: string;
  provider: string;
  isSecondFactorDone: boolean;
}

/** Keeps the end of a sign-in under a new code, which works once. */
export async function keepCode(
  tx: UnitOfWork,
  user: User,
  {
    provider,
    isSecondFactorDone,
    bearer,
  }: Pick<SignInCode, "provider" | "isSecondFactorDone"> & { bearer: CodeBearer },
): Promise<string> {
  const { token, hash } = newLinkToken();
  await tx.execute({
    name: "keep_sign_in_code",
    text: `INSERT INTO control.sign_in_codes
        (hash, organization_id, user_id, provider, is_second_factor_done, challenge, browser_hash, expires_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8::timestamptz + $9 * interval '1 s')`,
    values: [
      hash,
      user.organizationId,
      user.id,
      provider,
      isSecondFactorDone,
      "challenge" in bearer ? bearer.challenge : null,
      "browserHash" in bearer ? bearer.browserHash : null,
      tx.now,
      codeSeconds,
    ],
  });
  return token;
}

/** Organization of the user whose code this is, or null. */
export async function ownerOf(tx: UnitOfWork, code: string): Promise<string | null> {
  const [row] = await tx.query<{ organization_id: string }>({
    name: "owner_of_sign_in_code",
    text: "SELECT organization_id FROM control.sign_in_codes WHERE hash = $1",
    values: [linkHash(code)],
  });
  return row?.organization_id ?? null;
}

/** Uses a code up, if `tx` commits; of many who try, one gets it. Answers null when it is not the bearer's. */
export async function useCode(
  tx: UnitOfWork,
  code: string,
  bearer: { verifier?: string | undefined; browserKey?: string | undefined },
): Promise<SignInCode | null> {
  const challenge = bearer.verifier && createHash("sha256").update(bearer.verifier).digest("base64url");
  const [used] = await tx.query<{ [K in keyof SignInCode]: SignInCode[K] }>({
    name: "use_sign_in_code",
    text: `DELETE FROM control.sign_in_codes WHERE hash = $1 AND expires_at > $2
        AND CASE WHEN challenge IS NULL THEN browser_hash = $3 ELSE challenge = $4 END
      RETURNING organization_id AS "organizationId", user_id AS "userId", provider,
        is_second_factor_done AS "isSecondFactorDone"`,
    values: [linkHash(code), tx.now, bearer.browserKey && linkHash(bearer.browserKey), challenge],
  });
  return used ?? null;
}
