import { inUnit } from "./one-connection.ts";
import type { Scope } from "./scope.ts";
import type { Shard } from "./shard.ts";
import { UnitOfWork } from "./unit-of-work.ts";

/** Runs `work` in a transaction of its own on this very database, committing its result. */
export async function inTransaction<T>(
  shard: Shard,
  scope: Scope,
  work: (tx: UnitOfWork) => Promise<T>,
): Promise<T> {
  const tx = new UnitOfWork(shard, scope);
  try {
    const result = await inUnit(tx, () => work(tx));
    await tx.commit();
    return result;
  } catch (error) {
    await tx.rollback();
    throw error;
  }
}
