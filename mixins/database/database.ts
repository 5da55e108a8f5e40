import { MikroORM } from "@mikro-orm/postgresql";
import pg from "pg";
import { allEntities } from "../../entities/all.ts";
import { sqlState } from "../contract/errors.ts";
import { FairShare } from "../jobs/fair-share.ts";
import { GroupCommit } from "./group-commit.ts";
import { Homes } from "./homes.ts";
import { isoTimestamp, jsonValue, textArray } from "./statement.ts";
import { loginUrlOf, requireHarmless } from "./login.ts";
import { checkSchema, migrate } from "./migrate.ts";
import { closePool, openPool, pressureOf } from "./pool.ts";
import { Pulse } from "./pulse.ts";
import { within } from "../concurrency/within.ts";
import type { Scope } from "./scope.ts";
import { inTransaction } from "./transaction.ts";
import { runAlone, type Shard } from "./shard.ts";
import { UnitOfWork } from "./unit-of-work.ts";

// object ids of types, the same in every PostgreSQL
const timestamptz = 1184;
const textList = 1009;
const jsonb = 3802;

/** What one database said, or why it said nothing. */
export type ShardAnswer<T> = { shard: string; answer: T } | { shard: string; error: string };

/** Where everything durable lives: the control database and the shards. */
export class Database {
  readonly control: Shard;
  readonly shards: readonly Shard[];
  /** Which shard each organization lives in. */
  readonly homes: Homes;
  readonly #pulses: readonly { shard: Shard; pulse: Pulse }[];

  readonly #outage: () => string | undefined;

  private constructor(shards: Shard[], homes: Homes, outage: () => string | undefined = () => undefined) {
    this.#outage = outage;
    this.control = shards[0] as Shard;
    this.shards = shards;
    this.homes = homes;
    this.#pulses = shards.map((shard) => ({ shard, pulse: new Pulse(shard.pool) }));
  }

  /**
   * Migrates the databases as their owner, and opens them as one who owns nothing. The first URL holds the control tables and the first shard.
   * @param options.poolSize connections to each database
   * @param urls of each database, as the owner of its tables
   * @param options.appUrls of each database, as whoever processes work as; default: a login that migrations make
   * @param options.outage why there is no server now, where that is known; a sentence without a full stop
   * @param options.migrate manual: only looks whether they are up to date; default start
   * @param options.acceptsNewer opens a schema newer than this release, if none of what is newer is breaking
   * @throws Error when the number of logical shards differs from the one the control database was made with, or the schema is
   *   not the one of this release
   */
  static async open(
    urls: string[],
    options: {
      logicalShards: number;
      poolSize: number;
      onError: (error: Error) => void;
      outage?: () => string | undefined;
      appUrls?: string[] | undefined;
      migrate?: "start" | "manual";
      acceptsNewer?: boolean;
    },
  ): Promise<Database> {
    const { acceptsNewer = false, appUrls } = options;
    const logins = appUrls ?? urls.map(loginUrlOf);
    const partsOf = (index: number) => ({ control: index === 0, acceptsNewer });
    if (options.migrate === "manual") {
      const check = (url: string, index: number) =>
        checkSchema(url, partsOf(index)).catch((error: unknown) => {
          // the role and its password are made by migrations
          if (appUrls !== undefined || sqlState(error) !== "28P01") throw error;
          throw new Error("The database was never migrated, or by another owner; run npm run migrate.", {
            cause: error,
          });
        });
      const pending = await Promise.all(logins.map(check));
      if (pending.flat().length > 0)
        throw new Error(
          `The schema is not up to date; run npm run migrate.\n  ${pending.flat().join("\n  ")}`,
        );
    } else
      await Promise.all(
        urls.map((url, index) => migrate(url, { ...partsOf(index), makesLogin: appUrls === undefined })),
      );
    await Promise.all(logins.map(requireHarmless));
    const shards: Shard[] = logins.map((url, index) => openShard(url, index, options, () => homes));
    const homes: Homes = new Homes(shards);
    try {
      await homes.load(options.logicalShards);
      return new Database(shards, homes, options.outage);
    } catch (error) {
      await closeAll(shards);
      throw error;
    }
  }

