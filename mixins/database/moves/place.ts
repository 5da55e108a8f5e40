import pg, { type ClientBase, type QueryResultRow } from "pg";

/** What fences a mover that another has replaced, in each transaction of its own. */
export class MoveReplaced extends Error {}

/** One of the two databases of a move, as its mover sees it: a connection of its own, without the pool's limits. */
export class Place {
  readonly index: number;
  readonly client: pg.Client;
  readonly #organizationId: string;

  private constructor(index: number, client: pg.Client, organizationId: string) {
    this.index = index;
    this.client = client;
    this.#organizationId = organizationId;
  }

  static async open(url: string, index: number, organizationId: string): Promise<Place> {
    const client = new pg.Client({
      connectionString: url,
      application_name: "sangam-shards",
      connectionTimeoutMillis: 10_000,
      keepAlive: true,
      // text in, text out: values pass as PostgreSQL writes them
      types: { getTypeParser: () => (value: string) => value } as unknown as pg.CustomTypesConfig,
    });
    client.on("error", () => undefined); // surfaces as the failure of the query in flight
    await client.connect();
    // what is compared between two databases must be written alike
    await client.query(
      "SET statement_timeout = 0; SET timezone = 'UTC'; SET datestyle = 'ISO'; SET bytea_output = 'hex'; SET extra_float_digits = 1",
    );
    return new Place(index, client, organizationId);
  }

  close(): Promise<void> {
    return this.client.end();
  }

  /**
   * Runs `work` in a transaction that sees and writes the organization's rows alone, its gate or not.
   * @param epoch of the move: with it the transaction fails when another move has taken over
   */
  async asOrganization<T>(
    work: (client: ClientBase) => Promise<T>,
    options: { epoch?: string; isSnapshot?: boolean } = {},
  ): Promise<T> {
    return this.#transaction(options.isSnapshot ? "ISOLATION LEVEL REPEATABLE READ" : "", async () => {
      if (options.epoch !== undefined) await this.#requireEpoch(options.epoch);
      await this.client.query(
        // what triggers have written is copied too
        "SELECT set_config('role', 'sangam_app', true), set_config('app.organization_id', $1, true), set_config('app.is_copying', 'yes', true)",
        [this.#organizationId],
      );
      return work(this.client);
    });
  }

  /** Runs `work` in a transaction with the platform's rights. */
  asPlatform<T>(work: (client: ClientBase) => Promise<T>): Promise<T> {
    return this.#transaction("", async () => {
      await this.client.query("SET LOCAL role = sangam_platform");
      return work(this.client);
    });
  }

  /** Rows of one statement with the platform's rights. */
  rows<R extends QueryResultRow>(text: string, values: unknown[] = []): Promise<R[]> {
    return this.asPlatform(async (client) => (await client.query<R>(text, values)).rows);
  }

  /** Runs `work` in a transaction as the owner of the tables. */
  asOwner<T>(work: (client: ClientBase) => Promise<T>): Promise<T> {
    return this.#transaction("", () => work(this.client));
  }

  async #requireEpoch(epoch: string): Promise<void> {
    await this.client.query("SET LOCAL role = sangam_platform");
    const { rowCount } = await this.client.query(
      "SELECT FROM moves.gates WHERE organization_id = $1 AND epoch = $2 FOR SHARE",
      [this.#organizationId, epoch],
    );
    if (rowCount === 0) throw new MoveReplaced("Another move of this organization has taken over.");
  }

  async #transaction<T>(mode: string, work: () => Promise<T>): Promise<T> {
    await this.client.query(`BEGIN ${mode}`);
    try {
      const result = await work();
      await this.client.query("COMMIT");
      return result;
    } catch (error) {
      await this.client.query("ROLLBACK").catch(() => undefined);
      throw error;
    }
  }
}
