import { createHash, randomBytes } from "node:crypto";

/** A new token of a link that is mailed, 256 random bits, and the hash that is stored of it. */
export function newLinkToken(): { token: string; hash: string } {
  const token = randomBytes(32).toString("base64url");
  return { token, hash: linkHash(token) };
}

export const linkHash = (token: string): string => createHash("sha256").update(token).digest("hex");
