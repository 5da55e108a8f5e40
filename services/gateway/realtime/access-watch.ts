import type { Database } from "../../../mixins/database/database.ts";
import type { Shard } from "../../../mixins/database/shard.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";

/** Finds organizations whose roles or teams have changed, in case nobody told. */
export class AccessWatch {
  readonly #database: Database;
  /** Of each organization, what its roles and teams were like when last looked. */
  #seen = new Map<string, string>();

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Calls `apply` for each of the organizations that is not as it was in the round before, or was not among them then.
   * Rounds must not overlap; one that fails is made up for by the next.
   */
  async round(
    organizationIds: readonly string[],
    apply: (organizationId: string) => Promise<void>,
  ): Promise<void> {
    const stamps = await this.#stampsOf(organizationIds);
    const changed = organizationIds.filter((id) => this.#seen.get(id) !== stamps.get(id));
    this.#seen = new Map(stamps);
    for (const id of changed) this.#seen.delete(id);
    for (const id of changed) {
      await apply(id);
      this.#seen.set(id, stamps.get(id) ?? "");
    }
  }

  async #stampsOf(organizationIds: readonly string[]): Promise<Map<string, string>> {
    const stamps = new Map(organizationIds.map((id) => [id, ""]));
    if (organizationIds.length === 0) return stamps;
    const note = async (platform: Shard, table: StampedTable, ids: readonly string[]) => {
      const rows = await this.#database.transaction({ platform }, (tx) => readStamps(tx, table, ids));
      for (const { organization_id: id, stamp } of rows) stamps.set(id, `${stamps.get(id)} ${stamp}`);
    };
    await note(this.#database.control, "control.roles", organizationIds);
    const byShard = Map.groupBy(organizationIds, (id) => this.#database.shardOf(id));
    for (const [shard, ids] of byShard) await note(shard, "teams", ids);
    return stamps;
  }
}

type StampedTable = "teams" | "control.roles";
/** Differs when any row of the organization was added, changed or deleted. */
interface Stamp {
  organization_id: string;
  stamp: string;
}

const readStamps = (
  tx: UnitOfWork,
  table: StampedTable,
  organizationIds: readonly string[],
): Promise<Stamp[]> =>
  tx.query<{ organization_id: string; stamp: string }>({
    name: `stamps_of_${table}`,
    text: `SELECT organization_id, md5(string_agg(id || ':' || version, ',' ORDER BY id)) AS stamp
      FROM ${table} WHERE organization_id = ANY ($1) GROUP BY organization_id`,
    values: [organizationIds],
  });
