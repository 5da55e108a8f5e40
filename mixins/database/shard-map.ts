import { hash } from "node:crypto";

/** Logical shard of an organization: the first 32 bits of SHA-256 of its id, modulo the number of logical shards. */
export function logicalShard(organizationId: string, logicalShards: number): number {
  return hash("sha256", organizationId, "buffer").readUInt32BE(0) % logicalShards;
}
