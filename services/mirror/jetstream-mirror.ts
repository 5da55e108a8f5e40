import { connect, nanos, type JetStreamClient, type NatsConnection } from "nats";
import type { SequencedEvent } from "../../mixins/events/feed.ts";

const stream = "crm";
const publishTimeoutMs = 5_000;
/** JetStream drops a message whose id it has seen this long ago: what a repeated batch sends again. */
const duplicateWindowMs = 120_000;

/**
 * Publishes events as `crm.<type>`, with the event's id as Nats-Msg-Id. The body is the event with its
 * organizationId, as JSON. At least once: a consumer that cannot bear an event twice looks at its id.
 */
export class JetStreamMirror {
  readonly #url: string;
  #connection: Promise<NatsConnection> | undefined;
  #client: Promise<JetStreamClient> | undefined;

  constructor(url: string) {
    this.#url = url;
  }

  /** @throws when JetStream has not stored the event; the caller repeats it later */
  async publish(organizationId: string, { audience: _, ...event }: SequencedEvent): Promise<void> {
    const client = await this.#open();
    await client.publish(`${stream}.${event.type}`, JSON.stringify({ organizationId, ...event }), {
      msgID: event.id,
      timeout: publishTimeoutMs,
    });
  }

  async close(): Promise<void> {
    const connection = await this.#connection?.catch(() => undefined);
    await connection?.close();
  }

  #open(): Promise<JetStreamClient> {
    if (!this.#client) {
      this.#client = this.#start();
      this.#client.catch(() => (this.#client = undefined)); // the next publish tries again
    }
    return this.#client;
  }

  async #start(): Promise<JetStreamClient> {
    this.#connection ??= connect({ servers: this.#url, maxReconnectAttempts: -1, timeout: publishTimeoutMs });
    this.#connection.catch(() => (this.#connection = undefined));
    const connection = await this.#connection;
    const manager = await connection.jetstreamManager({ timeout: publishTimeoutMs });
    // an existing stream keeps what its operator has set
    const exists = await manager.streams.info(stream).then(
      () => true,
      () => false,
    );
    if (!exists)
      await manager.streams.add({
        name: stream,
        subjects: [`${stream}.>`],
        duplicate_window: nanos(duplicateWindowMs),
      });
    return connection.jetstream();
  }
}
