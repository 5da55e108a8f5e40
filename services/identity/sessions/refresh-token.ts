import { createHash, randomBytes } from "node:crypto";
import { isUuid } from "../../../mixins/database/statement.ts";

export const refreshLifetimeMs = 7 * 24 * 3_600_000;

/** A new opaque refresh token of a session, `<session id>.<32 random bytes>`, and the hash that is stored of it. */
export function newRefreshToken(sessionId: string): { token: string; hash: string } {
  const token = `${sessionId}.${randomBytes(32).toString("base64url")}`;
  return { token, hash: hashOf(token) };
}

/** The session a refresh token claims to be of, and its hash; null when it cannot be one. */
export function readRefreshToken(token: string): { sessionId: string; hash: string } | null {
  const [sessionId = "", secret = "", ...rest] = token.split(".");
  if (!isUuid(sessionId) || secret.length !== 43 || rest.length > 0) return null;
  return { sessionId, hash: hashOf(token) };
}

// 256 random bits need no slow hash
const hashOf = (token: string): string => createHash("sha256").update(token).digest("hex");
