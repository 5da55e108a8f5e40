import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  randomBytes,
  type KeyObject,
} from "node:crypto";

/**
 * Encrypts secrets at rest with AES-256-GCM under the newest master key; opens what any listed key sealed.
 * Layout: 12 bytes nonce, 16 bytes tag, ciphertext. `context` (table|column|row) is authenticated with it,
 * so a sealed value moved to another place does not open.
 */
export class SealedBox {
  // as key objects: Node takes ten microseconds to find out that a buffer is none
  readonly #keys: readonly KeyObject[];
  /** Names the key that seals, without telling anything of it. */
  readonly newestKeyId: string;

  /** @param keys base64 of 32 bytes each, newest first */
  constructor(keys: readonly string[]) {
    this.#keys = keys.map((key) => createSecretKey(key, "base64"));
    this.newestKeyId = createHmac("sha256", this.#keys[0] as KeyObject)
      .update("key id")
      .digest("hex")
      .slice(0, 16);
  }

  /** A keyed hash: whoever reads it later cannot try out what it was made of. Changes with the newest key. */
  mac(purpose: string, text: string): string {
    return macUnder(this.#keys[0] as KeyObject, purpose, text);
  }

  /** As `mac`, under each listed key, the newest first: to know again what was made under an older one. */
  macs(purpose: string, text: string): string[] {
    return this.#keys.map((key) => macUnder(key, purpose, text));
  }

  seal(plaintext: string, context: string): Buffer {
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", this.#keys[0] as KeyObject, nonce);
    cipher.setAAD(Buffer.from(context));
    const sealed = Buffer.concat([cipher.update(plaintext, "utf8"), cipher.final()]);
    return Buffer.concat([nonce, cipher.getAuthTag(), sealed]);
  }

  /** @throws Error when no key opens it: the wrong MASTER_KEY, or bytes that were changed */
  open(sealed: Buffer, context: string): string {
    for (const key of this.#keys) {
      const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, 12));
      decipher.setAAD(Buffer.from(context));
      decipher.setAuthTag(sealed.subarray(12, 28));
      try {
        return Buffer.concat([decipher.update(sealed.subarray(28)), decipher.final()]).toString("utf8");
      } catch {
        continue; // sealed with an older key
      }
    }
    throw new Error(`No key in MASTER_KEY opens ${context}; was the key replaced instead of prepended?`);
  }
}

const macUnder = (key: KeyObject, purpose: string, text: string): string =>
  createHmac("sha256", key).update(`${purpose}\n${text}`).digest("base64url");
