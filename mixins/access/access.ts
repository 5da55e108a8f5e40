import { LRUCache } from "lru-cache";
import type { ServiceBroker } from "moleculer";
import { builtInRoles, rightsOf, type Principal, type Reach, type Rights, type Sight } from "./principal.ts";
import type { Database } from "../database/database.ts";
import { isUuid } from "../database/statement.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";
import type { Meta } from "../contract/meta.ts";

/** Broadcast {organizationId} after a change of roles or teams: every node finds out anew what its users may do. */
export const accessChanged = "access.changed";
export interface AccessChanged {
  organizationId: string;
}

/** How long roles and teams are believed without a look: the longest a change takes where its broadcast was lost. */
const believedMs = 2_000;
const remembered = 20_000;

/** The part of a call's meta that says who calls. */
export type Caller = Pick<Meta, "organizationId" | "userId" | "role" | "scopes">;

/**
 * Finds out what callers may do and whose records they see. Most built-in roles need no look; custom roles are read from
 * the control database, teams from the organization's shard, at most once in two seconds each.
 */
export class Access {
  readonly #database: Database;
  readonly #rights = new LRUCache<string, Promise<Rights>>({ max: remembered, ttl: believedMs });
  readonly #sights = new LRUCache<string, Promise<Sight>>({ max: remembered, ttl: believedMs });

  constructor(database: Database) {
    this.#database = database;
  }

  /** @throws 503 while roles or teams cannot be read */
  principalOf({ organizationId = "", userId, role = "", scopes }: Caller): Principal | Promise<Principal> {
    const principal: Principal = { organizationId, userId: userId ?? null, role, scopes };
    return isLookedUp(role) && organizationId !== "" ? this.#complete(principal) : principal;
  }

  /** Makes the next call of anybody of the organization look anew. */
  forget(organizationId: string): void {
    for (const cache of [this.#rights, this.#sights])
      for (const key of cache.keys()) if (key.startsWith(organizationId)) cache.delete(key);
  }

  async #complete(principal: Principal): Promise<Principal> {
    const { organizationId, role, userId } = principal;
    const rights = builtInRoles.has(role) ? {} : { rights: await this.#rightsOf(organizationId, role) };
    const known = { ...principal, ...rights };
    if (userId === null || rightsOf(known).sees !== "team") return known;
    return { ...known, sight: await this.#sightOf(organizationId, userId, role) };
  }

  #rightsOf(organizationId: string, roleId: string): Promise<Rights> {
    return remember(this.#rights, `${organizationId} ${roleId}`, () =>
      this.#database.transaction({ control: organizationId }, (tx) => readRights(tx, roleId)),
    );
  }

  #sightOf(organizationId: string, userId: string, role: string): Promise<Sight> {
    // while there are no teams, every manager is everybody's
    const isEverybodys = builtInRoles.has(role);
    return remember(this.#sights, `${organizationId} ${userId} ${isEverybodys}`, async () => {
      const teams = await this.#database.transaction({ organizationId }, (tx) => readTeams(tx, userId));
      if (isEverybodys && !teams.exist) return "all";
      return { assignees: new Set([userId, ...teams.memberIds]), unassigned: true };
    });
  }
}

/** Whether the role alone does not tell what somebody may do and see. */
export const isLookedUp = (role: string): boolean => builtInRoles.get(role)?.sees === "team" || isUuid(role);

/** After the commit, makes every node look anew what the users of the organization may do. */
export function announceAccess(broker: ServiceBroker, tx: UnitOfWork): void {
  const { organizationId } = tx;
  tx.afterCommit(() => {
    broker.broadcast(accessChanged, { organizationId } satisfies AccessChanged).catch((error: unknown) => {
      broker.logger.warn("some node was not told of changed roles or teams", error);
    });
  });
}

function remember<V>(
  cache: LRUCache<string, Promise<V & {}>>,
  key: string,
  load: () => Promise<V & {}>,
): Promise<V & {}> {
  const known = cache.get(key);
  if (known) return known;
  const loading = load();
  cache.set(key, loading);
  loading.catch(() => {
    if (cache.peek(key) === loading) cache.delete(key);
  });
  return loading;
}

/** A role that is gone permits nothing. */
async function readRights(tx: UnitOfWork, roleId: string): Promise<Rights> {
  const [role] = await tx.query<{ permissions: string[]; sees: Reach }>({
    name: "read_rights",
    text: "SELECT permissions, sees FROM control.roles WHERE id = $1",
    values: [roleId],
  });
  return { permissions: new Set(role?.permissions), sees: role?.sees ?? "own" };
}

async function readTeams(
  tx: UnitOfWork,
  managerId: string,
): Promise<{ exist: boolean; memberIds: string[] }> {
  const [teams] = await tx.query<{ exist: boolean; memberIds: string[] }>({
    name: "read_teams_of_manager",
    text: `SELECT EXISTS (SELECT FROM teams) AS exist,
      ARRAY(SELECT DISTINCT unnest(member_ids) FROM teams WHERE $1 = ANY (manager_ids))::text[] AS "memberIds"`,
    values: [managerId],
  });
  return teams ?? { exist: true, memberIds: [] };
}
