import { LRUCache } from "lru-cache";
import type { Database } from "../../mixins/database/database.ts";
import type { OrganizationKeys } from "../../mixins/encryption/organization-keys.ts";
import type { Ctx } from "../contracts.ts";
import { unknownAssignee } from "./leads.errors.ts";
import type { LeadQuota } from "./quota.ts";
import type { SettingsCache } from "./settings.ts";

/** What the actions of leads share within a process. */
export interface Desk {
  database: Database;
  settings: SettingsCache;
  users: ActiveUsers;
  keys: OrganizationKeys;
  quota: LeadQuota;
}

/** The part of a context by which an action asks other services. */
export type Caller = Pick<Ctx<"leads.get">, "call" | "locals">;

/** Who is an active user. A yes is remembered for 30 s: that long leads may still be given to somebody deactivated. */
export class ActiveUsers {
  readonly #known = new LRUCache<string, true>({ max: 100_000, ttl: 30_000 });

  /**
   * Those of `ids` that are active users of the caller's organization.
   * Never called while the caller's transaction holds a connection: identity takes another of perhaps the same pool.
   */
  async among(ctx: Caller, ids: Iterable<string>): Promise<ReadonlySet<string>> {
    const { organizationId } = ctx.locals.actor;
    const active = new Set<string>();
    const unsure = new Set<string>();
    for (const id of ids) (this.#known.has(organizationId + id) ? active : unsure).add(id);
    const asked = [...unsure];
    for (let from = 0; from < asked.length; from += mostAtOnce)
      for (const id of await ctx.call("identity.activeUserIds", {
        ids: asked.slice(from, from + mostAtOnce),
      })) {
        active.add(id);
        this.#known.set(organizationId + id, true);
      }
    return active;
  }

  /** @throws 422 when somebody is named who is no active user */
  async require(ctx: Caller, id: string | null | undefined): Promise<void> {
    if (id === null || id === undefined || id === ctx.locals.actor.userId) return;
    if (!(await this.among(ctx, [id])).has(id)) throw unknownAssignee();
  }
}
/** Ids that identity.activeUserIds takes. */
const mostAtOnce = 1000;
