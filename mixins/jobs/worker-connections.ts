import type { Socket } from "node:net";
import pg, { type Pool, type PoolClient } from "pg";
import { within } from "../concurrency/within.ts";

/** One to listen on; fetching, completing and failing share the rest. */
const poolSize = 4;
/** When PostgreSQL is gone without a word: longer than any statement of Graphile Worker takes. */
const silenceTimeoutMs = 33_000;
const graceMs = 1000;

/** The connections of one run of Graphile Worker. They end with it, also those that it never gives back. */
export class WorkerConnections {
  readonly pool: Pool;
  readonly #open = new Set<PoolClient>();

  constructor(url: string, options: { nodeId: string; onError: (error: Error) => void }) {
    this.pool = new pg.Pool({
      connectionString: url,
      max: poolSize,
      application_name: `sangam-worker-${options.nodeId}`.slice(0, 63),
      connectionTimeoutMillis: 10_000,
      // only a pipelining connection ends when an answer is late; another one would serve the next statement
      pipeline: true,
      query_timeout: silenceTimeoutMs,
    });
    this.pool.on("error", (error) => options.onError(error));
    this.pool.on("connect", (client) => {
      this.#open.add(client);
      client.on("error", () => undefined);
      // the first statement of the connection; without the role those that follow are refused, and the run ends
      client.query("SET ROLE sangam_worker").catch(options.onError);
      // plans are kept, and the first are made while the table is empty: to read all of it is cheap then, and never again
      client.query("SET enable_seqscan = off").catch(options.onError);
    });
    this.pool.on("remove", (client) => void this.#open.delete(client));
    giveBackOnce(this.pool);
  }

  async close(): Promise<void> {
    await within(graceMs, this.pool.end(), () => {
      for (const client of this.#open)
        (client as unknown as { connection: { stream: Socket } }).connection.stream.destroy();
    });
  }
}

/**
 * Makes giving a connection back twice harmless: Graphile Worker 0.18.0 does so with the one it listens on, in a promise that
 * nobody hears, when LISTEN fails while its run ends.
 */
function giveBackOnce(pool: Pool): void {
  const connect = pool.connect.bind(pool);
  type Take = Parameters<typeof connect>[0];
  const connectOnce = (take?: Take) =>
    take
      ? connect((error, client, giveBack) => {
          // there is nothing to give back then, and nothing to do it with
          if (error) return take(error, client, giveBack);
          let isBack = false;
          take(error, client, (reason) => {
            if (isBack) return;
            isBack = true;
            giveBack(reason);
          });
        })
      : connect();
  pool.connect = connectOnce as Pool["connect"];
}
