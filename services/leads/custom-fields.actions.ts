import { v7 as uuidv7 } from "uuid";
import { readPage } from "../../mixins/records/page.ts";
import { mostCustomFields, requireRoom } from "../../mixins/records/record-limits.ts";
import { record, type Ctx, type Result } from "../contracts.ts";
import { customFieldListing, type CustomFieldView } from "./custom-fields.contract.ts";
import type { Desk } from "./desk.ts";
import { customFieldInUse, customFieldNotFound, customFieldTaken } from "./leads.errors.ts";
import { announceSettings } from "./settings.ts";

interface CustomFieldRow {
  id: string;
  entity?: "lead";
  key?: string;
  label?: string;
  type?: CustomFieldView["type"];
  is_sensitive?: boolean;
  is_unique?: boolean;
  created_at?: string;
  updated_at?: string;
  version?: number;
}
const view = (row: CustomFieldRow): Partial<CustomFieldView> & { id: string } => ({
  id: row.id,
  entity: row.entity,
  key: row.key,
  label: row.label,
  type: row.type,
  isSensitive: row.is_sensitive,
  isUnique: row.is_unique,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  version: row.version,
});

/** Every process keeps the sensitive ones at hand, and a list shows all their values. */
const mostSensitiveFields = 20;

/** A page of the definitions. */
export async function listCustomFields(
  ctx: Ctx<"leads.listCustomFields">,
): Promise<Result<"leads.listCustomFields">> {
  return readPage(ctx.locals.tx, customFieldListing, ctx.params, view);
}

/**
 * Defines a custom field. One whose values stand unsealed in leads cannot become sensitive: events have told them.
 * @throws 409 CUSTOM_FIELD_TAKEN, CUSTOM_FIELD_IN_USE, LIMIT_REACHED
 */
export async function createCustomField(
  ctx: Ctx<"leads.createCustomField">,
  desk: Desk,
): Promise<CustomFieldView> {
  const { actor, tx } = ctx.locals;
  const { entity, key, type, label = key, isSensitive, isUnique } = ctx.params;
  if (isSensitive) await desk.keys.of(actor.organizationId);
  await requireRoom(tx, "custom_fields", { most: mostCustomFields, noun: "custom fields" });
  if (isSensitive)
    await requireRoom(tx, "custom_fields", {
      ...{ most: mostSensitiveFields, noun: "sensitive custom fields" },
      where: "is_sensitive",
    });
  const now = tx.now.toISOString();
  const field = { id: uuidv7(), entity, key, label, type, isSensitive, isUnique };
  tx.onViolation("custom_fields_organization_id_entity_key_key", customFieldTaken);
  await tx.execute({
    text: `INSERT INTO custom_fields
        (organization_id, id, entity, key, label, type, is_sensitive, is_unique, created_at, updated_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)`,
    values: [tx.organizationId, ...Object.values(field), now],
  });
  if (isSensitive) {
    const users = await tx.query({
      text: "SELECT FROM leads WHERE custom_fields ? $1 LIMIT 1",
      values: [key],
    });
    if (users.length > 0) throw customFieldInUse();
  }
  announce(ctx, "custom_field.created", { id: field.id, key, isSensitive });
  return { ...field, createdAt: now, updatedAt: now, version: 1 };
}

/** Forgets a definition, and what leads have in a sensitive field. */
export async function removeCustomField(ctx: Ctx<"leads.removeCustomField">): Promise<null> {
  const { tx } = ctx.locals;
  const [removed] = await tx.query<{ id: string; key: string; isSensitive: boolean }>({
    text: `DELETE FROM custom_fields WHERE id = $1 RETURNING id, key, is_sensitive AS "isSensitive"`,
    values: [ctx.params.id],
  });
  if (!removed) throw customFieldNotFound();
  if (removed.isSensitive)
    tx.defer({ text: "DELETE FROM lead_sensitive_fields WHERE key = $1", values: [removed.key] });
  announce(ctx, "custom_field.deleted", removed);
  return null;
}

function announce(
  ctx: Pick<Ctx<"leads.get">, "broker" | "locals">,
  type: "custom_field.created" | "custom_field.deleted",
  { id, key, isSensitive }: { id: string; key: string; isSensitive: boolean },
): void {
  record(ctx.locals.tx, {
    type,
    entity: { kind: "custom_field", id, version: 1 },
    actorId: ctx.locals.actor.userId,
    audience: null,
    data: { key, isSensitive },
  });
  announceSettings(ctx);
}
