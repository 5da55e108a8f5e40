import type { Context } from "moleculer";
import { LRUCache } from "lru-cache";
import { invalidField } from "../../contract/errors.ts";
import type { Locals } from "../../contract/contract.ts";

/** The part of a context by which an action asks other services. */
export interface Caller {
  locals: Locals;
  call: unknown;
}
type Asking = Caller & Pick<Context, "call">;
/** @param path the field that names them */
export const unknownUser = (path: string) =>
  invalidField(path, "not_found", "is not an active user of the organization");

/** Who is an active user. A yes is remembered for 30 s: that long records may still be given to somebody deactivated. */
export class ActiveUsers {
  readonly #known = new LRUCache<string, true>({ max: 100_000, ttl: 30_000 });

  /** Those of `ids` that are active users of the caller's organization. Asked before the first statement. */
  async among(ctx: Caller, ids: Iterable<string>): Promise<ReadonlySet<string>> {
    const { organizationId } = ctx.locals.principal;
    const active = new Set<string>();
    const unsure = new Set<string>();
    for (const id of ids) (this.#known.has(organizationId + id) ? active : unsure).add(id);
    const asked = [...unsure];
    for (let from = 0; from < asked.length; from += mostAtOnce) {
      const some = asked.slice(from, from + mostAtOnce);
      for (const id of await (ctx as Asking).call<string[], { ids: string[] }>("identity.activeUserIds", {
        ids: some,
      })) {
        active.add(id);
        this.#known.set(organizationId + id, true);
      }
    }
    return active;
  }

  /** @throws 422 at `path` when somebody is named who is no active user */
  async require(ctx: Caller, id: string | null | undefined, path = "assignedTo"): Promise<void> {
    if (id === null || id === undefined || id === ctx.locals.principal.userId) return;
    if (!(await this.among(ctx, [id])).has(id)) throw unknownUser(path);
  }
}
/** Ids that identity.activeUserIds takes. */
const mostAtOnce = 1000;
