import { hash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { rightsOf, type Principal, type Rights } from "../access/principal.ts";
import type { Idempotency } from "../database/idempotency.ts";
import type { Shard } from "../database/shard.ts";
import { UnitOfWork } from "../database/unit-of-work.ts";
import type { SealedBox } from "../encryption/sealed-box.ts";
import { appError } from "./errors.ts";
import type { Meta } from "./meta.ts";

/** Longest that a repetition waits for the request it repeats. */
const longestWaitMs = 10_000;
/** What is left of a call's time when it gives up, for its own answer. */
const spareMs = 1_000;
const firstPauseMs = 20;
const longestPauseMs = 250;
/** Repetitions of one process that may wait at a time: who waits holds a place among the requests in flight. */
const mostWaiting = 256;
let waiting = 0;

/**
 * A request's key as it is kept: one user's, or one API key's, so that equal keys of two are two. The fingerprint is
 * keyed, since a body may hold a password and a plain hash could be tried; behind it stands what the caller might do.
 */
export function keptIdempotency(
  { idempotency, userId, sessionId, scopes }: Meta,
  principal: Principal,
  sealedBox: SealedBox,
): Idempotency | undefined {
  if (!idempotency) return undefined;
  const owner = scopes === undefined ? userId : sessionId;
  return {
    key: owner === undefined ? idempotency.key : `${owner} ${idempotency.key}`,
    fingerprint: `${sealedBox.mac("idempotency", idempotency.fingerprint)} ${rightsDigest(principal)}`,
  };
}

/** Differs when somebody may do or see something else than before. */
function rightsDigest(principal: Principal): string {
  const rights = rightsOf(principal);
  let permitted = digests.get(rights);
  if (permitted === undefined) {
    permitted = digestOf([rights.sees, ...[...rights.permissions].sort()]);
    digests.set(rights, permitted);
  }
  return digestOf([principal.role, permitted, ...(principal.scopes ?? ["*"])]);
}
const digestOf = (words: readonly string[]): string =>
  hash("sha256", words.join(" "), "base64url").slice(0, 16);
/** Of each role's rights, which requests share while they are believed. */
const digests = new WeakMap<Rights, string>();

/** Where the record of a key is: in the scope of the call that took it. */
export interface KeyPlace {
  shard: Shard;
  scope: UnitOfWork["scope"];
}
const reader = ({ shard, scope }: KeyPlace): UnitOfWork =>
  new UnitOfWork(shard, { ...scope, readOnly: true });

/**
 * What the first request with this key was answered.
 * @param mayStillSee whether the caller may see what that answer shows
 * @throws 422 when that request was another one; 409 IDEMPOTENT_ANSWER_WITHHELD when the caller may do or see less by now
 */
export async function recordedAnswer(
  place: KeyPlace,
  { key, fingerprint }: Idempotency,
  mayStillSee: (tx: UnitOfWork, answer: unknown) => Promise<boolean>,
): Promise<unknown> {
  const tx = reader(place);
  const [row] = await tx.query<{ fingerprint: string; response: unknown }>({
    name: "recorded_answer",
    text: "SELECT fingerprint, response FROM idempotency_keys WHERE key = $1",
    values: [key],
  });
  const [request, rights] = fingerprint.split(" ");
  const [firstRequest, firstRights] = row?.fingerprint.split(" ") ?? [];
  if (!row || firstRequest !== request)
    throw appError(
      422,
      "IDEMPOTENCY_KEY_REUSED",
      "This Idempotency-Key was used with another request; take a new key.",
    );
  if (firstRights !== rights || !(await mayStillSee(tx, row.response)))
    throw appError(
      409,
      "IDEMPOTENT_ANSWER_WITHHELD",
      "This was done by the first request, but what you may see has changed since; read the record instead.",
    );
  return row.response;
}

/**
 * Waits until the request that runs under this key has ended: then its answer is recorded, or it failed and the key is
 * free. Holds no connection meanwhile.
 * @param remainingMs what is left of the call's time
 * @throws 409 IDEMPOTENCY_KEY_IN_USE with Retry-After after ten seconds, or when too many wait
 */
export async function waitForFirst(
  place: KeyPlace,
  { key }: Idempotency,
  remainingMs: number,
): Promise<void> {
  if (waiting >= mostWaiting) throw keyInUse();
  waiting++;
  try {
    const endsAt = performance.now() + Math.min(longestWaitMs, remainingMs - spareMs);
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(longestPauseMs, pauseMs * 1.5)) {
      if (performance.now() + pauseMs > endsAt) throw keyInUse();
      await sleep(pauseMs);
      const [state] = await reader(place).query<{ is_free: boolean }>({
        name: "is_idempotency_key_free",
        // shared, so that those who wait do not take each other for the first; it ends with this statement's transaction
        text: `SELECT pg_try_advisory_xact_lock_shared(
          hashtextextended(current_setting('app.organization_id') || $1, 0)) AS is_free`,
        values: [key],
      });
      if (state?.is_free) return;
    }
  } finally {
    waiting--;
  }
}

export const keyInUse = () =>
  appError(
    409,
    "IDEMPOTENCY_KEY_IN_USE",
    "A request with this Idempotency-Key is still running; try again.",
    { retryAfterSeconds: 1 },
  );
