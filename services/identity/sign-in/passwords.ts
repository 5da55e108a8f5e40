import { hash, verify } from "@node-rs/argon2";
import { timingSafeEqual } from "node:crypto";
import { Semaphore } from "../../../mixins/concurrency/semaphore.ts";

/** OWASP's argon2id setting: 19 MiB, two passes, one lane. */
const cost = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };

// Each takes about 30 ms of one core of this process: two at once leave the others to its requests, and
// 100 waiting are answered within about two seconds.
const hashing = new Semaphore({ atOnce: 2, mostWaiting: 100 });

/** The hash of a secret nobody has, at the same cost: what an unknown email's password is compared with. */
export const nobodysHash =
  "$argon2id$v=19$m=19456,t=2,p=1$kxoq1eCQJoXqgCDPHyqZYg$5WU9Djt06FfgweN3fztC4AJTvo4HR/fOs7dQzbQmVKw";

// the same characters typed on another keyboard may be other code points (NIST SP 800-63B)
const normalized = (password: string): string => password.normalize("NFKC");

/**
 * A PHC string.
 * @param salt 16 bytes; of an account, those of its address: see salts.ts. Default random.
 * @throws 503 SERVER_BUSY. Hold no database connection while waiting for it.
 */
export const hashPassword = (password: string, salt?: Buffer): Promise<string> =>
  hashing.run(() => hash(normalized(password), salt ? { ...cost, salt } : cost));

/** The salt in a PHC string. */
export const saltIn = (passwordHash: string): Buffer =>
  Buffer.from(passwordHash.split("$")[4] ?? "", "base64");

/**
 * The first of these accounts of one address whose password this is. Whether there is none, one or many, it takes as long.
 * Hold no database connection while waiting for it.
 * @throws 503 SERVER_BUSY
 */
export async function whosePassword<A extends { passwordHash: string }>(
  password: string,
  accounts: readonly A[],
): Promise<A | undefined> {
  const hashes = accounts.map(({ passwordHash }) => passwordHash).filter((one) => one !== "");
  const salts = new Set(
    (hashes.length > 0 ? hashes : [nobodysHash]).map((one) => saltIn(one).toString("hex")),
  );
  const computed: string[] = [];
  for (const salt of salts) computed.push(await hashPassword(password, Buffer.from(salt, "hex")));
  return accounts.find(({ passwordHash }) => computed.some((one) => isSame(one, passwordHash)));
}

const isSame = (one: string, other: string): boolean =>
  one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));

/**
 * Whether the password is the one hashed; without a hash, or with that of no password (""), no, after the same time.
 * Hold no database connection while waiting for it. @throws 503 SERVER_BUSY
 */
export async function isPassword(password: string, passwordHash: string | undefined): Promise<boolean> {
  const matches = await hashing.run(() => verify(passwordHash || nobodysHash, normalized(password)));
  return matches && passwordHash !== undefined && passwordHash !== "";
}
