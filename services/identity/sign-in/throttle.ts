import { createHash } from "node:crypto";
import { networkOf } from "../../../mixins/access/network-of.ts";
import type { Database } from "../../../mixins/database/database.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import { audit, type AuditEntry } from "../audit-log/audit-log.ts";
import { tooManyAttempts } from "../identity.errors.ts";

const quarterHour = 15 * 60;
const day = 24 * 3600;
/**
 * How often something may happen within so many seconds: further attempts are refused. That of an account from everywhere
 * is high, so that a stranger who guesses elsewhere does not shut its owner out.
 */
const limits = {
  accountAtAddress: { most: 10, windowSeconds: quarterHour },
  account: { most: 50, windowSeconds: quarterHour },
  address: { most: 100, windowSeconds: quarterHour },
  secondFactor: { most: 5, windowSeconds: quarterHour },
  passwordReset: { most: 3, windowSeconds: quarterHour },
  passwordResetsOfDay: { most: 10, windowSeconds: day },
  verification: { most: 3, windowSeconds: quarterHour },
  verificationsOfDay: { most: 10, windowSeconds: day },
  passwordResetAtAddress: { most: 3, windowSeconds: quarterHour },
  passwordResetsOfDayAtAddress: { most: 10, windowSeconds: day },
  invitedByOrganization: { most: 3, windowSeconds: day },
  invitedByProved: { most: 15, windowSeconds: day },
  invitedByUnproved: { most: 5, windowSeconds: day },
  invitesOfOrganization: { most: 300, windowSeconds: day },
  invitesOfUnproved: { most: 20, windowSeconds: day },
  noticesOfOrganization: { most: 300, windowSeconds: day },
  noticesOfUnproved: { most: 20, windowSeconds: day },
} as const;

/** One thing that is counted. Its key is a hash: what people mistype as their email is kept nowhere. */
export interface Counter {
  key: string;
  most: number;
  /** From the first that counts to the end of all. */
  windowSeconds: number;
}
const counter = (kind: keyof typeof limits, id: string): Counter => ({
  key: createHash("sha256").update(`${kind}|${id}`).digest("hex"),
  ...limits[kind],
});

/**
 * What a sign-in counts for; the same whether or not somebody has this email. Strangers who guess from everywhere do not
 * shut out who has signed in before: at an address that the account's sessions know, only what failed there counts.
 */
export async function signInCounters(
  tx: UnitOfWork,
  email: string,
  ip: string | undefined,
): Promise<Counter[]> {
  if (ip === undefined) return [counter("account", email)];
  const network = networkOf(ip);
  const ofAddress = [counter("accountAtAddress", `${email}|${network}`), counter("address", network)];
  return (await isKnownAt(tx, email, network)) ? ofAddress : [...ofAddress, counter("account", email)];
}

/**
 * Whether the user with this email, if there is one, has or had a session from there. While several have the address and none has
 * proved it, nobody is known: a guesser could have registered with it.
 */
async function isKnownAt(tx: UnitOfWork, email: string, network: string): Promise<boolean> {
  const rows = await tx.query<{ ip: string }>({
    name: "addresses_of_account",
    text: `SELECT DISTINCT s.ip FROM control.users u
      JOIN control.sessions s ON s.organization_id = u.organization_id AND s.user_id = u.id
      WHERE u.email = $1 AND s.ip IS NOT NULL AND (u.email_verified_at IS NOT NULL
        OR NOT EXISTS (SELECT FROM control.users o WHERE o.email = $1 AND o.id <> u.id))`,
    values: [email],
  });
  return rows.some(({ ip }) => networkOf(ip) === network);
}
/** What proving oneself again counts for, once signed in or past the password. */
export const secondFactorCounters = (userId: string): Counter[] => [counter("secondFactor", userId)];

/**
 * What asking for a link to a new password counts for. Strangers who ask do not use up what the owner may ask for from where the
 * account has signed in before.
 */
export async function resetCounters(
  tx: UnitOfWork,
  email: string,
  ip: string | undefined,
): Promise<Counter[]> {
  const network = networkOf(ip ?? "");
  if (ip === undefined || !(await isKnownAt(tx, email, network)))
    return [counter("passwordReset", email), counter("passwordResetsOfDay", email)];
  const who = `${email}|${network}`;
  return [counter("passwordResetAtAddress", who), counter("passwordResetsOfDayAtAddress", who)];
}

/** What mailing an account a link to prove its address counts for. */
export const verificationCounters = ({ id, email }: { id: string; email: string }): Counter[] => [
  counter("verification", id),
  counter("verificationsOfDay", email),
];

/**
 * What an organization's mails to people who did not ask for them count for, in a day: invitations, and notices to colleagues whom
 * an admin added.
 * @param isProved whether an admin of it has proved an address: everybody can register
 */
export const unaskedMailCounters = (
  organizationId: string,
  { kind, isProved }: { kind: "invites" | "notices"; isProved: boolean },
): Counter[] => [counter(`${kind}Of${isProved ? "Organization" : "Unproved"}`, organizationId)];

/** What one organization's mails to one such person count for, in a day. */
export const invitedByCounters = (organizationId: string, email: string): Counter[] => [
  counter("invitedByOrganization", `${organizationId}|${email}`),
];

/**
 * What mails of all organizations to one such person count for, in a day. Who invites learns that there were many, and not whose.
 * Of organizations in which nobody has proved an address fewer count, and by themselves: everybody can register some of them, and
 * would use up what others may send.
 */
export const invitedCounters = (email: string, { isProved }: { isProved: boolean }): Counter[] => [
  counter(isProved ? "invitedByProved" : "invitedByUnproved", email),
];

