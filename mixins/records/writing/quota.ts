import { LRUCache } from "lru-cache";
import type { Database } from "../../database/database.ts";
import type { Organizations } from "../../organizations/organizations.ts";
import { quotaExceeded } from "../../organizations/plans.ts";
import type { CustomKind } from "../kind/kind.ts";

/** A count this old is taken again: far from the limit, where nobody waits for it, and near it, where who makes records does. */
const farMs = 60_000;
const nearMs = 1_000;
const near = 0.9;
/** An older one is not believed, wherever the limit is. */
const believedMs = 2 * farMs;

/** Room for more records of a kind. */
export interface Room {
  /** @throws 403 QUOTA_EXCEEDED when there is none for so many */
  take(more: number): void;
}
const unlimited: Room = { take: () => undefined };
type Counted = Pick<CustomKind, "plural"> & Partial<Pick<CustomKind, "table">>;

interface Count {
  records: number;
  countedAt: number;
}

/**
 * How many records of each kind organizations have, so that making one need not count them: a million take PostgreSQL the better
 * part of a second. What this process adds it counts at once, what others add within two minutes, or a second after
 * nine tenths of the limit are reached: that much, and the batches under way, is how far the limit may be passed.
 */
export class RecordQuota {
  readonly #database: Database;
  readonly #organizations: Organizations;
  /** By organization and table. */
  readonly #counts = new LRUCache<string, Count>({ max: 20_000 });
  /** However many records come meanwhile, they are counted once. */
  readonly #counting = new Map<string, Promise<Count>>();

  constructor(database: Database, organizations: Organizations) {
    this.#database = database;
    this.#organizations = organizations;
  }

  /** What is left to an organization. Before the transaction: it may have to be counted. @param kind its table, default the plural */
  async of(organizationId: string, { plural, table = plural }: Counted): Promise<Room> {
    const { plan, limits } = await this.#organizations.of(organizationId);
    const limit = limits.records;
    if (limit === null) return unlimited;
    const count = await this.#countOf(organizationId, table, limit);
    return {
      take(more) {
        if (more > 0 && count.records + more > limit) throw quotaExceeded(plural, { plan, limit });
        count.records += more;
      },
    };
  }

  #countOf(organizationId: string, table: string, limit: number): Count | Promise<Count> {
    const known = this.#counts.get(`${organizationId} ${table}`);
    if (!known) return this.#countOnce(organizationId, table, limit);
    const ageMs = performance.now() - known.countedAt;
    const isNear = known.records >= limit * near;
    if (ageMs <= (isNear ? nearMs : farMs)) return known;
    const counting = this.#countOnce(organizationId, table, limit);
    if (isNear || ageMs > believedMs) return counting;
    counting.catch(() => undefined); // the next one tries again
    return known;
  }

  #countOnce(organizationId: string, table: string, limit: number): Promise<Count> {
    const key = `${organizationId} ${table}`;
    let counting = this.#counting.get(key);
    if (!counting) {
      const countedAt = performance.now();
      counting = this.#count(organizationId, table, limit)
        .then((records) => {
          const count = { records, countedAt };
          this.#counts.set(key, count);
          return count;
        })
        .finally(() => this.#counting.delete(key));
      this.#counting.set(key, counting);
    }
    return counting;
  }

  async #count(organizationId: string, table: string, limit: number): Promise<number> {
    const [counted] = await this.#database.reader(organizationId).query<{ records: number }>({
      name: `count_${table}_to`,
      text: `SELECT count(*)::int AS records FROM (SELECT FROM ${table} WHERE deleted_at IS NULL LIMIT $1) counted`,
      values: [limit],
    });
    return counted?.records ?? 0;
  }
}
