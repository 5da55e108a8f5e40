import { createHash, randomBytes } from "node:crypto";
import { Secret, TOTP } from "otpauth";

const periodSeconds = 30;

/** A new seed (160 bits, base32, RFC 4226), and the URI that authenticator apps read as a QR code. */
export function newSeed(email: string): { secret: string; uri: string } {
  const secret = new Secret({ size: 20 });
  return { secret: secret.base32, uri: totpOf(secret.base32, email).toString() };
}

/**
 * The time-step a code is of, or null when it is wrong: the present one, or a neighbour for clocks that differ.
 * Whoever accepts the code must see to it that its step is accepted once (RFC 6238, 5.2).
 */
export function stepOf(code: string, secret: string, now: Date): number | null {
  if (!/^\d{6}$/.test(code)) return null;
  const timestamp = now.getTime();
  const delta = totpOf(secret).validate({ token: code, timestamp, window: 1 });
  return delta === null ? null : Math.floor(timestamp / 1000 / periodSeconds) + delta;
}

const totpOf = (secret: string, label = ""): TOTP =>
  new TOTP({ issuer: "Sangam", label, algorithm: "SHA1", digits: 6, period: periodSeconds, secret });

const recoveryCodes = 10;
const base32 = "abcdefghijklmnopqrstuvwxyz234567";

/** Ten new recovery codes of 80 random bits, like `k3vt-…`. */
export const newRecoveryCodes = (): string[] =>
  Array.from({ length: recoveryCodes }, () => {
    const letters = [...randomBytes(16)].map((byte) => base32[byte % 32]).join("");
    return letters.match(/.{4}/g)?.join("-") ?? "";
  });

/** What is stored of a recovery code; null when it cannot be one. */
export function recoveryHash(code: string, userId: string): string | null {
  const letters = code.toLowerCase().replaceAll(/[\s-]/g, "");
  if (!/^[a-z2-7]{16}$/.test(letters)) return null;
  // 80 random bits need no slow hash
  return createHash("sha256").update(`${userId}|${letters}`).digest("hex");
}
