import type { Database } from "../database/database.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";
import { Poller } from "./poller.ts";

const leaseSeconds = 10;
const renewEveryMs = 3000;

/**
 * One leader among the nodes that ask, by a row of the control database with a lease and an epoch. A leader that was
 * stopped and resumed may still think it leads: whatever it does goes through `lead`, which the row stops.
 */
export class Leader {
  readonly #database: Database;
  readonly #name: string;
  readonly #nodeId: string;
  readonly #poller: Poller;
  #epoch: string | undefined;

  /** @param options.name what is led; one row each */
  constructor(
    database: Database,
    options: { name: string; nodeId: string; onError: (error: Error) => void },
  ) {
    this.#database = database;
    this.#name = options.name;
    this.#nodeId = options.nodeId;
    this.#poller = new Poller({
      name: `election of ${options.name}`,
      everyMs: renewEveryMs,
      run: async () => {
        await this.#runFor();
        return false;
      },
      onError: options.onError,
    });
  }

  start(): void {
    this.#poller.start();
  }

  /** Whether this node led when it last asked: worth trying, nothing more. */
  get isLeader(): boolean {
    return this.#epoch !== undefined;
  }

  /** Runs `work` in a transaction that commits only if this node leads until its end; undefined otherwise. */
  async lead<T>(work: (tx: UnitOfWork, epoch: string) => Promise<T>): Promise<T | undefined> {
    const epoch = this.#epoch;
    if (epoch === undefined) return undefined;
    return this.#database.transaction({ platform: this.#database.control }, async (tx) => {
      const [mine] = await tx.query({
        name: "still_leading",
        text: `SELECT FROM control.leaders WHERE name = $1 AND epoch = $2 AND expires_at > clock_timestamp() FOR SHARE`,
        values: [this.#name, epoch],
      });
      if (mine) return work(tx, epoch);
      // meanwhile it may have been elected anew
      if (this.#epoch === epoch) this.#epoch = undefined;
      return undefined;
    });
  }

  /** Gives the lead up, so that another node takes it at once. */
  async stop(): Promise<void> {
    await this.#poller.stop();
    const epoch = this.#epoch;
    this.#epoch = undefined;
    if (epoch === undefined) return;
    // if this fails, the lease runs out
    await this.#onControl((tx) =>
      tx.query({
        text: "UPDATE control.leaders SET expires_at = '-infinity' WHERE name = $1 AND epoch = $2",
        values: [this.#name, epoch],
      }),
    ).catch(() => undefined);
  }

  async #runFor(): Promise<void> {
    const [row] = await this.#onControl((tx) =>
      tx.query<{ epoch: string }>({
        name: "run_for_leader",
        text: `INSERT INTO control.leaders AS l (name, node_id, epoch, expires_at)
          VALUES ($1, $2, 1, clock_timestamp() + $4 * interval '1 s')
          ON CONFLICT (name) DO UPDATE SET node_id = excluded.node_id, expires_at = excluded.expires_at,
            epoch = l.epoch + CASE WHEN l.epoch = $3 THEN 0 ELSE 1 END
          -- a lease never runs so far ahead: the clock was wrong when it was written
          WHERE l.epoch = $3 OR l.expires_at NOT BETWEEN clock_timestamp() AND clock_timestamp() + 2 * $4 * interval '1 s'
          RETURNING epoch`,
        values: [this.#name, this.#nodeId, this.#epoch ?? null, leaseSeconds],
      }),
    );
    this.#epoch = row?.epoch;
  }

  #onControl<T>(work: (tx: UnitOfWork) => Promise<T>): Promise<T> {
    return this.#database.transaction({ platform: this.#database.control }, work);
  }
}

/** Who leads now, for operators. */
export async function readLeader(
  tx: UnitOfWork,
  name: string,
): Promise<{ nodeId: string; epoch: string } | undefined> {
  const [row] = await tx.query<{ node_id: string; epoch: string }>({
    name: "read_leader",
    text: "SELECT node_id, epoch FROM control.leaders WHERE name = $1 AND expires_at > clock_timestamp()",
    values: [name],
  });
  return row && { nodeId: row.node_id, epoch: row.epoch };
}
