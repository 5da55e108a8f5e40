import type { Database } from "../../mixins/database/database.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { quotaExceeded } from "../../mixins/organizations/plans.ts";
import { Poller } from "../../mixins/concurrency/poller.ts";
import type { Standing } from "../../mixins/organizations/organizations.ts";

const writeEveryMs = 2_000;
const secondsOfDay = 86_400;

/** What an organization has asked in a day, as this process knows it. */
interface Count {
  day: string;
  /** By all gateways, when it was written last. */
  written: number;
  /** By this one since. */
  pending: number;
  /** Of these, calls of deprecated routes, by action. */
  deprecated: Map<string, number>;
}

/**
 * Counts the requests of organizations in a day (UTC), all gateways together in PostgreSQL: each adds its own every
 * two seconds, so a limit is passed by at most the requests of that time, and so many are lost with a gateway that dies.
 */
export class ApiUsage {
  readonly #database: Database;
  readonly #counts = new Map<string, Count>();
  readonly #poller: Poller;

  constructor(database: Database, onError: (error: Error) => void) {
    this.#database = database;
    this.#poller = new Poller({
      name: "API usage",
      everyMs: writeEveryMs,
      run: () => this.#write(),
      onError,
    });
  }

  start(): void {
    this.#poller.start();
  }

  async stop(): Promise<void> {
    await this.#poller.stop();
    await this.#write();
  }

  /**
   * Counts a request.
   * @param deprecated the action, where its route is deprecated
   * @throws 429 QUOTA_EXCEEDED, of which it is none
   */
  take(organizationId: string, { plan, limits }: Standing, deprecated?: string): void {
    const now = new Date();
    const day = now.toISOString().slice(0, 10);
    let count = this.#counts.get(organizationId);
    if (count?.day !== day) {
      // what is left of yesterday's last two seconds is let go
      count = { day, written: 0, pending: 0, deprecated: new Map() };
      this.#counts.set(organizationId, count);
    }
    const limit = limits.apiCallsPerDay;
    if (limit !== null && count.written + count.pending >= limit) {
      const retryAfterSeconds = secondsOfDay - (Math.floor(now.getTime() / 1000) % secondsOfDay);
      throw quotaExceeded("apiCallsPerDay", { plan, limit, retryAfterSeconds });
    }
    count.pending++;
    if (deprecated !== undefined)
      count.deprecated.set(deprecated, (count.deprecated.get(deprecated) ?? 0) + 1);
  }

  async #write(): Promise<false> {
    // also those of which nothing is new: what the others have counted is
    const taken = [...this.#counts].map(([id, count]) => ({
      id,
      day: count.day,
      count,
      calls: count.pending,
      deprecated: [...count.deprecated],
    }));
    if (taken.length === 0) return false;
    const rows = await this.#database.transaction({ platform: this.#database.control }, (tx) => {
      deferDeprecated(
        tx,
        taken.flatMap(({ id, day, deprecated }) =>
          deprecated.map(([action, calls]) => ({ id, day, action, calls })),
        ),
      );
      return tx.query<{ organization_id: string; day: string; calls: number }>({
        name: "add_api_usage",
        // in one order, so that no two gateways wait for each other
        text: `INSERT INTO control.api_usage AS u (organization_id, day, calls)
          SELECT * FROM unnest($1::uuid[], $2::date[], $3::bigint[]) AS t (id, day, calls) ORDER BY id, day
          ON CONFLICT (organization_id, day) DO UPDATE SET calls = u.calls + excluded.calls
          RETURNING organization_id, day::text, calls::float8 AS calls`,
        values: [taken.map(({ id }) => id), taken.map(({ day }) => day), taken.map(({ calls }) => calls)],
      });
    });
    const written = new Map(rows.map((row) => [`${row.organization_id} ${row.day}`, row.calls]));
    for (const { id, day, count, calls, deprecated } of taken) {
      for (const [action, of] of deprecated) {
        const left = (count.deprecated.get(action) ?? of) - of;
        if (left > 0) count.deprecated.set(action, left);
        else count.deprecated.delete(action);
      }
      // meanwhile others were counted
      count.pending -= calls;
      count.written = written.get(`${id} ${day}`) ?? count.written;
      if (calls === 0 && this.#counts.get(id) === count) this.#counts.delete(id);
    }
    return false;
  }
}

/** Adds calls of deprecated routes, in one order as the others. */
function deferDeprecated(
  tx: UnitOfWork,
  calls: readonly { id: string; day: string; action: string; calls: number }[],
): void {
  if (calls.length === 0) return;
  tx.defer({
    name: "add_deprecated_calls",
    text: `INSERT INTO control.deprecated_calls AS d (organization_id, day, action, calls)
      SELECT * FROM unnest($1::uuid[], $2::date[], $3::text[], $4::bigint[]) AS t (id, day, action, calls)
      ORDER BY id, day, action
      ON CONFLICT (organization_id, day, action) DO UPDATE SET calls = d.calls + excluded.calls`,
    values: [
      calls.map(({ id }) => id),
      calls.map(({ day }) => day),
      calls.map(({ action }) => action),
      calls.map((one) => one.calls),
    ],
  });
}
