import { createRequire } from "node:module";
import type { Connection, CustomTypesConfig, PoolClient, QueryResult, Submittable } from "pg";
import type { Statement } from "./statement.ts";

// pg's own encoding of parameters; its types do not name it
const { prepareValue } = createRequire(import.meta.url)("pg/lib/utils") as {
  prepareValue: (value: unknown) => string | Buffer | null;
};

/** What a statement's rows look like; null when it has none. */
type Shape = {
  names: string[];
  parsers: ((text: string) => unknown)[];
  empty: Record<string, unknown>;
} | null;

/** The statements each connection has prepared, by name, and their shapes once they are known. */
const preparedOf = new WeakMap<Connection, Map<string, { shape: Shape | undefined }>>();

/**
 * Sends statements together, with one Sync: one write, one wake-up and one flush on either side, where pg's own
 * pipelining spends one of each on every statement. PostgreSQL takes what comes before a Sync for one transaction
 * unless BEGIN opened another, so a batch without BEGIN commits or fails as a whole, and skips what follows an error.
 * Answers the results in order. See "Pipelining" under "Message Flow" in PostgreSQL's protocol documentation.
 */
export function roundTrip(
  client: PoolClient,
  statements: readonly Statement[],
  types: CustomTypesConfig,
): Promise<QueryResult[]> {
  const batch = new Batch(statements, types);
  client.query(batch);
  return batch.results;
}

class Batch implements Submittable {
  readonly results: Promise<QueryResult[]>;
  readonly #statements: readonly Statement[];
  readonly #types: CustomTypesConfig;
  readonly #completed: Pick<QueryResult, "rows" | "rowCount" | "command">[] = [];
  readonly #newNames: string[] = [];
  #prepared = new Map<string, { shape: Shape | undefined }>();
  #rows: unknown[] = [];
  #shape: Shape | undefined;
  #resolve!: (results: QueryResult[]) => void;
  #reject!: (error: Error) => void;

  constructor(statements: readonly Statement[], types: CustomTypesConfig) {
    this.#statements = statements;
    this.#types = types;
    this.results = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  submit(connection: Connection): void {
    const known = preparedOf.get(connection);
    if (known) this.#prepared = known;
    else preparedOf.set(connection, this.#prepared);
    connection.stream.cork();
    try {
      for (const statement of this.#statements) this.#sendStatement(connection, statement);
    } finally {
      connection.sync();
      connection.stream.uncork();
    }
    this.#expectNext();
  }

  #sendStatement(connection: Connection, { name, text, values }: Statement): void {
    const prepared = name === undefined ? undefined : this.#prepared.get(name);
    if (!prepared) {
      if (name !== undefined) {
        // after a failed batch nobody knows whether the name was taken; closing one that is not is no error
        connection.close({ type: "S", name }, true);
        this.#prepared.set(name, { shape: undefined });
        this.#newNames.push(name);
      }
      connection.parse({ name: name as string, text, types: [] as never }, true);
    }
    const bound = { statement: name, values: values as string[] | undefined, valueMapper: prepareValue };
    connection.bind(bound, true);
    if (prepared?.shape === undefined) connection.describe({ type: "P", name: "" }, true);
    connection.execute(null, true);
  }

  #expectNext(): void {
    const name = this.#statements[this.#completed.length]?.name;
    this.#rows = [];
    this.#shape = name === undefined ? undefined : this.#prepared.get(name)?.shape;
  }

  handleRowDescription({ fields }: { fields: { name: string; dataTypeID: number }[] }): void {
    this.#shape = {
      names: fields.map((field) => field.name),
      parsers: fields.map(
        (field) => this.#types.getTypeParser(field.dataTypeID, "text") as (text: string) => unknown,
      ),
      empty: Object.fromEntries(fields.map((field) => [field.name, null])),
    };
  }

  handleDataRow({ fields }: { fields: (string | null)[] }): void {
    if (!this.#shape) return;
    const { names, parsers, empty } = this.#shape;
    const row = { ...empty };
    try {
      for (let index = 0; index < fields.length; index++) {
        const text = fields[index];
        if (text !== null && text !== undefined) row[names[index] as string] = parsers[index]?.(text);
      }
    } catch (error) {
      this.#reject(error as Error); // thrown from here it would end the process
    }
    this.#rows.push(row);
  }

  handleCommandComplete({ text }: { text: string }): void {
    const name = this.#statements[this.#completed.length]?.name;
    const prepared = name === undefined ? undefined : this.#prepared.get(name);
    if (prepared) prepared.shape ??= this.#shape ?? null;
    const [command = "", ...counts] = text.split(" ");
    const rowCount = counts.length > 0 ? Number(counts.at(-1)) : null;
    this.#completed.push({ rows: this.#rows, rowCount, command });
    this.#expectNext();
  }

  handleError(error: Error): void {
    for (const name of this.#newNames) this.#prepared.delete(name);
    this.#reject(error);
  }

  handleReadyForQuery(): void {
    this.#resolve(this.#completed as QueryResult[]); // of no effect after an error
  }

  handleEmptyQuery(): void {
    this.handleCommandComplete({ text: "" });
  }
  handlePortalSuspended(): void {
    // only an Execute with a limit of rows is suspended; ours have none
  }
  handleCopyInResponse(): void {
    // row-level security refuses COPY, so nobody sends one
  }
  handleCopyData(): void {
    // as above
  }
}
