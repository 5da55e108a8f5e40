import { createShardedAdapter } from "@socket.io/redis-adapter";
import type { RedisConnections } from "../../../mixins/redis/connections.ts";

/**
 * Socket.IO's adapter that carries rooms between gateways, a channel a room. Publishing never waits: what a lost
 * Redis does not carry reaches the sockets of this process at least.
 */
export function shardedAdapter(redis: RedisConnections): ReturnType<typeof createShardedAdapter> {
  const publisher = {
    spublish(channel: string, message: string | Buffer): Promise<number> {
      if (redis.isReady) redis.client.spublish(channel, message).catch(() => undefined);
      return Promise.resolve(0);
    },
  };
  return createShardedAdapter(publisher, redis.subscriber(), { channelPrefix: redis.keys.channelPrefix });
}
