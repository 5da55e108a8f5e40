import type { RedisConnections } from "../../../mixins/redis/connections.ts";

export type Status = "online" | "away";
/** Status of each user that is there. */
export type Roster = ReadonlyMap<string, Status>;

/** Where gateways tell each other who is there. */
export interface PresenceStore {
  /**
   * Takes back what this gateway said in `drop`, and says `put` for the next `ttlMs`. Answers everybody of the
   * organization, whatever gateway they are at.
   */
  exchange(organizationId: string, put: Roster, drop: Roster): Promise<Roster>;
}

/** How long a user stays there after the gateway that said so has fallen silent. */
export const ttlMs = 12_000;

/** A gateway that is alone, or has no Redis to share through: what it put is all there is. */
export class LocalPresence implements PresenceStore {
  readonly #rosters = new Map<string, Map<string, Status>>();

  exchange(organizationId: string, put: Roster, drop: Roster): Promise<Roster> {
    const roster = this.#rosters.get(organizationId) ?? new Map<string, Status>();
    for (const userId of drop.keys()) roster.delete(userId);
    for (const [userId, status] of put) roster.set(userId, status);
    if (roster.size > 0) this.#rosters.set(organizationId, roster);
    else this.#rosters.delete(organizationId);
    return Promise.resolve(new Map(roster));
  }
}

/**
 * Atomic on one sorted set an organization: members `<user>|<status>|<gateway>`, scores the milliseconds at which they
 * end, by the clock of Redis. ARGV: ttl, number of members to put, those, then members to take away. Answers all
 * members that have not ended.
 */
const exchangeLua = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = now + ARGV[1]
local last = 2 + tonumber(ARGV[2])
for index = last + 1, #ARGV do redis.call('ZREM', KEYS[1], ARGV[index]) end
for index = 3, last do redis.call('ZADD', KEYS[1], ends, ARGV[index]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('PEXPIRE', KEYS[1], 2 * ARGV[1])
return redis.call('ZRANGE', KEYS[1], 0, -1)`;

/** Presence shared by all gateways. A gateway that dies takes nothing back, but its members end. */
export class RedisPresence implements PresenceStore {
  readonly #redis: RedisConnections;
  readonly #gateway: string;
  readonly #exchange: ReturnType<RedisConnections["script"]>;

  /** @param gateway unique name of this process */
  constructor(redis: RedisConnections, gateway: string) {
    this.#redis = redis;
    this.#gateway = gateway;
    this.#exchange = redis.script("sangamPresence", exchangeLua);
  }

  async exchange(organizationId: string, put: Roster, drop: Roster): Promise<Roster> {
    const [said, takenBack] = [put, drop].map((roster) => this.#members(roster)) as [string[], string[]];
    const key = this.#redis.keys.presence(organizationId);
    const all = (await this.#exchange(key, ttlMs, said.length, ...said, ...takenBack)) as string[];
    const roster = new Map<string, Status>();
    for (const member of all) {
      const [userId, status] = member.split("|") as [string, Status];
      if (roster.get(userId) !== "online") roster.set(userId, status);
    }
    return roster;
  }

  #members(roster: Roster): string[] {
    return [...roster].map(([userId, status]) => `${userId}|${status}|${this.#gateway}`);
  }
}
