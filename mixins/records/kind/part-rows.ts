import type { Statement } from "../../database/statement.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import { operandText } from "../conditions/operands.ts";
import type { QueryField } from "../conditions/fields.ts";
import type { Values } from "../conditions/values.ts";
import { columnOf } from "../finding/listing.ts";
import { toMinorUnits } from "./fields.ts";
import { partsOf, type HavingParts, type Part, type PartsSpec } from "./parts.ts";

/**
 * The table of a list of parts: a row a part that its record stores, of records that are not deleted. It is written with the
 * record, and is what parts are found by and told apart from those of others: `(organization_id, record_id, <fields of the part>,
 * is_exclusive)`, with a unique index `<table>_exclusive` over the key of those that are.
 */
export class PartRows {
  readonly #key: string;
  readonly #spec: PartsSpec;

  constructor(key: string, spec: PartsSpec) {
    this.#key = key;
    this.#spec = spec;
  }

  /** The constraint by which a part belongs to one record. */
  get constraint(): string {
    return `${this.#spec.table}_exclusive`;
  }

  /** The rows of a record. */
  of(row: Row): PartRow[] {
    if (row.deleted_at !== null) return [];
    return (row[columnOf(this.#key)] as Part[]).map((part) => ({
      ...Object.fromEntries(Object.entries(part).flatMap(([name, value]) => this.#stored(name, value))),
      organization_id: row.organization_id,
      record_id: row.id,
      is_exclusive: this.#spec.isExclusive?.(part) ?? false,
    }));
  }

  /** Money takes two columns, as in the records themselves. */
  #stored(name: string, value: unknown): [column: string, value: unknown][] {
    const column = columnOf(name);
    if (this.#spec.of[name]?.stored !== "money") return [[column, value]];
    const price = value as { amount: string; currency: string } | null;
    return [
      [column, price && toMinorUnits(price)],
      [`${column}_currency`, price?.currency ?? null],
    ];
  }

  /** Inserts rows that come as a JSON array; those that a record has already, stay. */
  get insert(): { name: string; text: string } {
    const own = ["organization_id", "record_id", ...this.#spec.key.map(columnOf)].join(", ");
    return {
      name: `insert_${this.#spec.table}`,
      text: `${this.#insert} ON CONFLICT (${own}) DO NOTHING`,
    };
  }

  /** Inserts those of such rows that are free, and answers whose they are. */
  get insertFree(): string {
    return `${this.#insert} ON CONFLICT DO NOTHING RETURNING record_id`;
  }

  remove(ids: readonly string[]): Statement {
    const { table } = this.#spec;
    return {
      name: `delete_${table}`,
      text: `DELETE FROM ${table} WHERE record_id = ANY ($1)`,
      values: [ids],
    };
  }

  get #insert(): string {
    const { table, of, flag } = this.#spec;
    const own = Object.entries(of).flatMap(([name, { stored }]) => {
      if (name === flag) return [];
      return stored === "money" ? [columnOf(name), `${columnOf(name)}_currency`] : [columnOf(name)];
    });
    const columns = ["organization_id", "record_id", "is_exclusive", ...own].join(", ");
    return `INSERT INTO ${table} (${columns}) SELECT ${columns} FROM json_populate_recordset(NULL::${table}, $1)`;
  }

  /** Records that come after another of these with a part that only one may have. */
  repeated(rows: readonly PartRow[]): ReadonlySet<string> {
    const first = new Map<string, string>();
    const later = new Set<string>();
    for (const row of rows) {
      if (!row.is_exclusive) continue;
      const name = JSON.stringify(this.#spec.key.map((key) => row[columnOf(key)]));
      const holder = first.get(name);
      if (holder === undefined) first.set(name, row.record_id);
      else if (holder !== row.record_id) later.add(row.record_id);
    }
    return later;
  }

  /** Who has parts now that rows would have alone, by the record that would. */
  async holders(
    tx: Pick<UnitOfWork, "query">,
    rows: readonly PartRow[],
  ): Promise<ReadonlyMap<string, Holder>> {
    const exclusive = rows.filter(({ is_exclusive: is }) => is);
    if (exclusive.length === 0) return new Map();
    const { table, key } = this.#spec;
    const columns = key.map(columnOf);
    const found = await tx.query<PartRow & { holder_id: string }>({
      text: `SELECT sought.record_id, held.record_id AS holder_id, ${columns.map((one) => `held.${one}`).join(", ")}
        FROM json_populate_recordset(NULL::${table}, $1) AS sought
        JOIN ${table} held ON held.is_exclusive AND ${columns.map((one) => `held.${one} = sought.${one}`).join(" AND ")}
        WHERE held.record_id <> sought.record_id`,
      values: [JSON.stringify(exclusive)],
    });
    return new Map(
      found.map(({ record_id: id, holder_id: holderId, ...values }) => [
        id,
        { holderId, part: columns.map((one) => String(values[one])) },
      ]),
    );
  }
}

type Row = Readonly<Record<string, unknown>> & { id: string; organization_id: string; deleted_at: unknown };
export interface PartRow extends Record<string, unknown> {
  organization_id: string;
  record_id: string;
  is_exclusive: boolean;
}
/** A record that has a part which another would have. */
export interface Holder {
  holderId: string;
  /** The values of its key: `["wa_id", "919876543210"]`. */
  part: string[];
}

/** The lists of parts that a kind has, each with the rows of its table. */
export const partRowsOf = (fields: HavingParts): PartRows[] =>
  partsOf(fields).map(([key, spec]) => new PartRows(key, spec));

/** Filter fields such as `identities.value`. Each matches a row of the parts table, or the column that holds the primary part. */
export function partFilters({
  plural,
  fields,
}: {
  plural: string;
  fields: HavingParts;
}): Record<string, QueryField> {
  const paths = partsOf(fields).flatMap(([key, spec]) =>
    Object.entries(spec.filters).map(([name, formsOf]): [string, QueryField] => {
      const type = spec.of[name]?.stored === "uuid" ? "uuid" : "text";
      const own = spec.primaries.filter(({ value }) => value === name).map(({ field }) => columnOf(field));
      return [
        `${key}.${name}`,
        {
          ...{ type, operators: ["eq", "ne", "in", "nin", "isnull"] },
          sqlOfTest({ op, operands, isNull }, values) {
            if (op === "isnull") return `${anyPart(spec, plural, own)}${isNull ? " IS NOT TRUE" : ""}`;
            const forms = [...new Set(operands.flatMap((one) => formsOf(operandText(one))))];
            const has = hasPart(spec, columnOf(name), own, { plural, type, forms }, values);
            return op === "ne" || op === "nin" ? `(${has}) IS NOT TRUE` : has;
          },
        },
      ];
    }),
  );
  return Object.fromEntries(paths);
}

const anyPart = ({ table }: PartsSpec, plural: string, own: readonly string[]): string =>
  `(${[...own.map((column) => `${plural}.${column} IS NOT NULL`), `EXISTS (SELECT FROM ${table} p WHERE p.record_id = ${plural}.id)`].join(" OR ")})`;

/** One index scan a column. */
function hasPart(
  { table }: PartsSpec,
  column: string,
  own: readonly string[],
  { plural, type, forms }: { plural: string; type: "uuid" | "text"; forms: readonly string[] },
  values: Values,
): string {
  const wanted = `ANY (${values.add(forms)}::${type}[])`;
  const ids = [
    `SELECT record_id FROM ${table} WHERE ${column} = ${wanted}`,
    ...own.map((one) => `SELECT id FROM ${plural} WHERE ${one} = ${wanted} AND deleted_at IS NULL`),
  ];
  return `id IN (${ids.join(" UNION ALL ")})`;
}
