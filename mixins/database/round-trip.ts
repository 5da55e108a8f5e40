import { createRequire } from "node:module";
import { LRUCache } from "lru-cache";
import type { Connection, CustomTypesConfig, PoolClient, QueryResult, Submittable } from "pg";
import { isStatementOutdated } from "./sql-errors.ts";
import type { BoundedRows, Statement } from "./statement.ts";

// pg's own encoding of parameters; its types do not name it
const { prepareValue } = createRequire(import.meta.url)("pg/lib/utils") as {
  prepareValue: (value: unknown) => string | Buffer | null;
};

type Field = { name: string; dataTypeID: number };
type Row = Record<string, unknown>;
type Parser = (text: string) => unknown;
/** A result; of a statement with `mostBytes` with what BoundedRows says. */
export type BoundedResult = QueryResult & Partial<Pick<BoundedRows<unknown>, "sizes" | "isCut">>;
/** Makes a row of its fields' texts; null when a statement has no rows. */
type RowMaker = ((fields: (string | null)[]) => Row) | null;

/** The statements each connection has prepared, by name, and what makes their rows once it is known. */
const preparedOf = new WeakMap<Connection, Map<string, { makeRow: RowMaker | undefined }>>();

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
): Promise<BoundedResult[]> {
  const batch = new Batch(statements, types);
  client.query(batch);
  return batch.results;
}

class Batch implements Submittable {
  readonly results: Promise<BoundedResult[]>;
  readonly #statements: readonly Statement[];
  readonly #types: CustomTypesConfig;
  readonly #completed: Pick<BoundedResult, "rows" | "rowCount" | "command" | "sizes" | "isCut">[] = [];
  readonly #newNames: string[] = [];
  #prepared = new Map<string, { makeRow: RowMaker | undefined }>();
  #rows: unknown[] = [];
  #sizes: number[] | undefined;
  #bytes = 0;
  #isCut = false;
  #makeRow: RowMaker | undefined;
  #resolve!: (results: BoundedResult[]) => void;
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
        this.#prepared.set(name, { makeRow: undefined });
        this.#newNames.push(name);
      }
      connection.parse({ name: name as string, text, types: [] as never }, true);
    }
    const bound = { statement: name, values: values as string[] | undefined, valueMapper: prepareValue };
    connection.bind(bound, true);
    if (prepared?.makeRow === undefined) connection.describe({ type: "P", name: "" }, true);
    connection.execute(null, true);
  }

  #expectNext(): void {
    const { name, mostBytes } = this.#statements[this.#completed.length] ?? {};
    this.#rows = [];
    this.#sizes = mostBytes === undefined ? undefined : [];
    this.#bytes = 0;
    this.#isCut = false;
    this.#makeRow = name === undefined ? undefined : this.#prepared.get(name)?.makeRow;
  }

  handleRowDescription({ fields }: { fields: Field[] }): void {
    this.#makeRow = rowMakerOf(this.#types, fields);
  }

  handleDataRow({ fields, length }: { fields: (string | null)[]; length: number }): void {
    if (!this.#makeRow || (this.#sizes && !this.#fits(fields, length))) return;
    try {
      this.#rows.push(this.#makeRow(fields));
    } catch (error) {
      this.#reject(error as Error); // thrown from here it would end the process
    }
  }

  /** Counts a row of a statement with `mostBytes`; false when it is to be dropped. */
  #fits(fields: (string | null)[], length: number): boolean {
    const { mostBytes = Infinity, beyond = "drop" } = this.#statements[this.#completed.length] as Statement;
    const isLean = beyond === "lean";
    if (this.#bytes + length > mostBytes && (isLean || this.#rows.length > 0)) {
      this.#isCut = true;
      if (!isLean) {
        this.#bytes = Infinity; // nor any that follows: what is kept has no holes
        return false;
      }
      fields[fields.length - 1] = null;
    } else this.#bytes += length;
    this.#sizes?.push(length);
    return true;
  }

  handleCommandComplete({ text }: { text: string }): void {
    const name = this.#statements[this.#completed.length]?.name;
    const prepared = name === undefined ? undefined : this.#prepared.get(name);
    if (prepared) prepared.makeRow ??= this.#makeRow ?? null;
    const [command = "", ...counts] = text.split(" ");
    const rowCount = counts.length > 0 ? Number(counts.at(-1)) : null;
    const bounds = this.#sizes && { sizes: this.#sizes, isCut: this.#isCut };
    this.#completed.push({ rows: this.#rows, rowCount, command, ...bounds });
    this.#expectNext();
  }

  handleError(error: Error): void {
    for (const name of this.#newNames) this.#prepared.delete(name);
    // it would fail for as long as the connection lives; which one it was, the error does not say
    if (isStatementOutdated(error)) this.#prepared.clear();
    this.#reject(error);
  }

  handleReadyForQuery(): void {
    this.#resolve(this.#completed as BoundedResult[]); // of no effect after an error
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

/**
 * What makes rows of these columns, the same for every connection: rows of one statement that were made by several
 * would be of several hidden classes, and whatever reads them slow.
 */
function rowMakerOf(types: CustomTypesConfig, fields: readonly Field[]): RowMaker {
  let makers = makersOf.get(types);
  if (!makers) makersOf.set(types, (makers = new LRUCache({ max: 1000 })));
  const columns = fields.map(({ name, dataTypeID }) => `${dataTypeID} ${name}`).join();
  let make = makers.get(columns);
  if (!make) {
    make = rowMaker(
      fields.map(({ name }) => name),
      fields.map(({ dataTypeID }) => types.getTypeParser(dataTypeID, "text") as Parser),
    );
    makers.set(columns, make);
  }
  return make;
}
const makersOf = new WeakMap<CustomTypesConfig, LRUCache<string, NonNullable<RowMaker>>>();

/**
 * Written out as an object literal for its columns, a row is made in a fifth of the time that setting each of them by
 * name takes; that time was an eighth of a list's.
 */
function rowMaker(names: readonly string[], parsers: readonly Parser[]): NonNullable<RowMaker> {
  const columns = names.map(
    (name, index) => `${JSON.stringify(name)}: f[${index}] === null ? null : p${index}(f[${index}])`,
  );
  const given = parsers.map((_, index) => `p${index}`);
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- of numbers, and names of columns as JSON
  const make = new Function(...given, `return (f) => ({ ${columns.join(", ")} })`);
  return (make as (...parsers: readonly Parser[]) => NonNullable<RowMaker>)(...parsers);
}
