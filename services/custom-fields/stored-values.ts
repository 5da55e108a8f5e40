import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { OrganizationCipher } from "../../mixins/encryption/organization-cipher.ts";
import type { CustomKind } from "../../mixins/records/kind/kind.ts";
import { blindOf, markOf } from "../../mixins/records/custom/values-apart.ts";
import { readCustomValue, type CustomShape } from "../../mixins/values/custom-value.ts";
import { valuesRepeat } from "./custom-fields.errors.ts";

/** A field whose values are asked for. */
interface Field {
  kind: CustomKind;
  key: string;
  isSensitive: boolean;
}

const atOnce = 2_000;
const sealedOf = "kind = $1 AND key = $2 AND sealed IS NOT NULL";

/** How many records that are not deleted have a value. */
export async function countUses(tx: UnitOfWork, { kind, key, isSensitive }: Field): Promise<number> {
  const [row] = await tx.query<{ uses: number }>(
    isSensitive
      ? {
          text: `SELECT count(*)::int AS uses FROM custom_field_values WHERE ${sealedOf}`,
          values: [kind.name, key],
        }
      : {
          text: `SELECT count(*)::int AS uses FROM ${kind.plural} WHERE deleted_at IS NULL AND custom_fields ? $1`,
          values: [key],
        },
  );
  return row?.uses ?? 0;
}

/** How many saved views ask for a field, show it or sort by it. */
export async function countViews(tx: UnitOfWork, { kind, key }: Field): Promise<number> {
  const [row] = await tx.query<{ views: number }>({
    text: `SELECT count(*)::int AS views FROM saved_views WHERE kind = $1 AND ($2 = ANY (columns) OR ltrim(sort, '-') = $2
      OR jsonb_path_exists(condition, '$.**.field ? (@ == $path)', jsonb_build_object('path', $2::text)))`,
    values: [kind.name, `customFields.${key}`],
  });
  return row?.views ?? 0;
}

/** How many records have each of these options; only those that some have. */
export async function countOptions(
  tx: UnitOfWork,
  { kind, key, isSensitive }: Field,
  options: readonly string[],
  cipher: OrganizationCipher | undefined,
): Promise<Record<string, number>> {
  if (options.length === 0) return {};
  const rows =
    isSensitive && cipher
      ? await tx.query<{ value: string; uses: number }>({
          text: `SELECT o.value, count(*)::int AS uses FROM unnest($3::text[], $4::bytea[]) AS o (value, blind)
            JOIN custom_field_values v ON v.blind = o.blind WHERE ${sealedOf} GROUP BY o.value`,
          values: [kind.name, key, options, options.map((one) => blindOf(cipher, kind, key, one))],
        })
      : await tx.query<{ value: string; uses: number }>({
          text: `SELECT o.value, count(*)::int AS uses FROM ${kind.plural} r, unnest($2::text[]) AS o (value)
            WHERE r.deleted_at IS NULL AND r.custom_fields ? $1
              AND (r.custom_fields ->> $1 = o.value OR (jsonb_typeof(r.custom_fields -> $1) = 'array' AND r.custom_fields -> $1 ? o.value))
            GROUP BY o.value`,
          values: [key, options],
        });
  return Object.fromEntries(rows.map(({ value, uses }) => [value, uses]));
}

/** Pages of what records hold, deleted ones too. */
async function* valuesOf(
  tx: UnitOfWork,
  { kind, key }: Field,
): AsyncGenerator<{ id: string; value: unknown }[]> {
  let after: string | null = null;
  for (;;) {
    const rows: { id: string; value: { of: unknown } }[] = await tx.query({
      text: `SELECT id, jsonb_build_object('of', custom_fields -> $1) AS value FROM ${kind.plural}
        WHERE custom_fields ? $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT ${atOnce}`,
      values: [key, after],
    });
    if (rows.length > 0) yield rows.map(({ id, value }) => ({ id, value: value.of }));
    if (rows.length < atOnce) return;
    after = rows.at(-1)?.id ?? null;
  }
}

/** How many records have a value that does not stand so in a field of this shape, and the first three of them. */
export async function unfitValues(
  tx: UnitOfWork,
  field: Field,
  shape: CustomShape,
): Promise<{ unfit: number; examples: string[] }> {
  const examples: string[] = [];
  let unfit = 0;
  for await (const page of valuesOf(tx, field))
    for (const { id, value } of page) {
      const read = readCustomValue(shape, value);
      if ("value" in read && JSON.stringify(read.value) === JSON.stringify(value)) continue;
      unfit++;
      if (examples.length < 3) examples.push(id);
    }
  return { unfit, examples };
}

/** From now on no two records that are not deleted have the same value. @throws 409 VALUES_REPEAT when some have */
export async function makeUnique(tx: UnitOfWork, field: Field): Promise<void> {
  const { kind, key, isSensitive } = field;
  if (!isSensitive)
    for await (const page of valuesOf(tx, field))
      await tx.execute({
        text: `INSERT INTO custom_field_values (organization_id, kind, record_id, key, sealed, blind, is_unique)
          SELECT $1, $2, id, $3, NULL, mark, false FROM unnest($4::uuid[], $5::bytea[]) AS v (id, mark)
          ON CONFLICT (organization_id, record_id, key) DO UPDATE SET blind = excluded.blind`,
        values: [
          ...[tx.organizationId, kind.name, key],
          ...[page.map(({ id }) => id), page.map(({ value }) => markOf(value))],
        ],
      });
  const living = `FROM ${kind.plural} r WHERE r.id = v.record_id AND r.deleted_at IS NULL`;
  const [counted] = await tx.query<{ repeated: number }>({
    text: `SELECT count(*)::int AS repeated FROM (SELECT FROM custom_field_values v
      WHERE kind = $1 AND key = $2 AND EXISTS (SELECT ${living}) GROUP BY blind HAVING count(*) > 1) AS several`,
    values: [kind.name, key],
  });
  if (counted && counted.repeated > 0) throw valuesRepeat(counted.repeated);
  tx.onViolation("custom_field_values_unique", () => valuesRepeat(1));
  tx.defer({
    text: `UPDATE custom_field_values v SET is_unique = true ${living} AND v.kind = $1 AND v.key = $2`,
    values: [kind.name, key],
  });
}

/** The opposite of `makeUnique`. */
export function makeShared(tx: UnitOfWork, { kind, key }: Field): void {
  const values = [kind.name, key];
  tx.defer({
    text: "DELETE FROM custom_field_values WHERE kind = $1 AND key = $2 AND sealed IS NULL",
    values,
  });
  tx.defer({
    text: "UPDATE custom_field_values SET is_unique = false WHERE kind = $1 AND key = $2 AND is_unique",
    values,
  });
}

/** Removes values for good, of so many records; answers whether some are left. */
export async function removeValues(tx: UnitOfWork, { kind, key }: Field): Promise<boolean> {
  const removed = await tx.execute({
    text: `UPDATE ${kind.plural} SET custom_fields = custom_fields - $1
      WHERE id IN (SELECT id FROM ${kind.plural} WHERE custom_fields ? $1 ORDER BY id LIMIT ${atOnce} FOR NO KEY UPDATE)`,
    values: [key],
  });
  if (removed === atOnce) return true;
  tx.defer({
    text: "DELETE FROM custom_field_values WHERE kind = $1 AND key = $2",
    values: [kind.name, key],
  });
  return false;
}
