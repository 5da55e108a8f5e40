import { v7 as uuidv7 } from "uuid";
import { versionMismatch } from "../../mixins/contract/errors.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { OrganizationKeys } from "../../mixins/encryption/organization-keys.ts";
import { requireRoomFor } from "../../mixins/organizations/limits.ts";
import { definitionsChanged } from "../../mixins/records/custom/definitions.ts";
import type { CustomKind } from "../../mixins/records/kind/kind.ts";
import { requireVersion } from "../../mixins/records/writing/input.ts";
import { readPage } from "../../mixins/records/finding/page.ts";
import type { CustomType, CustomValue } from "../../mixins/values/custom-value.ts";
import { enqueue, record, type Ctx, type JobCtx, type Result } from "../contracts.ts";
import { customFieldListing, type CustomFieldView } from "./custom-fields.contract.ts";
import {
  customFieldDeleted,
  customFieldInUse,
  customFieldNotFound,
  customFieldTaken,
  fieldInUse,
  immutable,
  inUse,
  optionsInUse,
  valuesDoNotFit,
} from "./custom-fields.errors.ts";
import { view, whole, type Row } from "./custom-fields.view.ts";
import { fitting, labelled } from "./custom-fields.rules.ts";
import { letGo, requireRoomInIndex, takeUp } from "./indexed-fields.ts";
import {
  countOptions,
  countUses,
  countViews,
  makeShared,
  makeUnique,
  removeValues,
  unfitValues,
} from "./stored-values.ts";

/** What the actions share within a process. */
export interface Desk {
  keys: OrganizationKeys;
  kinds: ReadonlyMap<string, CustomKind>;
}

const restorableDays = 30;
const dayMs = 24 * 60 * 60_000;

const select = `SELECT *, entity AS kind, refers_to AS "references", default_value AS "default" FROM custom_fields`;

/** A page of the definitions. */
export async function list(ctx: Ctx<"custom-fields.list">): Promise<Result<"custom-fields.list">> {
  return readPage(ctx.locals.tx, customFieldListing, ctx.params, view);
}

/** One definition. @throws 404 */
export async function get(ctx: Ctx<"custom-fields.get">): Promise<CustomFieldView> {
  const [row] = await ctx.locals.tx.query<Row>({
    name: "get_custom_field",
    text: `${select} WHERE id = $1 AND deleted_at IS NULL`,
    values: [ctx.params.id],
  });
  if (!row) throw customFieldNotFound();
  return whole(row);
}

/** One that nobody else changes until the end of the transaction, deleted or not. @throws 404 */
async function lock(tx: UnitOfWork, id: string, isDeleted: boolean): Promise<Row> {
  // whoever writes by it is waited for, before what records hold is looked at
  await tx.query({
    text: "SELECT change_custom_fields(entity) FROM custom_fields WHERE id = $1",
    values: [id],
  });
  const [row] = await tx.query<Row>({ text: `${select} WHERE id = $1 FOR UPDATE`, values: [id] });
  if (!row || (row.deleted_at !== null) !== isDeleted) throw customFieldNotFound();
  return row;
}

/**
 * Defines a custom field. One whose values stand unsealed in records cannot become sensitive: events have told them.
 * @throws 409 CUSTOM_FIELD_TAKEN, CUSTOM_FIELD_IN_USE, VALUES_REPEAT, LIMIT_REACHED; 422 for what does not go together
 */
export async function create(ctx: Ctx<"custom-fields.create">, desk: Desk): Promise<CustomFieldView> {
  const { principal, tx } = ctx.locals;
  const { kind, key, label = key } = ctx.params;
  const said = fitting({
    ...ctx.params,
    options: labelled(ctx.params.options ?? []),
    references: ctx.params.references ?? null,
    default: ctx.params.default ?? null,
  });
  const field = fieldOf(desk, { kind, key, is_sensitive: said.isSensitive });
  if (said.isSensitive) await desk.keys.of(principal.organizationId);
  await requireRoomFor(tx, "customFields");
  if (said.isIndexed) await requireRoomInIndex(tx, kind);
  if (said.isSensitive) await requireRoomFor(tx, "sensitiveFields");
  await tx.query({ text: "SELECT change_custom_fields($1)", values: [kind] });
  await makeWay(tx, field);
  const now = tx.now.toISOString();
  const row: Row = {
    ...{
      id: uuidv7(),
      kind,
      key,
      label,
      type: said.type,
      options: said.options,
      references: said.references,
    },
    ...{ is_required: said.isRequired, is_unique: said.isUnique, is_sensitive: said.isSensitive },
    ...{ is_indexed: said.isIndexed, indexed_at: null, default: said.default },
    ...{ created_at: now, updated_at: now, deleted_at: null, version: 1 },
  };
  tx.onViolation("custom_fields_organization_id_entity_key_key", customFieldTaken);
  await tx.execute({
    text: `INSERT INTO custom_fields (organization_id, id, entity, key, label, type, options, refers_to, is_required, is_unique,
        is_sensitive, is_indexed, default_value, created_at, updated_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)`,
    values: [
      ...[tx.organizationId, row.id, kind, key, label, row.type, JSON.stringify(row.options), row.references],
      ...[row.is_required, row.is_unique, row.is_sensitive, row.is_indexed, jsonOf(row.default), now],
    ],
  });
  if (said.isSensitive) {
    const users = await tx.query({
      text: `SELECT FROM ${field.kind.plural} WHERE custom_fields ? $1 LIMIT 1`,
      values: [key],
    });
    if (users.length > 0) throw customFieldInUse();
  } else if (said.isUnique) await makeUnique(tx, field);
  if (said.isIndexed) takeUp(tx, row.id);
  announce(ctx, "custom_field.created", row);
  return whole(row);
}

