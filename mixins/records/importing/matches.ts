import { pageBytes, type BoundedRows } from "../../database/statement.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import type { AnyKind, AnyRow } from "../kind/kind.ts";
import { columnOf } from "../finding/listing.ts";
import { importKeysOf, type SoughtKeys } from "./keys.ts";

/** What records that are worked on together may take in memory. */
export const batchBytes = 2 * pageBytes;

/** How many records with the same email or phone are examined to find one whose stronger keys do not differ. */
const candidates = 50;

/** Looks for stored records that rows of a file may be of. */
export type FindMatches<R> = (
  tx: UnitOfWork,
  keys: SoughtKeys,
  how: {
    /** `change` holds them until the end, `reference` keeps them from being deleted. */
    lock?: "change" | "reference" | undefined;
    /** Whether all of them are needed, however large. */
    isWhole: boolean;
  },
) => Promise<BoundedRows<R & Record<string, unknown>>>;

const locks = { change: "FOR NO KEY UPDATE", reference: "FOR KEY SHARE" };

/**
 * The statement of a kind, made once: the first record by id with each value of the strongest key, and with each of a weaker one
 * unless a stronger key of it differs. One index scan a value, and one record of what may be a hundred thousand with one email.
 */
export function matchesOf<R extends AnyRow>(kind: AnyKind): FindMatches<R> {
  const keys = importKeysOf(kind);
  const { plural: table } = kind;
  let place = 0;
  const finds = keys.map((key, rank) => {
    const stronger = keys.slice(0, rank).map(columnOf);
    const names = [columnOf(key), ...stronger];
    const arrays = names.map(() => `$${++place}::text[]`).join(", ");
    const found = `SELECT ${["id", ...stronger].join(", ")} FROM ${table}
            WHERE ${isKey(kind, key)} AND deleted_at IS NULL ORDER BY id LIMIT ${rank === 0 ? 1 : candidates}`;
    const agreeing = stronger
      .map((column) => `coalesce(found.${column} = key.${column}, true)`)
      .join(" AND ");
    return `SELECT first.id FROM unnest(${arrays}) AS key (${names.join(", ")}) CROSS JOIN LATERAL (
          ${rank === 0 ? found : `SELECT id FROM (${found}) AS found WHERE ${agreeing} ORDER BY id LIMIT 1`}) first`;
  });
  // an array, which is an index condition; joined, they seem to be many, and all rows of the organization would be read for each batch
  const text = `SELECT ${kind.columns.join(", ")} FROM ${table} WHERE id = ANY (ARRAY(
        ${finds.join("\n        UNION\n        ")}
      )) ORDER BY id`;
  return (tx, sought, { lock, isWhole }) =>
    tx.queryWithin<R & Record<string, unknown>>({
      text: lock === undefined ? text : `${text} ${locks[lock]}`,
      values: keys.flatMap((key, rank) => {
        const wanted = sought.get(key) ?? [];
        return [
          wanted.map(({ value }) => value),
          ...Array.from({ length: rank }, (_, other) => wanted.map(({ stronger }) => stronger[other])),
        ];
      }),
      mostBytes: isWhole ? Infinity : batchBytes,
    });
}

/** A sortable field is indexed only under its ICU collation (unless it also `matches`), so equality must use that collation to hit the index. */
function isKey({ fields, plural }: AnyKind, key: string): string {
  const own = `${plural}.${columnOf(key)}`;
  const { isSortable, matches } = fields[key] ?? {};
  return `${own}${isSortable && !matches ? ' COLLATE "und-x-icu"' : ""} = key.${columnOf(key)}`;
}