/**
 * Refuses when there were too many failures. Ask before a secret is compared, to save the work, and again afterwards:
 * of many guesses sent at once, those beyond the limit then learn nothing, even if one was right.
 * @throws 429 TOO_MANY_ATTEMPTS
 */
export async function requireRoom(tx: UnitOfWork, counters: readonly Counter[]): Promise<void> {
  refuseBeyond(counters, await countsOf(tx, counters), 0);
}

/**
 * Counts a failure, durably, in PostgreSQL: all nodes count together, with Redis or without.
 * @param entry tells of it, where somebody's account is concerned
 * @throws 429 TOO_MANY_ATTEMPTS when there had been enough before it
 */
export async function countFailure(
  database: Database,
  counters: readonly Counter[],
  entry: AuditEntry | null,
): Promise<void> {
  const counts = await database.transaction({ platform: database.control }, (tx) => {
    audit(tx, entry);
    return countUp(tx, counters);
  });
  refuseBeyond(counters, counts, 1);
}

/** Counts something that is no failure, but may not happen often. Answers whether it was within the limit. */
export async function hasRoom(tx: UnitOfWork, counters: readonly Counter[]): Promise<boolean> {
  return (await countOrWait(tx, counters)) === 0;
}

/** As `hasRoom`, answering in how many seconds there is room again; 0 when there was. */
export async function countOrWait(tx: UnitOfWork, counters: readonly Counter[]): Promise<number> {
  return secondsUntilRoom(fullOnes(counters, await countUp(tx, counters), 1));
}

/** In how many seconds there is room for one more; 0: now. Counts nothing. */
export async function waitFor(tx: UnitOfWork, counters: readonly Counter[]): Promise<number> {
  return secondsUntilRoom(fullOnes(counters, await countsOf(tx, counters), 0));
}

const secondsUntilRoom = (full: readonly Count[]): number =>
  full.length === 0 ? 0 : Math.max(1, ...full.map(({ seconds }) => seconds));

/** As `hasRoom`, in a transaction of its own. @throws what `refusal` makes, when it was beyond the limit */
export async function takeRoom(
  database: Database,
  counters: readonly Counter[],
  refusal: (retryAfterSeconds: number) => Error,
): Promise<void> {
  const counts = await database.transaction({ platform: database.control }, (tx) => countUp(tx, counters));
  const seconds = secondsUntilRoom(fullOnes(counters, counts, 1));
  if (seconds > 0) throw refusal(seconds);
}

/** Takes back what `hasRoom` has counted, of something that did not happen after all. */
export const giveBack = (database: Database, counters: readonly Counter[]): Promise<number> =>
  database.transaction({ platform: database.control }, (tx) =>
    tx.execute({
      text: `UPDATE control.sign_in_failures SET failures = failures - 1
        WHERE key IN (SELECT key FROM control.sign_in_failures WHERE key = ANY ($1) AND failures > 0
          ORDER BY key FOR UPDATE)`,
      values: [counters.map(({ key }) => key)],
    }),
  );

/** Whether a count runs. No count ends so late that it began in the future: then the clock was ahead, and it is void. */
const runs = (endsAt: string, latest: string): string => `${endsAt} > now() AND ${endsAt} <= ${latest}`;

const countsOf = (tx: UnitOfWork, counters: readonly Counter[]): Promise<Count[]> =>
  tx.query<Count>({
    name: "sign_in_failures",
    text: `SELECT key, failures, ceil(extract(epoch FROM ends_at - now()))::int AS seconds
      FROM control.sign_in_failures JOIN unnest($1::text[], $2::int[]) AS given (key, window_seconds) USING (key)
      WHERE ${runs("ends_at", "now() + window_seconds * interval '1 s'")}`,
    values: [counters.map(({ key }) => key), counters.map(({ windowSeconds }) => windowSeconds)],
  });

const countUp = (tx: UnitOfWork, counters: readonly Counter[]): Promise<Count[]> =>
  tx.query<Count>({
    name: "count_sign_in_failure",
    // in the order of their keys, so that no two wait for each other
    text: `INSERT INTO control.sign_in_failures AS f (key, failures, ends_at)
      SELECT key, 1, now() + seconds * interval '1 s' FROM unnest($1::text[], $2::int[]) AS given (key, seconds)
        ORDER BY key
      ON CONFLICT (key) DO UPDATE SET
        failures = CASE WHEN ${runs("f.ends_at", "excluded.ends_at")} THEN f.failures + 1 ELSE 1 END,
        ends_at = CASE WHEN ${runs("f.ends_at", "excluded.ends_at")} THEN f.ends_at ELSE excluded.ends_at END
      RETURNING key, failures, ceil(extract(epoch FROM ends_at - now()))::int AS seconds`,
    values: [counters.map(({ key }) => key), counters.map(({ windowSeconds }) => windowSeconds)],
  });

/** Forgets a few thousand counts whose time is over. */
export async function forgetFailures(tx: UnitOfWork): Promise<void> {
  await tx.execute({
    text: `DELETE FROM control.sign_in_failures WHERE key IN (
      SELECT key FROM control.sign_in_failures WHERE ends_at <= now() LIMIT 10000 FOR UPDATE SKIP LOCKED)`,
  });
}

interface Count {
  key: string;
  failures: number;
  /** Until it ends. */
  seconds: number;
}
function refuseBeyond(counters: readonly Counter[], rows: readonly Count[], ofThisOne: number): void {
  const seconds = secondsUntilRoom(fullOnes(counters, rows, ofThisOne));
  if (seconds > 0) throw tooManyAttempts(seconds);
}

const fullOnes = (counters: readonly Counter[], counts: readonly Count[], ofThisOne: number): Count[] =>
  counts.filter(({ key, failures }) =>
    counters.some((one) => one.key === key && failures - ofThisOne >= one.most),
  );
