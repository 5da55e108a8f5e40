import type { Cluster, Redis } from "ioredis";

/** How often subscriptions that failed are tried again. */
const retryMs = 500;

type Listener = (channel: Buffer, message: Buffer) => void;

/**
 * Subscriptions to sharded channels that outlive their connection. It has the part of an ioredis client that
 * Socket.IO's sharded adapter uses, which neither looks at failures nor repeats what failed.
 */
export class ShardedSubscriber {
  readonly #client: Redis | Cluster;
  readonly #wanted = new Set<string>();
  readonly #missing = new Set<string>();
  readonly #retry: NodeJS.Timeout;

  constructor(client: Redis | Cluster) {
    this.#client = client;
    // a Cluster resubscribes by itself; a single connection starts empty
    if (!client.isCluster) client.on("ready", () => this.#subscribe(this.#wanted));
    this.#retry = setInterval(() => this.#subscribe(this.#missing), retryMs).unref();
  }

  on(event: "smessageBuffer", listener: Listener): void {
    this.#client.on(event, listener);
  }

  ssubscribe(channel: string): void {
    this.#wanted.add(channel);
    this.#subscribe([channel]);
  }

  sunsubscribe(channel: string): void {
    this.#wanted.delete(channel);
    this.#missing.delete(channel);
    this.#client.sunsubscribe(channel).catch(ignore);
  }

  close(): void {
    clearInterval(this.#retry);
    this.#client.disconnect();
  }

  #subscribe(channels: Iterable<string>): void {
    for (const channel of channels) {
      this.#missing.delete(channel);
      // one a command: several would have to be of one slot
      this.#client.ssubscribe(channel).catch(() => {
        if (this.#wanted.has(channel)) this.#missing.add(channel);
      });
    }
  }
}

const ignore = () => undefined;
