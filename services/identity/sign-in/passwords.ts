import { hash, verify } from "@node-rs/argon2";
import { Semaphore } from "../../../mixins/concurrency/semaphore.ts";

/** OWASP's argon2id setting: 19 MiB, two passes, one lane. */
const cost = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };

// Each takes about 30 ms of one core of this process: two at once leave the others to its requests, and
// 100 waiting are answered within about two seconds.
const hashing = new Semaphore({ atOnce: 2, mostWaiting: 100 });

/** The hash of a secret nobody has, at the same cost: what an unknown email's password is compared with. */
const nobodysHash =
  "$argon2id$v=19$m=19456,t=2,p=1$kxoq1eCQJoXqgCDPHyqZYg$5WU9Djt06FfgweN3fztC4AJTvo4HR/fOs7dQzbQmVKw";

// the same characters typed on another keyboard may be other code points (NIST SP 800-63B)
const normalized = (password: string): string => password.normalize("NFKC");

/** A PHC string. Hold no database connection while waiting for it. @throws 503 SERVER_BUSY */
export const hashPassword = (password: string): Promise<string> =>
  hashing.run(() => hash(normalized(password), cost));

/**
 * Whether the password is the one hashed; without a hash, or with that of no password (""), no, after the same time.
 * Hold no database connection while waiting for it. @throws 503 SERVER_BUSY
 */
export async function isPassword(password: string, passwordHash: string | undefined): Promise<boolean> {
  const matches = await hashing.run(() => verify(passwordHash || nobodysHash, normalized(password)));
  return matches && passwordHash !== undefined && passwordHash !== "";
}
