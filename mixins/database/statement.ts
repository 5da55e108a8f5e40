/** One SQL statement. `name` makes it a prepared statement of its connection: only for texts that repeat. */
export interface Statement {
  name?: string;
  text: string;
  values?: readonly unknown[];
  /**
   * Bytes of its rows, as PostgreSQL sends them, that are kept; default all. Of what goes beyond, nothing stays in memory. The first
   * row is kept in any case where the others are dropped.
   */
  mostBytes?: number;
  /** With `mostBytes`: the rows beyond it are dropped (the default), or kept without their last column, which is null then. */
  beyond?: "drop" | "lean";
}

/** The rows of a statement with `mostBytes`. */
export interface BoundedRows<T> {
  rows: T[];
  /** Bytes of each row. */
  sizes: number[];
  /** Whether there were more than `mostBytes`. */
  isCut: boolean;
}

/** What a page of a list, a feed or a batch may hold, in bytes of its rows: some MB of memory once it is answered. */
export const pageBytes = 2 * 1024 * 1024;

/** An insert whose rows come as a JSON array in $1, and whose text fits any number of them. */
export interface RowsStatement {
  name: string;
  text: string;
  /**
   * Each as JSON text: objects kept until a commit grow old, and V8 would then make every object of their kind old
   * from birth, those of the next lists too (measured: a fifth of a GET's time).
   */
  rows: readonly string[];
}

export const withRows = ({ name, text, rows }: RowsStatement): Statement => ({
  name,
  text,
  values: [`[${rows.join(",")}]`],
});

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
export const isUuid = (text: string): boolean => uuidPattern.test(text);

/**
 * PostgreSQL's text of a timestamptz(3) as ISO 8601 with milliseconds, without a Date on the way:
 * parsing Dates costs a third of a list's time.
 */
export function isoTimestamp(text: string): string {
  if (!text.endsWith("+00") || text.length > 26) return new Date(text).toISOString();
  const fraction = text.length > 22 ? text.slice(20, -3).padEnd(3, "0") : "000";
  return `${text.slice(0, 10)}T${text.slice(11, 19)}.${fraction}Z`;
}

/** The value of a jsonb; most are empty, which costs no parser. */
export const jsonValue = (text: string): unknown =>
  text === "{}" ? {} : text === "[]" ? [] : (JSON.parse(text) as unknown);

/**
 * PostgreSQL's text of a text[] as a list. The common case, no element quoted and none NULL, is a split; `parse`
 * does the rest.
 */
export function textArray(text: string, parse: (text: string) => unknown): unknown {
  if (text === "{}") return [];
  return /["\\]|NULL/.test(text) ? parse(text) : text.slice(1, -1).split(",");
}