  /** The database that holds an organization's rows. */
  shardOf(organizationId: string): Shard {
    return this.homes.of(organizationId);
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
          ? [this.control, { organizationId: target.control, home: "control" }]
          : [this.shardOf(target.organizationId), { organizationId: target.organizationId }];
    return await inTransaction(shard, scope, work);
  }

  /**
   * Reads every database at once, with the platform's rights. One that fails, or takes longer, says so in its answer:
   * the others' are no worse for it.
   * @param timeoutMs longest for each; default 5,000
   */
  everywhere<T>(
    read: (tx: UnitOfWork, shard: Shard) => Promise<T>,
    timeoutMs = 5_000,
  ): Promise<ShardAnswer<T>[]> {
    return Promise.all(
      this.shards.map(async (shard): Promise<ShardAnswer<T>> => {
        const tx = new UnitOfWork(shard, { platform: true, readOnly: true });
        try {
          const answer = await within(timeoutMs, read(tx, shard), () => {
            throw new Error(`no answer within ${timeoutMs} ms`);
          });
          return { shard: shard.name, answer };
        } catch (error) {
          return { shard: shard.name, error: (error as Error).message };
        }
      }),
    );
  }

  /**
   * Works on every database at once, with the platform's rights. One that fails costs the others nothing.
   * @throws Error naming each database that failed, after all have ended
   */
  async eachShard(work: (target: { platform: Shard }) => Promise<unknown>): Promise<void> {
    const ends = await Promise.allSettled(this.shards.map((platform) => work({ platform })));
    const failures = ends.flatMap((end, index) =>
      end.status === "rejected"
        ? [new Error(`${this.shards[index]?.name}: ${(end.reason as Error).message}`, { cause: end.reason })]
        : [],
    );
    if (failures.length > 0)
      throw new AggregateError(failures, failures.map(({ message }) => message).join("; "));
  }

  /** How full the longest line for connections is: 0 nobody waits, 1 the next is refused. */
  get pressure(): number {
    return Math.max(...this.shards.flatMap((shard) => [pressureOf(shard.pool), shard.commits.pressure]));
  }

  /** @throws Error naming each database that does not answer within 1.5 s or has no space left, and why */
  async ping(): Promise<void> {
    const outage = this.#outage();
    if (outage !== undefined) throw new Error(outage);
    const answers = await Promise.all(
      this.#pulses.map(async ({ shard, pulse }) => {
        try {
          await pulse.ask(1_500);
          if (shard.isFull) await requireSpace(shard);
          return [];
        } catch (error) {
          return [`${shard.name}: ${(error as Error).message}`];
        }
      }),
    );
    if (answers.flat().length > 0) throw new Error(answers.flat().join("; "));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#pulses.map(({ pulse }) => pulse.close()), closeAll(this.shards)]);
  }
}

/** Writes 160 kB, as a large object that nobody ever sees: only that tells whether there is space again. */
async function requireSpace(shard: Shard): Promise<void> {
  await inTransaction(shard, { platform: true }, (tx) =>
    tx.execute({
      text: `SELECT lo_unlink(lo_from_bytea(0, convert_to(string_agg(md5(n::text), ''), 'UTF8')))
        FROM generate_series(1, 5000) AS n`,
    }),
  );
  shard.isFull = false;
}

async function closeAll(shards: readonly Shard[]): Promise<void> {
  await Promise.all(shards.map((shard) => Promise.all([shard.orm.close(true), closePool(shard.pool)])));
}

function openShard(
  url: string,
  index: number,
  options: { poolSize: number; onError: (error: Error) => void },
  homes: () => Homes,
): Shard {
  const types = new pg.TypeOverrides();
  types.setTypeParser(timestamptz, isoTimestamp);
  types.setTypeParser(jsonb, jsonValue);
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
    ...{ name: `shard-${index}`, url, pool, types, orm, fairShare: new FairShare(), isFull: false },
    commits: new GroupCommit((organizationId, statements) => runAlone(shard, { organizationId }, statements)),
    findHome: (organizationId, since) => homes().find(organizationId, shard, since),
  };
  return shard;
}
