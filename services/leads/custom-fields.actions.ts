import { v7 as uuidv7 } from "uuid";
import { requireRoomFor } from "../../mixins/organizations/limits.ts";
import { versionMismatch } from "../../mixins/contract/errors.ts";
import { readPage } from "../../mixins/records/page.ts";
import { record, type Ctx, type Result } from "../contracts.ts";
import { customFieldListing, type CustomFieldView } from "./custom-fields.contract.ts";
import type { Desk } from "./desk.ts";
import { customFieldInUse, customFieldNotFound, customFieldTaken } from "./leads.errors.ts";
import { announceSettings } from "./settings.ts";

interface CustomFieldRow {
  id: string;
  kind?: "lead";
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
  kind: row.kind,
  key: row.key,
  label: row.label,
  type: row.type,
  isSensitive: row.is_sensitive,
  isUnique: row.is_unique,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  version: row.version,
});

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
  const { principal, tx } = ctx.locals;
  const { kind, key, type, label = key, isSensitive, isUnique } = ctx.params;
  if (isSensitive) await desk.keys.of(principal.organizationId);
  await requireRoomFor(tx, "customFields");
  if (isSensitive) await requireRoomFor(tx, "sensitiveFields");
  const now = tx.now.toISOString();
  const field = { id: uuidv7(), kind, key, label, type, isSensitive, isUnique };
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

/** One definition. @throws 404 */
export async function getCustomField(ctx: Ctx<"leads.getCustomField">): Promise<CustomFieldView> {
  const [row] = await ctx.locals.tx.query<CustomFieldRow & Record<string, unknown>>({
    name: "get_custom_field",
    text: `SELECT *, entity AS kind FROM custom_fields WHERE id = $1`,
    values: [ctx.params.id],
  });
  if (!row) throw customFieldNotFound();
  return view(row) as CustomFieldView;
}

/** Forgets a definition, and what leads have in a sensitive field. @throws 404, 412 */
export async function removeCustomField(ctx: Ctx<"leads.removeCustomField">): Promise<null> {
  const { tx } = ctx.locals;
  const { id, expectedVersion } = ctx.params;
  const [removed] = await tx.query<{ id: string; key: string; isSensitive: boolean; version: number }>({
    text: `DELETE FROM custom_fields WHERE id = $1 RETURNING id, key, is_sensitive AS "isSensitive", version`,
    values: [id],
  });
  if (!removed) throw customFieldNotFound();
  if (expectedVersion !== undefined && expectedVersion !== removed.version)
    throw versionMismatch(removed.version);
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
    actorId: ctx.locals.principal.userId,
    audience: null,
    data: { key, isSensitive },
  });
  announceSettings(ctx);
}
