import { LRUCache } from "lru-cache";
import type { Database } from "../../mixins/database/database.ts";
import type { Organizations } from "../../mixins/organizations/organizations.ts";
import { quotaExceeded } from "../../mixins/organizations/plans.ts";
import type { Ctx, Result } from "../contracts.ts";

/** A count this old is taken again: far from the limit, where nobody waits for it, and near it, where who captures does. */
const farMs = 60_000;
const nearMs = 1_000;
const near = 0.9;
/** An older one is not believed, wherever the limit is. */
const believedMs = 2 * farMs;

/** Room for more leads. */
export interface LeadRoom {
  /** @throws 403 QUOTA_EXCEEDED when there is none for so many */
  take(more: number): void;
}

interface LeadCount {
  leads: number;
  countedAt: number;
}

/**
 * How many leads organizations have, so that capturing one need not count them: a million take PostgreSQL the better
 * part of a second. What this process adds it counts at once, what others add within two minutes, or a second after
 * nine tenths of the limit are reached: that much, and the batches under way, is how far the limit may be passed.
 */
export class LeadQuota {
  readonly #database: Database;
  readonly #organizations: Organizations;
  readonly #counts = new LRUCache<string, LeadCount>({ max: 10_000 });
  /** By organization; however many captures come meanwhile, it is counted once. */
  readonly #counting = new Map<string, Promise<LeadCount>>();

  constructor(database: Database, organizations: Organizations) {
    this.#database = database;
    this.#organizations = organizations;
  }

  /** What is left to an organization. */
  async of(organizationId: string): Promise<LeadRoom> {
    const { plan, limits } = await this.#organizations.of(organizationId);
    const limit = limits.leads;
    if (limit === null) return { take: () => undefined };
    const count = await this.#countOf(organizationId, limit);
    return {
      take(more) {
        if (more > 0 && count.leads + more > limit) throw quotaExceeded("leads", { plan, limit });
        count.leads += more;
      },
    };
  }

  #countOf(organizationId: string, limit: number): LeadCount | Promise<LeadCount> {
    const known = this.#counts.get(organizationId);
    if (!known) return this.#countOnce(organizationId, limit);
    const ageMs = performance.now() - known.countedAt;
    const isNear = known.leads >= limit * near;
    if (ageMs <= (isNear ? nearMs : farMs)) return known;
    const counting = this.#countOnce(organizationId, limit);
    if (isNear || ageMs > believedMs) return counting;
    counting.catch(() => undefined); // the next capture tries again
    return known;
  }

  #countOnce(organizationId: string, limit: number): Promise<LeadCount> {
    let counting = this.#counting.get(organizationId);
    if (!counting) {
      const countedAt = performance.now();
      counting = this.#count(organizationId, limit)
        .then((leads) => {
          const count = { leads, countedAt };
          this.#counts.set(organizationId, count);
          return count;
        })
        .finally(() => this.#counting.delete(organizationId));
      this.#counting.set(organizationId, counting);
    }
    return counting;
  }

  async #count(organizationId: string, limit: number): Promise<number> {
    const [counted] = await this.#database.reader(organizationId).query<{ leads: number }>({
      name: "count_leads_to",
      text: "SELECT count(*)::int AS leads FROM (SELECT FROM leads WHERE deleted_at IS NULL LIMIT $1) counted",
      values: [limit],
    });
    return counted?.leads ?? 0;
  }
}

/** How many leads the organization has. */
export async function getUsage(ctx: Ctx<"leads.getUsage">): Promise<Result<"leads.getUsage">> {
  const [counted] = await ctx.locals.tx.query<{ leads: number }>({
    text: "SELECT count(*)::int AS leads FROM leads WHERE deleted_at IS NULL",
  });
  return { leads: counted?.leads ?? 0 };
}
