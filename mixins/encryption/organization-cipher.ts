import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from "node:crypto";

/** Where a sealed value is kept. It opens in no other place. */
export interface SealContext {
  table: string;
  column: string;
  /** Id of the row. */
  row: string;
}

/** First byte of a sealed value; another layout gets another. */
const layout = 1;
const nonceBytes = 12;
const tagBytes = 16;
const headBytes = 1 + nonceBytes + tagBytes;

/**
 * Seals values of one organization with its data key (AES-256-GCM), and makes blind indexes of them (HMAC-SHA256),
 * each under a key of its own derived from that (HKDF, RFC 5869). Layout: 1 byte version, 12 bytes nonce, 16 bytes
 * tag, ciphertext.
 */
export class OrganizationCipher {
  readonly #sealKey: Buffer;
  readonly #indexKey: Buffer;

  /** @param dataKey 32 random bytes */
  constructor(dataKey: Buffer) {
    const derive = (use: string) => Buffer.from(hkdfSync("sha256", dataKey, "", `sangam ${use} v1`, 32));
    this.#sealKey = derive("seal");
    this.#indexKey = derive("blind index");
  }

  /** Encrypts text, for a bytea column. The same text gives other bytes each time. */
  seal(context: SealContext, plaintext: string): Buffer {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv("aes-256-gcm", this.#sealKey, nonce);
    cipher.setAAD(associated(context));
    const sealed = Buffer.concat([cipher.update(plaintext, "utf8"), cipher.final()]);
    return Buffer.concat([Buffer.from([layout]), nonce, cipher.getAuthTag(), sealed]);
  }

  /**
   * @throws Error when the bytes were changed, or sealed elsewhere: for another row, column, table or organization
   */
  open(context: SealContext, sealed: Buffer): string {
    const failure = () => new Error(`A sealed value does not open at ${associated(context).toString()}`);
    if (sealed.length < headBytes || sealed[0] !== layout) throw failure();
    const decipher = createDecipheriv("aes-256-gcm", this.#sealKey, sealed.subarray(1, 1 + nonceBytes), {
      authTagLength: tagBytes,
    });
    decipher.setAAD(associated(context));
    decipher.setAuthTag(sealed.subarray(1 + nonceBytes, headBytes));
    try {
      return Buffer.concat([decipher.update(sealed.subarray(headBytes)), decipher.final()]).toString("utf8");
    } catch {
      throw failure();
    }
  }

  /**
   * 32 bytes to find and compare a sealed value by, kept in a column beside it: equal within a column and
   * organization for equal text, and telling nothing else of it. Bring the text to its one form first (lower case,
   * E.164 …).
   */
  blindIndex({ table, column }: Omit<SealContext, "row">, plaintext: string): Buffer {
    return createHmac("sha256", this.#indexKey)
      .update(place(table, column))
      .update("|")
      .update(plaintext)
      .digest();
  }
}

const associated = ({ table, column, row }: SealContext): Buffer => {
  if (row === "") throw new Error("A sealed value needs the id of its row");
  return Buffer.from(`${place(table, column)}|${row}`);
};

/** Table and column hold no separator, so no two places read alike. */
function place(table: string, column: string): string {
  if (!/^[a-z0-9_.]+$/.test(table) || !/^[a-zA-Z0-9_.:-]+$/.test(column))
    throw new Error(`${table}|${column} is no place for a sealed value`);
  return `${table}|${column}`;
}
