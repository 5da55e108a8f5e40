import type { Socket } from "node:net";
import pg, { type Pool } from "pg";
import { within } from "../concurrency/within.ts";
import { reasonOf } from "../contract/errors.ts";

/**
 * Whether a database answers, over a connection of its own: a long line for those of the pool must not look like a
 * database that is gone.
 */
export class Pulse {
  readonly #pool: Pool;
  #client: Promise<pg.Client> | undefined;
  /** Why a connection broke between two questions. */
  readonly #lost = new WeakMap<Promise<pg.Client>, Error>();

  /** @param pool says how to connect */
  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** @throws Error saying why not, after `timeoutMs` at the latest */
  async ask(timeoutMs: number): Promise<void> {
    this.#client ??= this.#connect(timeoutMs);
    const client = this.#client;
    try {
      await within(
        timeoutMs,
        client.then((open) => open.query("SELECT 1")),
        () => {
          throw new Error(`no answer within ${timeoutMs} ms`);
        },
      );
    } catch (error) {
      if (this.#client === client) this.#client = undefined;
      client.then(destroy, () => undefined);
      throw new Error(reasonOf(this.#lost.get(client) ?? error), { cause: error });
    }
  }

  /** Ends the connection; nobody may ask afterwards. */
  async close(): Promise<void> {
    // a server that is silent would not answer a goodbye
    await this.#client?.then(destroy).catch(() => undefined);
  }

  #connect(timeoutMs: number): Promise<pg.Client> {
    const { connectionString } = this.#pool.options;
    const client = new pg.Client({
      connectionString,
      // whoever asks has given up by then, and says so
      connectionTimeoutMillis: 2 * timeoutMs,
      application_name: "sangam-pulse",
    });
    const connected = client.connect().then(() => client);
    client.on("error", (error) => this.#lost.set(connected, error));
    return connected;
  }
}

/** Without a goodbye, which would wait for an answer. */
const destroy = (client: pg.Client): void => {
  (client as unknown as { connection: { stream: Socket } }).connection.stream.destroy();
};
