import { LRUCache } from "lru-cache";
import type { Database } from "../../mixins/database/database.ts";
import type { Organizations } from "../../mixins/organizations.ts";
import { quotaExceeded } from "../../mixins/plans.ts";
import type { Ctx, Result } from "../contracts.ts";

/** How old a count may be, far from the limit and near it. */
const farMs = 60_000;
const nearMs = 1_000;
const near = 0.9;

/** Room for more leads. */
interface LeadRoom {
  /** @throws 403 QUOTA_EXCEEDED when there is none for so many */
  take(more: number): void;
}

/**
 * How many leads organizations have, so that capturing one need not count them. What this process adds it counts at
 * once, what others add a minute later, or a second when nine tenths of the limit are reached: that much, and the
 * batches under way, is how far the limit may be passed.
 */
export class LeadQuota {
  readonly #database: Database;
  readonly #organizations: Organizations;
  readonly #counts = new LRUCache<string, { leads: number; countedAt: number }>({ max: 10_000 });

  constructor(database: Database, organizations: Organizations) {
    this.#database = database;
    this.#organizations = organizations;
  }

  /** What is left to an organization. Never called while the caller's transaction holds a connection: it may take another. */
  async of(organizationId: string): Promise<LeadRoom> {
    const { plan, limits } = await this.#organizations.of(organizationId);
    const limit = limits.leads;
    if (limit === null) return { take: () => undefined };
    let known = this.#counts.get(organizationId);
    const freshMs = known && known.leads >= limit * near ? nearMs : farMs;
    if (!known || performance.now() - known.countedAt > freshMs) {
      const countedAt = performance.now();
      known = { leads: await this.#count(organizationId, limit), countedAt };
      this.#counts.set(organizationId, known);
    }
    const count = known;
    return {
      take(more) {
        if (more > 0 && count.leads + more > limit) throw quotaExceeded("leads", { plan, limit });
        count.leads += more;
      },
    };
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
