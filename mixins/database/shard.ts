import type { MikroORM } from "@mikro-orm/postgresql";
import type { CustomTypesConfig, Pool, PoolClient, QueryResult } from "pg";
import type { FairShare } from "../jobs/fair-share.ts";
import { observeQuery } from "../process/metrics.ts";
import { isUndone, type GroupCommit } from "./group-commit.ts";
import { requireNoneHeld } from "./one-connection.ts";
import { takeConnection } from "./pool.ts";
import { roundTrip } from "./round-trip.ts";
import { enter, holderOf, type Scope } from "./scope.ts";
import type { Statement } from "./statement.ts";

/** A physical database: its pool (pipelining connections) and the entities that live in it. */
export interface Shard {
  name: string;
  /** As whoever processes work as: one who owns nothing, and may take roles. */
  url: string;
  pool: Pool;
  /** How its column types become values. */
  types: CustomTypesConfig;
  orm: MikroORM;
  /** In which order the organizations' jobs added here come up. */
  fairShare: FairShare;
  /** Commits commands that only insert rows. */
  commits: GroupCommit;
  /** Whether a write found no space since the last one that is known to have. */
  isFull: boolean;
  /** Where an organization is to be sought that was not let in here; see Homes.find. */
  findHome: (organizationId: string, since: number) => Promise<Shard>;
}

/** Runs statements as a transaction of their own, in one round trip that holds a connection no longer. */
export async function runAlone(shard: Shard, scope: Scope, statements: Statement[]): Promise<QueryResult[]> {
  requireNoneHeld();
  const client = await takeConnection(shard.pool, holderOf(scope));
  try {
    const results = await exchange(shard, client, [enter(scope), ...statements]);
    client.release();
    return results.slice(1);
  } catch (error) {
    // who waits for a connection must not be given one that is breaking
    client.release(isUndone(error) ? undefined : (error as Error));
    throw error;
  }
}

/** Sends statements at once over a connection; answers the results of all. */
export const exchange = (shard: Shard, client: PoolClient, statements: Statement[]): Promise<QueryResult[]> =>
  observeQuery(() => roundTrip(client, statements, shard.types));

/** Undoes what a connection has begun, and gives it back. */
export const undo = (client: PoolClient): Promise<void> =>
  client.query("ROLLBACK").then(
    () => client.release(),
    (error: Error) => client.release(error),
  );
