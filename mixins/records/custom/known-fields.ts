import { badQuery } from "../../contract/errors.ts";
import { short } from "../../contract/field-errors.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import { eachField, type Asked } from "../finding/listing.ts";
import type { KindFields } from "./definitions.ts";

const prefix = "customFields.";

/**
 * Refuses a filter or a condition about custom fields that are not defined and that no record has, or that are deleted: a slip of the
 * pen must not answer an empty list. Only keys that are not defined are looked for among the records.
 * @throws 400 INVALID_FILTER
 */
export async function requireKnownFields(
  tx: Pick<UnitOfWork, "query">,
  table: string,
  { query: defined, hidden }: Pick<KindFields, "query" | "hidden">,
  asked: Pick<Asked, "filter" | "where">,
): Promise<void> {
  const unsure = new Set<string>();
  eachField(asked, (field) => {
    const key = field.startsWith(prefix) ? field.slice(prefix.length) : undefined;
    if (key !== undefined && !defined.has(key)) unsure.add(key);
  });
  if (unsure.size === 0) return;
  const sought = [...unsure].filter((key) => !hidden.has(key));
  const rows =
    sought.length === 0
      ? []
      : await tx.query<{ key: string }>({
          name: `known_custom_fields_of_${table}`,
          text: `SELECT key FROM unnest($1::text[]) AS asked (key)
            WHERE EXISTS (SELECT FROM ${table} WHERE custom_fields ? asked.key)`,
          values: [sought],
        });
  const known = new Set(rows.map(({ key }) => key));
  const errors = [...unsure]
    .filter((key) => !known.has(key))
    .map((key) => ({
      ...(`${prefix}${key}` in (asked.filter ?? {})
        ? { path: `filter.${prefix}${key}`, code: "unknown_filter" }
        : { path: "where", code: "unknown_field" }),
      message: `There is no custom field ${key}.`,
      ...short([...defined.keys()].map((one) => prefix + one)),
    }));
  if (errors.length > 0) throw badQuery(errors);
}
