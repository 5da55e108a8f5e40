import { MikroORM } from "@mikro-orm/postgresql";
import { LRUCache } from "lru-cache";
import pg from "pg";
import { allEntities } from "../../entities/all.ts";
import { FairShare } from "../jobs/fair-share.ts";
import { GroupCommit } from "./group-commit.ts";
import { logicalShard } from "./shard-map.ts";
import { isoTimestamp, textArray } from "./statement.ts";
import { migrate } from "./migrate.ts";
import { openPool, pressureOf } from "./pool.ts";
import { UnitOfWork, runAlone, type Scope, type Shard } from "./unit-of-work.ts";

// object ids of types, the same in every PostgreSQL
const timestamptz = 1184;
const textList = 1009;

/** Where everything durable lives: the control database and the shards. */
export class Database {
  readonly control: Shard;
  readonly shards: readonly Shard[];
  readonly #shardOf: readonly number[];
  /** What was worked out of late: a call asks several times. */
  readonly #placed = new LRUCache<string, Shard>({ max: 10_000 });

  private constructor(shards: Shard[], shardOf: number[]) {
    this.control = shards[0] as Shard;
    this.shards = shards;
    this.#shardOf = shardOf;
  }

  /**
   * Migrates and opens the databases. The first URL holds the control tables and the first shard.
   * @param options.poolSize connections to each database
   * @throws Error when the number of logical shards differs from the one the control database was made with
   */
  static async open(
    urls: string[],
    options: { logicalShards: number; poolSize: number; onError: (error: Error) => void },
  ): Promise<Database> {
    await Promise.all(urls.map((url, index) => migrate(url, { control: index === 0 })));
    const shards = urls.map((url, index) => openShard(url, index, options));
    try {
      return new Database(shards, await loadShardMap(shards, options.logicalShards));
    } catch (error) {
      await closeAll(shards);
      throw error;
    }
  }

  /** The database that holds an organization's rows. */
  shardOf(organizationId: string): Shard {
    const known = this.#placed.get(organizationId);
    if (known) return known;
    const index = this.#shardOf[logicalShard(organizationId, this.#shardOf.length)] as number;
    const shard = this.shards[index] as Shard;
    this.#placed.set(organizationId, shard);
    return shard;
  }

  /** Reads of an organization, each by itself and holding no connection afterwards. */
  reader(organizationId: string): UnitOfWork {
    return new UnitOfWork(this.shardOf(organizationId), { organizationId, readOnly: true });
  }

  /** Runs `work` in a transaction of its own, committing its result. */
  async transaction<T>(
    target: { organizationId: string } | { control: string } | { platform: Shard },
    work: (tx: UnitOfWork) => Promise<T>,
  ): Promise<T> {
    const [shard, scope]: [Shard, Scope] =
      "platform" in target
        ? [target.platform, { platform: true }]
        : "control" in target
          ? [this.control, { organizationId: target.control }]
          : [this.shardOf(target.organizationId), { organizationId: target.organizationId }];
    const tx = new UnitOfWork(shard, scope);
    try {
      const result = await work(tx);
      await tx.commit();
      return result;
    } catch (error) {
      await tx.rollback();
      throw error;
    }
  }

  /** How full the longest line for connections is: 0 nobody waits, 1 the next is refused. */
  get pressure(): number {
    return Math.max(...this.shards.flatMap((shard) => [pressureOf(shard.pool), shard.commits.pressure]));
  }

  /** @throws when a database cannot answer */
  async ping(): Promise<void> {
    await Promise.all(this.shards.map((shard) => shard.pool.query("SELECT 1")));
  }

  close(): Promise<void> {
    return closeAll(this.shards);
  }
}

async function closeAll(shards: readonly Shard[]): Promise<void> {
  await Promise.all(shards.map((shard) => Promise.all([shard.orm.close(true), shard.pool.end()])));
}

function openShard(
  url: string,
  index: number,
  options: { poolSize: number; onError: (error: Error) => void },
): Shard {
  const types = new pg.TypeOverrides();
  types.setTypeParser(timestamptz, isoTimestamp);
  const parseList = types.getTypeParser(textList, "text") as unknown as (text: string) => unknown;
  types.setTypeParser(textList, (text: string) => textArray(text, parseList));
  const pool = openPool(url, { size: options.poolSize, types, onError: options.onError });
  // Entities only ever run inside a unit of work, on its connection; this address must never be dialled.
  const orm = new MikroORM({
    entities: allEntities,
    clientUrl: "postgres://unit-of-work-only.invalid/none",
    ensureDatabase: false,
  });
  const shard: Shard = {
    ...{ name: `shard-${index}`, url, pool, types, orm, fairShare: new FairShare() },
    commits: new GroupCommit((organizationId, statements) => runAlone(shard, { organizationId }, statements)),
  };
  return shard;
}

/** Reads logical shard → database, writing it where it is new. Concurrent first starts agree on the same rows. */
async function loadShardMap(shards: Shard[], logicalShards: number): Promise<number[]> {
  const control = shards[0] as Shard;
  const tx = new UnitOfWork(control, { platform: true });
  const indexes = Array.from({ length: logicalShards }, (_, logical) => logical % shards.length);
  await tx.query({
    text: `INSERT INTO control.shard_map (logical_shard, database_index)
      SELECT logical - 1, index FROM unnest($1::int[]) WITH ORDINALITY AS map (index, logical)
      WHERE NOT EXISTS (SELECT FROM control.shard_map) ON CONFLICT DO NOTHING`,
    values: [indexes],
  });
  const rows = await tx.query<{ logical_shard: number; database_index: number }>({
    text: "SELECT logical_shard, database_index FROM control.shard_map ORDER BY logical_shard",
  });
  await tx.commit();
  if (rows.length !== logicalShards)
    throw new Error(
      `LOGICAL_SHARDS is ${logicalShards}, but this installation was made with ${rows.length}. Set it to ${rows.length}.`,
    );
  const missing = rows.find((row) => row.database_index >= shards.length);
  if (missing)
    throw new Error(
      `The shard map names database ${missing.database_index}, but DATABASE_SHARDS lists only ${shards.length - 1}.`,
    );
  return rows.map((row) => row.database_index);
}
