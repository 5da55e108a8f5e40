import { setTimeout as sleep } from "node:timers/promises";
import { LRUCache } from "lru-cache";
import { appError } from "../contract/errors.ts";
import { Poller } from "../concurrency/poller.ts";
import { loadShardMap, logicalShard } from "./shard-map.ts";
import type { Shard } from "./shard.ts";
import { UnitOfWork } from "./unit-of-work.ts";

/** Longest a call waits for an organization whose gate is closed: longer than a move closes it, unless told otherwise. */
const patienceMs = 10_000;
const askAgainMs = 50;
const refreshEveryMs = 1_000;

/** An organization whose database is not, or not only, the one of its logical shard. Indexes are of `Database.shards`. */
export interface OrganizationHome {
  organizationId: string;
  databaseIndex: number;
  /** Where it is copied to, or where its rows are still to be deleted. */
  otherIndex: number | null;
  state: "settled" | "moving" | "cleaning";
  epoch: string;
}

interface Gate {
  state: "leaving" | "closed" | "moved" | "arriving";
  epoch: string;
  databaseIndex: number;
}

/**
 * Which database each organization lives in: the one of its logical shard, unless it was moved. What a process knows
 * of it may be old, and nothing but time is lost by that: the gate of each database refuses organizations that do not
 * live there, see moves.enter, and whoever is refused asks again.
 */
export class Homes {
  readonly #shards: readonly Shard[];
  #byLogicalShard: readonly number[] = [];
  readonly #moved = new Map<string, number>();
  /** What was worked out of late: a call asks several times. */
  readonly #placed = new LRUCache<string, Shard>({ max: 10_000 });
  /** Searches under way, by organization and database: however many calls wait, one asks. */
  readonly #searches = new Map<string, Promise<Shard>>();
  #readUntil = "-infinity";

  constructor(shards: readonly Shard[]) {
    this.#shards = shards;
  }

  /** @throws Error when the number of logical shards differs from the one the control database was made with */
  async load(logicalShards: number): Promise<void> {
    this.#byLogicalShard = await loadShardMap(this.#shards, logicalShards);
    await this.refresh();
  }

  of(organizationId: string): Shard {
    const known = this.#placed.get(organizationId);
    if (known) return known;
    const shard = this.#shards[this.indexOf(organizationId)] as Shard;
    this.#placed.set(organizationId, shard);
    return shard;
  }

  indexOf(organizationId: string): number {
    return (
      this.#moved.get(organizationId)
      ?? (this.#byLogicalShard[logicalShard(organizationId, this.#byLogicalShard.length)] as number)
    );
  }

  /**
   * Where an organization lives that `refusedBy` has not let in; after a moment the same, when it only may not write now.
   * @param since when the call began to look, as of performance.now()
   * @throws 503 ORGANIZATION_MOVING after 10 s
   */
  find(organizationId: string, refusedBy: Shard, since: number): Promise<Shard> {
    if (performance.now() - since > patienceMs) return Promise.reject(organizationMoving());
    const key = `${organizationId} ${refusedBy.name}`;
    let search = this.#searches.get(key);
    if (!search) {
      search = this.#search(organizationId, refusedBy).finally(() => this.#searches.delete(key));
      this.#searches.set(key, search);
    }
    return search;
  }

  /** Reads which organizations moved since the last time, and ends moves whose mover died behind the point of no return. */
  async refresh(): Promise<void> {
    const changed = await this.#read(
      "changed_at > $1::timestamptz - interval '1 minute' OR state = 'moving'",
      this.#readUntil,
    );
    for (const home of changed)
      if (home.state === "moving") {
        const gate = await this.#gate(home.organizationId, this.#shards[home.databaseIndex] as Shard);
        if (gate?.state === "moved") await this.#complete(home.organizationId, gate);
      }
  }

  /** Keeps what this process knows fresh; not started. */
  follower(onError: (error: Error) => void): Poller {
    return new Poller({
      name: "homes of organizations",
      everyMs: refreshEveryMs,
      run: () => this.refresh().then(() => false),
      onError,
    });
  }

  async #search(organizationId: string, refusedBy: Shard): Promise<Shard> {
    const gate = await this.#gate(organizationId, refusedBy);
    await (gate?.state === "moved"
      ? this.#complete(organizationId, gate)
      : this.#read("organization_id = $1", organizationId));
    const home = this.of(organizationId);
    if (home === refusedBy) await sleep(askAgainMs);
    return home;
  }

  async #gate(organizationId: string, shard: Shard): Promise<Gate | undefined> {
    const [gate] = await new UnitOfWork(shard, { platform: true, readOnly: true }).query<{
      state: Gate["state"];
      epoch: string;
      database_index: number;
    }>({
      name: "read_gate",
      text: "SELECT state, epoch, database_index FROM moves.gates WHERE organization_id = $1",
      values: [organizationId],
    });
    return gate && { state: gate.state, epoch: gate.epoch, databaseIndex: gate.database_index };
  }

  /**
   * What follows once an organization's old gate says that it has moved: the map says so too, and its new gate opens.
   * Anybody may do it, any number of times.
   */
  async #complete(organizationId: string, { epoch, databaseIndex }: Gate): Promise<void> {
    const control = new UnitOfWork(this.#shards[0] as Shard, { platform: true });
    control.defer({
      text: `UPDATE control.organization_shards
        SET database_index = other_index, other_index = database_index, state = 'cleaning', changed_at = clock_timestamp()
        WHERE organization_id = $1 AND epoch = $2 AND state = 'moving'`,
      values: [organizationId, epoch],
    });
    await control.commit();
    const target = new UnitOfWork(this.#shards[databaseIndex] as Shard, { platform: true });
    target.defer({ text: "SELECT moves.admit($1, $2)", values: [organizationId, epoch] });
    await target.commit();
    await this.#read("organization_id = $1", organizationId);
  }

  async #read(condition: string, value: string): Promise<OrganizationHome[]> {
    const rows = await new UnitOfWork(this.#shards[0] as Shard, { platform: true, readOnly: true }).query<{
      organization_id: string;
      database_index: number;
      other_index: number | null;
      state: OrganizationHome["state"];
      epoch: string;
      changed_at: string;
    }>({
      text: `SELECT organization_id, database_index, other_index, state, epoch, changed_at
        FROM control.organization_shards WHERE ${condition}`,
      values: [value],
    });
    for (const row of rows) {
      if (this.#shards[row.database_index] === undefined)
        throw new Error(
          `Organization ${row.organization_id} lives in database ${row.database_index}, but DATABASE_SHARDS lists only ${this.#shards.length - 1}.`,
        );
      this.#moved.set(row.organization_id, row.database_index);
      this.#placed.delete(row.organization_id);
      if (row.changed_at > this.#readUntil) this.#readUntil = row.changed_at;
    }
    return rows.map((row) => ({
      organizationId: row.organization_id,
      databaseIndex: row.database_index,
      otherIndex: row.other_index,
      state: row.state,
      epoch: row.epoch,
    }));
  }
}

const organizationMoving = () =>
  appError(503, "ORGANIZATION_MOVING", "The organization is being moved; try again in a moment.", {
    retryAfterSeconds: 1,
  });
