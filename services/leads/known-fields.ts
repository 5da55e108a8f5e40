import { badQuery } from "../../mixins/contract/errors.ts";
import { short } from "../../mixins/contract/field-errors.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { ListParams } from "../../mixins/records/listing.ts";
import type { LeadSettings } from "./settings.ts";

const prefix = "customFields.";

/**
 * Refuses a filter by custom fields that are not defined and that no lead has: a slip of the pen must not answer an
 * empty list. Only keys that are not defined are looked for among the leads.
 * @throws 400 INVALID_FILTER
 */
export async function requireKnownFields(
  tx: Pick<UnitOfWork, "query">,
  { defined }: Pick<LeadSettings, "defined">,
  { filter = {} }: Pick<ListParams, "filter">,
): Promise<void> {
  const unsure = Object.keys(filter).flatMap((field) =>
    field.startsWith(prefix) && !defined.has(field.slice(prefix.length)) ? [field.slice(prefix.length)] : [],
  );
  if (unsure.length === 0) return;
  const rows = await tx.query<{ key: string }>({
    name: "known_custom_fields",
    text: `SELECT key FROM unnest($1::text[]) AS asked (key)
      WHERE EXISTS (SELECT FROM leads WHERE custom_fields ? asked.key)`,
    values: [unsure],
  });
  const known = new Set(rows.map(({ key }) => key));
  const errors = unsure
    .filter((key) => !known.has(key))
    .map((key) => ({
      path: `filter.${prefix}${key}`,
      code: "unknown_filter",
      message: `There is no custom field ${key}.`,
      ...short([...defined.keys()].map((one) => prefix + one)),
    }));
  if (errors.length > 0) throw badQuery(errors);
}
