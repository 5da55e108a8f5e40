import { v7 as uuidv7 } from "uuid";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { limits, requireRoomFor } from "../../mixins/organizations/limits.ts";
import type { AnyKind } from "../../mixins/records/kind/kind.ts";
import type { CustomType } from "../../mixins/values/custom-value.ts";
import type { FieldTypes } from "./rows.rules.ts";

/** Types of the custom fields of a kind. */
export async function findFieldTypes(tx: UnitOfWork, { name }: Pick<AnyKind, "name">): Promise<FieldTypes> {
  const rows = await tx.query<{ key: string; type: CustomType }>({
    text: "SELECT key, type FROM custom_fields WHERE entity = $1 AND deleted_at IS NULL",
    values: [name],
  });
  return new Map(rows.map(({ key, type }) => [key, type]));
}

/**
 * Defines custom fields of a kind for an import, which remembers them; one that is defined meanwhile stands as it is. Beyond as
 * many as an organization may have none is defined: records keep such values as text.
 */
export async function defineFields(
  tx: UnitOfWork,
  importId: string,
  kind: Pick<AnyKind, "name">,
  fields: readonly { key: string; type: CustomType; label: string }[],
): Promise<FieldTypes> {
  // in one order, so that two imports that define the same fields cannot wait for each other
  const sorted = fields.toSorted((a, b) => (a.key < b.key ? -1 : 1));
  // of two imports that define fields at once the second counts what the first has made
  await requireRoomFor(tx, "customFields", { adding: 0 });
  await tx.execute({
    text: `WITH made AS (
      INSERT INTO custom_fields (id, organization_id, entity, key, type, label, created_at, updated_at)
      SELECT id, $1, $7, key, type, label, $2, $2
      FROM (
        SELECT n.*, o.key IS NOT NULL AS is_known, row_number() OVER (PARTITION BY o.key IS NOT NULL ORDER BY n.key) AS place
        FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[]) AS n (id, key, type, label)
        LEFT JOIN custom_fields o ON o.entity = $7 AND o.key = n.key
      ) AS new WHERE is_known OR place <= ${limits.customFields.most} - (SELECT count(*) FROM custom_fields)
      ORDER BY key
      ON CONFLICT (organization_id, entity, key) DO NOTHING
      RETURNING id
    ) UPDATE imports SET defined_fields = defined_fields || ARRAY(SELECT id FROM made) WHERE id = $8`,
    values: [
      tx.organizationId,
      tx.now,
      sorted.map(() => uuidv7()),
      sorted.map(({ key }) => key),
      sorted.map(({ type }) => type),
      sorted.map(({ label }) => label),
      kind.name,
      importId,
    ],
  });
  return findFieldTypes(tx, kind);
}

/**
 * Takes back the custom fields that an import has defined, of which nobody has changed anything since, which no record has and no saved view asks for.
 * Answers whether there were any.
 */
export async function undefineFields(
  tx: UnitOfWork,
  importId: string,
  { name, plural }: Pick<AnyKind, "name" | "plural">,
): Promise<boolean> {
  const gone = await tx.execute({
    text: `DELETE FROM custom_fields f
      WHERE f.id = ANY (SELECT unnest(defined_fields) FROM imports WHERE id = $1) AND f.entity = $2 AND f.version = 1
        AND NOT EXISTS (SELECT FROM ${plural} r WHERE r.deleted_at IS NULL AND r.custom_fields ? f.key)
        AND NOT EXISTS (SELECT FROM saved_views v WHERE v.kind = $2
          AND ('customFields.' || f.key = ANY (v.columns) OR ltrim(v.sort, '-') = 'customFields.' || f.key
            OR jsonb_path_exists(v.condition, '$.**.field ? (@ == $path)', jsonb_build_object('path', 'customFields.' || f.key))))`,
    values: [importId, name],
  });
  return gone > 0;
}
