import { invalidField } from "../../contract/errors.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import type { AnyKind } from "../kind/kind.ts";
import { columnOf } from "../finding/listing.ts";

/** The fields by which records of a kind refer to others of it: what makes a hierarchy. */
export const parentFields = ({ name, fields }: Pick<AnyKind, "name" | "fields">): string[] =>
  Object.entries(fields).flatMap(([key, { refersTo }]) => (refersTo === name ? [key] : []));

/**
 * A record and all above it. The organization's other hierarchies of the kind wait until the end of the transaction: of two that
 * would each put one of a pair above the other, the second sees what the first has done.
 */
export async function ancestorsOf(
  tx: UnitOfWork,
  { name, plural }: Pick<AnyKind, "name" | "plural">,
  key: string,
  id: string,
): Promise<ReadonlySet<string>> {
  const parent = columnOf(key);
  const [, rows] = await Promise.all([
    tx.execute({
      text: "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
      values: [`${tx.organizationId} ${name}.${key}`],
    }),
    tx.query<{ id: string }>({
      text: `WITH RECURSIVE above AS (
          SELECT id, ${parent} FROM ${plural} WHERE id = $1
          UNION SELECT t.id, t.${parent} FROM ${plural} t JOIN above ON t.id = above.${parent}
        ) SELECT id FROM above`,
      values: [id],
    }),
  ]);
  return new Set(rows.map((row) => row.id));
}

/** @returns refuses an input by which a record would stand above itself, 422 */
export async function loopsOf(
  tx: UnitOfWork,
  kind: AnyKind,
  input: Readonly<Record<string, unknown>>,
): Promise<(id: string) => void> {
  const above = new Map<string, ReadonlySet<string>>();
  for (const key of parentFields(kind)) {
    const parent = input[key];
    if (typeof parent === "string") above.set(key, await ancestorsOf(tx, kind, key, parent));
  }
  return (id) => {
    for (const [key, ancestors] of above)
      if (ancestors.has(id)) throw invalidField(key, "loop", `would put the ${kind.name} above itself`);
  };
}