/** A deleted field of which nothing is left gives its key up. @throws 409 CUSTOM_FIELD_TAKEN for one that may be restored */
async function makeWay(tx: UnitOfWork, field: ReturnType<typeof fieldOf>): Promise<void> {
  const [deleted] = await tx.query<Row>({
    text: `${select} WHERE entity = $1 AND key = $2 AND deleted_at IS NOT NULL FOR UPDATE`,
    values: [field.kind.name, field.key],
  });
  if (!deleted) return;
  if ((await countUses(tx, { ...field, isSensitive: deleted.is_sensitive })) > 0)
    throw customFieldDeleted(deleted.id);
  await tx.execute({ text: "DELETE FROM custom_fields WHERE id = $1", values: [deleted.id] });
}

/**
 * Changes a definition. Records that have no value of a field that becomes required stay as they are.
 * @throws 404, 412; 409 IN_USE for options that records have, VALUES_REPEAT, VALUES_DO_NOT_FIT; 422 for what cannot change
 */
export async function update(ctx: Ctx<"custom-fields.update">, desk: Desk): Promise<CustomFieldView> {
  const { tx, principal } = ctx.locals;
  const { id, expectedVersion, force, options, ...wanted } = ctx.params;
  const cipher = await desk.keys.of(principal.organizationId); // before the transaction
  const before = await lock(tx, id, false);
  requireVersion(before, expectedVersion);
  for (const [path, given, stands] of [
    ["key", wanted.key, before.key],
    ["kind", wanted.kind, before.kind],
    ["isSensitive", wanted.isSensitive, before.is_sensitive],
  ] as const)
    if (given !== undefined && given !== stands) throw immutable(path);
  const type = wanted.type ?? before.type;
  const said = fitting({
    type,
    options: options ? labelled(options) : type === before.type ? before.options : [],
    references: wanted.references ?? (type === "reference" ? before.references : null),
    isUnique: wanted.isUnique ?? before.is_unique,
    isSensitive: before.is_sensitive,
    isIndexed: wanted.isIndexed ?? before.is_indexed,
    default: wanted.default === undefined ? before.default : wanted.default,
  });
  const field = fieldOf(desk, before);
  if (type !== before.type) await requireFit(tx, field, said);
  else if (!force) {
    const left = new Set(said.options.map(({ value }) => value));
    const gone = before.options.map(({ value }) => value).filter((value) => !left.has(value));
    const uses = await countOptions(tx, field, gone, cipher);
    if (Object.keys(uses).length > 0) throw optionsInUse(uses);
  }
  if (said.references !== before.references && before.references !== null && said.references !== null) {
    const uses = await countUses(tx, field);
    if (uses > 0) throw inUse("this field", uses);
  }
  if (said.isUnique && !before.is_unique) await makeUnique(tx, field);
  if (!said.isUnique && before.is_unique) makeShared(tx, field);
  if (said.isIndexed && !before.is_indexed) await requireRoomInIndex(tx, before.kind);
  // as another type its values are indexed anew
  const indexedAt = type === before.type ? before.indexed_at : null;
  const row: Row = {
    ...before,
    ...{ label: wanted.label ?? before.label, type, options: said.options, references: said.references },
    ...{ is_required: wanted.isRequired ?? before.is_required, is_unique: said.isUnique },
    ...{ is_indexed: said.isIndexed, indexed_at: indexedAt, default: said.default },
    ...{ updated_at: tx.now.toISOString(), version: before.version + 1 },
  };
  tx.defer({
    text: `UPDATE custom_fields SET label = $2, type = $3, options = $4, refers_to = $5, is_required = $6, is_unique = $7,
        is_indexed = $8, default_value = $9, updated_at = $10, version = $11, indexed_at = $12 WHERE id = $1`,
    values: [
      ...[
        id,
        row.label,
        row.type,
        JSON.stringify(row.options),
        row.references,
        row.is_required,
        row.is_unique,
      ],
      ...[row.is_indexed, jsonOf(row.default), row.updated_at, row.version],
      row.indexed_at,
    ],
  });
  if (row.is_indexed && row.indexed_at === null) takeUp(tx, id);
  if (!row.is_indexed && before.is_indexed) letGo(tx, id);
  announce(ctx, "custom_field.updated", row);
  return whole(row);
}

