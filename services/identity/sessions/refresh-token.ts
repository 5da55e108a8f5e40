import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { isUuid } from "../../../mixins/database/statement.ts";
import type { SealedBox } from "../../../mixins/encryption/sealed-box.ts";

export const refreshLifetimeMs = 7 * 24 * 3_600_000;

const randomLength = 16;
const markLength = 16;

/**
 * A new refresh token of a session, `<session id>.<16 random bytes, and 16 that mark them as ours>`, and the hash that is
 * stored of it. The mark tells one that was really issued, and so is in two hands when it comes again, from an invented one.
 */
export function newRefreshToken(box: SealedBox, sessionId: string): { token: string; hash: string } {
  const random = randomBytes(randomLength);
  const mark = Buffer.from(box.mac("refresh token", textOf(sessionId, random)), "base64url").subarray(
    0,
    markLength,
  );
  const token = `${sessionId}.${Buffer.concat([random, mark]).toString("base64url")}`;
  return { token, hash: hashOf(token) };
}

/** What a refresh token claims to be. */
export interface ClaimedToken {
  sessionId: string;
  hash: string;
  /** Whether it was issued here, under a master key that is still listed. */
  isOurs(box: SealedBox): boolean;
}

/** The session a refresh token claims to be of, and its hash; null when it cannot be one. */
export function readRefreshToken(token: string): ClaimedToken | null {
  const [sessionId = "", secret = "", ...rest] = token.split(".");
  if (!isUuid(sessionId) || secret.length !== 43 || rest.length > 0) return null;
  const bytes = Buffer.from(secret, "base64url");
  const random = bytes.subarray(0, randomLength);
  const mark = bytes.subarray(randomLength);
  return {
    sessionId,
    hash: hashOf(token),
    isOurs: (box) =>
      box.macs("refresh token", textOf(sessionId, random)).some((mac) => {
        const expected = Buffer.from(mac, "base64url").subarray(0, markLength);
        return expected.length === mark.length && timingSafeEqual(expected, mark);
      }),
  };
}

const textOf = (sessionId: string, random: Buffer): string => `${sessionId} ${random.toString("hex")}`;

// its random bits need no slow hash
const hashOf = (token: string): string => createHash("sha256").update(token).digest("hex");
