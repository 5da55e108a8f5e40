import { createHash, randomBytes } from "node:crypto";
import { LRUCache } from "lru-cache";
import { accessToken, type Claims } from "./access-token.ts";
import { unauthorized } from "../contract/errors.ts";

/** An API key as it is looked up: never the key itself. */
export interface ApiKeyDigest {
  /** Names the key; no secret. */
  prefix: string;
  /** SHA-256 of the whole key, in hex: 256 random bits need no slow hash. */
  hash: string;
}

/** A live key, as the identity service knows it. */
export interface FoundApiKey {
  id: string;
  organizationId: string;
  userId: string;
  /** Of its user, now. */
  role: string;
  scopes: string[];
  /** ISO 8601; null: never. */
  expiresAt: string | null;
}

const mark = "sgm_";
const pattern = /^sgm_([0-9a-f]{12})_[\w-]{43}$/;

/** A new key, `sgm_<prefix>_<32 random bytes>`, and what is stored of it. */
export function newApiKey(): ApiKeyDigest & { key: string } {
  const prefix = randomBytes(6).toString("hex");
  const key = `${mark}${prefix}_${randomBytes(32).toString("base64url")}`;
  return { key, prefix, hash: hashOf(key) };
}

/** Whether a credential claims to be an API key; an access token never does. */
export const isApiKey = (credential: string): boolean => credential.startsWith(mark);

const hashOf = (key: string): string => createHash("sha256").update(key).digest("hex");

/** How long a key is believed without a look at it: the longest it works after its end when nobody tells of it. */
const believedMs = 2_000;
const remembered = 10_000;

/** Verifies API keys, asking the identity service at most once in two seconds for each. */
export class ApiKeys {
  readonly #find: (key: ApiKeyDigest) => Promise<FoundApiKey | null>;
  readonly #now: () => number;
  /** By hash, so that a dump of memory tells no key. */
  readonly #found = new LRUCache<string, { key: FoundApiKey; askedAt: number }>({ max: remembered });
  readonly #asking = new Map<string, Promise<FoundApiKey | null>>();

  /** @param now milliseconds since 1970 */
  constructor(find: (key: ApiKeyDigest) => Promise<FoundApiKey | null>, now: () => number = Date.now) {
    this.#find = find;
    this.#now = now;
  }

  /**
   * What the key permits. Whatever is open under it is to be verified again after an access token's lifetime.
   * @param ofStranger called before a key is looked up that never passed here; what it throws is thrown
   * @throws 401 API_KEY_INVALID; 503 while keys cannot be looked up
   */
  async verify(credential: string, ofStranger?: () => Promise<void>): Promise<Claims> {
    const prefix = pattern.exec(credential)?.[1];
    if (prefix === undefined) {
      await ofStranger?.();
      throw apiKeyInvalid();
    }
    const hash = hashOf(credential);
    const known = this.#found.get(hash);
    const now = this.#now();
    let key: FoundApiKey | null | undefined = known?.key;
    if (known === undefined || now - known.askedAt >= believedMs) {
      if (known === undefined) await ofStranger?.();
      key = await this.#ask({ prefix, hash });
    }
    const endsAt = key?.expiresAt == null ? Infinity : Date.parse(key.expiresAt);
    if (!key || endsAt <= now) throw apiKeyInvalid();
    const { id, organizationId, userId, role, scopes } = key;
    const expiresAt = Math.floor(Math.min(endsAt, now + accessToken.lifetimeSeconds * 1000) / 1000);
    return { organizationId, userId, role, scopes, sessionId: id, expiresAt };
  }

  /** Looks a key up before it is used again. */
  forget(id: string): void {
    for (const [hash, { key }] of this.#found.entries()) if (key.id === id) this.#found.delete(hash);
  }

  #ask(digest: ApiKeyDigest): Promise<FoundApiKey | null> {
    const { hash } = digest;
    let asking = this.#asking.get(hash);
    if (!asking) {
      // an answer is as old as its question: the key may have ended on the way back
      const askedAt = this.#now();
      asking = this.#find(digest)
        .then((key) => {
          if (key) this.#found.set(hash, { key, askedAt });
          else this.#found.delete(hash);
          return key;
        })
        .finally(() => this.#asking.delete(hash));
      this.#asking.set(hash, asking);
    }
    return asking;
  }
}

export const apiKeyInvalid = () =>
  unauthorized("API_KEY_INVALID", "The API key is unknown, was revoked or has expired.");
