import { hash } from "node:crypto";
import type { Shard } from "./shard.ts";
import { UnitOfWork } from "./unit-of-work.ts";

/** Logical shard of an organization: the first 32 bits of SHA-256 of its id, modulo the number of logical shards. */
export function logicalShard(organizationId: string, logicalShards: number): number {
  return hash("sha256", organizationId, "buffer").readUInt32BE(0) % logicalShards;
}

/**
 * Reads logical shard → database, writing it where it is new. Concurrent first starts agree on the same rows.
 * @throws Error when the number of logical shards differs from the one the control database was made with
 */
export async function loadShardMap(shards: readonly Shard[], logicalShards: number): Promise<number[]> {
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