/** @throws 409 where a value does not stand as the new type would have it; sealed ones are not opened for that */
async function requireFit(
  tx: UnitOfWork,
  field: ReturnType<typeof fieldOf>,
  { type, options }: { type: CustomType; options: readonly { value: string }[] },
): Promise<void> {
  if (field.isSensitive) {
    const uses = await countUses(tx, field);
    if (uses > 0) throw valuesDoNotFit(type, uses, ["sealed ones"]);
    return;
  }
  const isChosen = type === "select" || type === "multiSelect";
  const { unfit, examples } = await unfitValues(tx, field, isChosen ? { type, options } : { type });
  if (unfit > 0) throw valuesDoNotFit(type, unfit, examples);
}

/** Hides a field and what records have in it. @throws 404, 412; 409 IN_USE without `force` where some have, or views ask for it */
export async function remove(ctx: Ctx<"custom-fields.remove">, desk: Desk): Promise<null> {
  const { tx } = ctx.locals;
  const { id, expectedVersion, force } = ctx.params;
  const before = await lock(tx, id, false);
  if (expectedVersion !== undefined && expectedVersion !== before.version)
    throw versionMismatch(before.version);
  const field = fieldOf(desk, before);
  const [uses, views] = await Promise.all([countUses(tx, field), countViews(tx, field)]);
  if (uses + views > 0 && !force) throw fieldInUse(uses, views);
  if (before.is_unique) makeShared(tx, field);
  if (before.is_indexed) letGo(tx, id);
  const row = await setDeleted(tx, before, tx.now.toISOString());
  enqueue(
    tx,
    "custom-fields.purge",
    { fieldId: id },
    { key: `custom-fields.purge:${id}`, runAt: new Date(tx.now.getTime() + restorableDays * dayMs) },
  );
  announce(ctx, "custom_field.deleted", row);
  return null;
}

/** Shows a deleted field again, with what records have in it. @throws 404 where it is not deleted, or gone; 409 VALUES_REPEAT */
export async function restore(ctx: Ctx<"custom-fields.restore">, desk: Desk): Promise<CustomFieldView> {
  const { tx } = ctx.locals;
  const before = await lock(tx, ctx.params.id, true);
  if (isOver(tx, before)) throw customFieldNotFound();
  if (before.is_unique) await makeUnique(tx, fieldOf(desk, before));
  if (before.is_indexed) {
    await requireRoomInIndex(tx, before.kind);
    takeUp(tx, before.id);
  }
  const row = await setDeleted(tx, before, null);
  announce(ctx, "custom_field.restored", row);
  return whole(row);
}

async function setDeleted(tx: UnitOfWork, before: Row, deletedAt: string | null): Promise<Row> {
  const row = {
    ...before,
    ...{
      indexed_at: null,
      deleted_at: deletedAt,
      updated_at: tx.now.toISOString(),
      version: before.version + 1,
    },
  };
  await tx.execute({
    text: "UPDATE custom_fields SET deleted_at = $2, updated_at = $3, version = $4, indexed_at = NULL WHERE id = $1",
    values: [row.id, row.deleted_at, row.updated_at, row.version],
  });
  return row;
}

const isOver = (tx: UnitOfWork, { deleted_at: deletedAt }: Row) =>
  deletedAt !== null && new Date(deletedAt).getTime() <= tx.now.getTime() - restorableDays * dayMs;

/** Removes what nobody can bring back any more, some records at a time. One that was restored meanwhile stays. */
export async function purge(ctx: JobCtx<"custom-fields.purge">, desk: Desk): Promise<void> {
  const { tx } = ctx.locals;
  const { fieldId } = ctx.params;
  const [row] = await tx.query<Row>({ text: `${select} WHERE id = $1 FOR UPDATE`, values: [fieldId] });
  if (!row || !isOver(tx, row)) return;
  if (await removeValues(tx, fieldOf(desk, row)))
    enqueue(tx, "custom-fields.purge", { fieldId }, { key: `custom-fields.purge:${fieldId}` });
  else tx.defer({ text: "DELETE FROM custom_fields WHERE id = $1", values: [fieldId] });
}

function fieldOf(
  { kinds }: Desk,
  { kind, key, is_sensitive: isSensitive }: Pick<Row, "kind" | "key" | "is_sensitive">,
) {
  return { kind: kinds.get(kind) as CustomKind, key, isSensitive };
}

const jsonOf = (value: CustomValue | null) => (value === null ? null : JSON.stringify(value));

function announce(
  ctx: Pick<Ctx<"custom-fields.get">, "broker" | "locals">,
  type: `custom_field.${"created" | "updated" | "deleted" | "restored"}`,
  { id, kind, key, is_sensitive: isSensitive, version }: Row,
): void {
  const { tx, principal } = ctx.locals;
  const { organizationId, userId } = principal;
  record(tx, {
    type,
    entity: { kind: "custom_field", id, version },
    actorId: userId,
    audience: null,
    data: { kind, key, isSensitive },
  });
  tx.afterCommit(() => void ctx.broker.broadcast(definitionsChanged, { organizationId }));
}
