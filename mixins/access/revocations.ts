import { Poller } from "../concurrency/poller.ts";
import { within } from "../concurrency/within.ts";
import { appError, unauthorized } from "../contract/errors.ts";
import type { Database } from "../database/database.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";
import { accessToken } from "./access-token.ts";

/** Broadcast to every node when a session has ended before its time, or an API key must be looked at anew. */
export const sessionRevoked = "session.revoked";

/** A session that has ended before its time. An API key counts as a session of its own, with the key's id. */
export interface SessionRevoked {
  sessionId: string;
  organizationId: string;
  userId: string;
}
/** As it is stored and broadcast. A node of release 0.1.0 broadcasts none of the ids but the session's. */
export interface Revocation extends SessionRevoked {
  /** Its own. */
  id: string;
}

/** For clocks that differ, and for a token that was signed while its session ended. */
const slackSeconds = 120;
/** A session is remembered for as long as a token of it could still be valid. */
const keptSeconds = accessToken.lifetimeSeconds + slackSeconds;
/** How late a lost broadcast takes effect. */
const checkEveryMs = 2_000;
/** A look goes back to the one before, and further by this: longer than transactions last. */
const overlapSeconds = 60;
/** Without a look for so long, this process was stopped, or waits for PostgreSQL: a token waits for the next look. */
const staleMs = 5_000;
const longestWaitMs = 1_000;

/**
 * This process's copy of what was revoked within an access token's lifetime. The control database holds it; a broadcast
 * makes it quick, and every two seconds what is new is read besides. Before the first read no token passes. While the
 * control database is away nothing can be revoked there, and what is known holds.
 */
export class Revocations {
  readonly #database: Database;
  readonly #listeners = new Set<(revoked: SessionRevoked) => void>();
  /** Session → when this process heard of it, and until when it is remembered; in the order of that time. */
  readonly #sessions = new Map<string, { heardAt: number; until: number }>();
  /** Ids of revocations → until when they are remembered: one is read more often than once, and counts once. */
  readonly #heard = new Map<string, number>();
  readonly #poller: Poller;
  #look: Promise<void> | undefined;
  #readAt: number | undefined;
  #triedAt = -Infinity;

  constructor(database: Database, onError: (error: Error) => void) {
    this.#database = database;
    this.#poller = new Poller({
      name: "revocations",
      everyMs: checkEveryMs,
      run: async () => {
        await this.#lookOnce();
        return false;
      },
      onError,
    });
  }

  start(): void {
    this.#poller.start();
  }

  stop(): Promise<void> {
    return this.#poller.stop();
  }

  /** Calls `listener` once with each that is revoked from now on. */
  onRevoked(listener: (revoked: SessionRevoked) => void): void {
    this.#listeners.add(listener);
  }

  /** Takes note of a broadcast. */
  hear(revocation: SessionRevoked & Partial<Revocation>): void {
    const now = performance.now();
    const id = revocation.id ?? revocation.sessionId;
    if (this.#heard.has(id)) return;
    const until = now + keptSeconds * 1000;
    this.#forget(now);
    this.#heard.set(id, until);
    this.#sessions.delete(revocation.sessionId);
    this.#sessions.set(revocation.sessionId, { heardAt: now, until });
    for (const listener of this.#listeners) listener(revocation);
  }

  /** Looks now: broadcasts may have been missed. */
  catchUp(): void {
    this.#poller.kick();
  }

  /**
   * Asks nobody, but for who comes after this process has not looked for five seconds.
   * @throws 401 SESSION_REVOKED; 503 SIGN_IN_UNAVAILABLE before the first look
   */
  async requireLive(sessionId: string): Promise<void> {
    if (performance.now() - this.#triedAt > staleMs)
      await within(
        longestWaitMs,
        this.#lookOnce().catch(() => undefined),
        () => undefined,
      );
    if (this.#readAt === undefined)
      throw appError(503, "SIGN_IN_UNAVAILABLE", "Access tokens cannot be verified now; try again.");
    if (this.#sessions.has(sessionId))
      throw unauthorized("SESSION_REVOKED", "This session has ended; sign in again.");
  }

  /** Whether it was revoked after this time, by performance.now(). */
  wasRevokedSince(sessionId: string, since: number): boolean {
    return (this.#sessions.get(sessionId)?.heardAt ?? -Infinity) >= since;
  }

  /** Only one look at a time: who comes meanwhile waits for its end. */
  #lookOnce(): Promise<void> {
    this.#look ??= this.#read().finally(() => {
      this.#triedAt = performance.now();
      this.#look = undefined;
    });
    return this.#look;
  }

  async #read(): Promise<void> {
    const begunAt = performance.now();
    const seconds =
      this.#readAt === undefined
        ? keptSeconds
        : Math.min(keptSeconds, Math.ceil((begunAt - this.#readAt) / 1000) + overlapSeconds);
    const { control } = this.#database;
    const rows = await this.#database.transaction({ platform: control }, (tx) =>
      tx.query<Revocation & Record<string, unknown>>({
        name: "recent_revocations",
        text: `SELECT id, session_id AS "sessionId", organization_id AS "organizationId", user_id AS "userId"
          FROM control.revocations WHERE revoked_at > now() - $1 * interval '1 s' ORDER BY revoked_at`,
        values: [seconds],
      }),
    );
    for (const row of rows) this.hear(row);
    this.#readAt = begunAt;
  }

  #forget(now: number): void {
    for (const [id, until] of this.#heard) {
      if (until > now) break;
      this.#heard.delete(id);
    }
    for (const [id, { until }] of this.#sessions) {
      if (until > now) break;
      this.#sessions.delete(id);
    }
  }
}

/** Writes down with `tx` that these have ended. */
export function recordRevocations(tx: UnitOfWork, revocations: readonly Revocation[]): void {
  if (revocations.length === 0) return;
  tx.defer({
    name: "record_revocations",
    text: `INSERT INTO control.revocations (id, organization_id, user_id, session_id)
      SELECT id, "organizationId", "userId", "sessionId" FROM json_to_recordset($1)
        AS r (id uuid, "organizationId" uuid, "userId" uuid, "sessionId" uuid)`,
    values: [JSON.stringify(revocations)],
  });
}

/** Forgets those that no access token outlives. */
export async function forgetRevocations(tx: UnitOfWork): Promise<void> {
  await tx.execute({
    text: `DELETE FROM control.revocations WHERE id IN (
      SELECT id FROM control.revocations WHERE revoked_at < now() - $1 * interval '1 s'
      LIMIT 10000 FOR UPDATE SKIP LOCKED)`,
    values: [2 * keptSeconds],
  });
}
