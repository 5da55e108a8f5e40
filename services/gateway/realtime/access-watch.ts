import type { Access } from "../../../mixins/access.ts";
import type { Database } from "../../../mixins/database/database.ts";
import type { Shard, UnitOfWork } from "../../../mixins/database/unit-of-work.ts";

/** Finds organizations whose roles or teams have changed, in case nobody told. */
export class AccessWatch {
  readonly #database: Database;
  readonly #access: Access;
  /** Of each organization, what its roles and teams were like when last looked. */
  #seen: ReadonlyMap<string, string> = new Map();

  constructor(database: Database, access: Access) {
    this.#database = database;
    this.#access = access;
  }

  /**
   * Those of the organizations that are not as they were in the round before, and those that were not asked about then;
   * what was known of them is forgotten. Rounds must not overlap.
   */
  async findChanged(organizationIds: readonly string[]): Promise<string[]> {
    const seen = new Map(organizationIds.map((id) => [id, ""]));
    const note = (stamps: Stamp[]) => {
      for (const { organization_id: id, stamp } of stamps) seen.set(id, `${seen.get(id)} ${stamp}`);
    };
    const byShard = Map.groupBy(organizationIds, (id) => this.#database.shardOf(id));
    if (organizationIds.length > 0)
      note(await this.#in(this.#database.control, (tx) => stampsOf(tx, "control.roles", organizationIds)));
    for (const [shard, ids] of byShard) note(await this.#in(shard, (tx) => stampsOf(tx, "teams", ids)));
    const changed = organizationIds.filter((id) => this.#seen.get(id) !== seen.get(id));
    this.#seen = seen;
    for (const id of changed) this.#access.forget(id);
    return changed;
  }

  #in(platform: Shard, work: (tx: UnitOfWork) => Promise<Stamp[]>): Promise<Stamp[]> {
    return this.#database.transaction({ platform }, work);
  }
}

/** Differs when any row of the organization was added, changed or deleted. */
interface Stamp {
  organization_id: string;
  stamp: string;
}

const stampsOf = (tx: UnitOfWork, table: "teams" | "control.roles", organizationIds: readonly string[]) =>
  tx.query<{ organization_id: string; stamp: string }>({
    name: `stamps_of_${table}`,
    text: `SELECT organization_id, md5(string_agg(id || ':' || version, ',' ORDER BY id)) AS stamp
      FROM ${table} WHERE organization_id = ANY ($1) GROUP BY organization_id`,
    values: [organizationIds],
  });
