import { isDeepStrictEqual } from "node:util";
import { can, requirePermission, systemRole, type Principal } from "../../mixins/access/principal.ts";
import { invalid } from "../../mixins/contract/errors.ts";
import { newId } from "../../mixins/database/new-id.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { requireRoomFor } from "../../mixins/organizations/limits.ts";
import { definedKinds, type DefinedKinds } from "../../mixins/records/custom/defined-kinds.ts";
import type { Definitions } from "../../mixins/records/custom/definitions.ts";
import { requireVersion } from "../../mixins/records/writing/input.ts";
import { kinds } from "../../mixins/records/kind/kinds.ts";
import type { Values } from "../../mixins/records/finding/listing.ts";
import { readPage } from "../../mixins/records/finding/page.ts";
import { requireBytes } from "../../mixins/records/kind/record-limits.ts";
import { problemsOfView, seesView, viewColumns, type SavedView } from "../../mixins/records/finding/views.ts";
import { record, type Ctx, type Result } from "../contracts.ts";
import type { ViewOfViews } from "./views.contract.ts";
import { viewListing } from "./views.contract.ts";
import { notYourView, viewNotFound } from "./views.errors.ts";

/** What a view may take as JSON: it is read with every list that is asked by it. */
const mostBytes = 32 * 1024;

const problemsOf = (defined: DefinedKinds, row: SavedView) => {
  const of = defined.get(row.kind);
  if (!of) return [{ path: "kind", code: "unknown_kind", message: `there is no kind ${row.kind} any more` }];
  return problemsOfView(of.kind, of.custom, row);
};

function shown(row: SavedView, defined: DefinedKinds): ViewOfViews {
  const problems = problemsOf(defined, row);
  return {
    id: row.id,
    kind: row.kind,
    name: row.name,
    where: row.condition,
    columns: row.columns,
    sort: row.sort,
    isShared: row.is_shared,
    ownerId: row.owner_id,
    isBroken: problems.length > 0,
    problems,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    version: row.version,
  };
}

const mayRead = (principal: Principal, kindName: string): boolean => {
  const kind = kinds.get(kindName);
  return kind !== undefined && can(principal, `${kind.plural}:read`);
};

/** A page of the views that the caller sees. */
export async function list(ctx: Ctx<"views.list">, definitions: Definitions): Promise<Result<"views.list">> {
  const { principal, tx } = ctx.locals;
  const defined = await definedKinds(tx.organizationId, definitions);
  const readable = [...kinds.keys()].filter((kind) => mayRead(principal, kind));
  const where = (values: Values) => [
    `(is_shared OR owner_id = ${values.add(principal.userId)}::uuid)`,
    `kind = ANY (${values.add(readable)}::text[])`,
  ];
  return readPage(tx, viewListing, ctx.params, (row: SavedView) => shown(row, defined), where);
}

/** One view. @throws 404 */
export async function get(ctx: Ctx<"views.get">, definitions: Definitions): Promise<ViewOfViews> {
  const { principal, tx } = ctx.locals;
  const defined = await definedKinds(tx.organizationId, definitions);
  return shown(await find(tx, principal, ctx.params.id), defined);
}

/** One that the principal sees. @param lock nobody else changes it until the end of the transaction @throws 404 */
async function find(tx: UnitOfWork, principal: Principal, id: string, lock = ""): Promise<SavedView> {
  const [row] = await tx.query<SavedView>({
    text: `SELECT ${viewColumns} FROM saved_views WHERE id = $1 ${lock}`,
    values: [id],
  });
  if (!row || !seesView(principal, row) || !mayRead(principal, row.kind)) throw viewNotFound();
  return row;
}

/** Keeps a list. @throws 403 without the right to read its kind; 409 LIMIT_REACHED; 422 for what the kind does not have */
export async function create(ctx: Ctx<"views.create">, definitions: Definitions): Promise<ViewOfViews> {
  const { principal, tx } = ctx.locals;
  const { kind, name, where, columns, sort, isShared } = ctx.params;
  requirePermission(principal, `${kinds.get(kind)?.plural}:read`);
  const defined = await definedKinds(tx.organizationId, definitions);
  const now = tx.now.toISOString();
  const row: SavedView = {
    ...{ id: newId(), kind, name, condition: where, columns, sort, is_shared: isShared },
    ...{ owner_id: principal.userId, created_at: now, updated_at: now, version: 1 },
  };
  requireHolds(defined, row);
  await requireRoomFor(tx, "viewsOfUser", { of: principal.userId ?? "" });
  tx.defer({
    text: `INSERT INTO saved_views (organization_id, ${viewColumns}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, 1)`,
    values: [
      ...[tx.organizationId, row.id, kind, name, where && JSON.stringify(where), columns, sort, isShared],
      ...[row.owner_id, now],
    ],
  });
  announce(ctx, "view.created", row);
  return shown(row, defined);
}

/**
 * Changes a view. What of it is broken must be mended only where it is given. What changes nothing makes no version and no event.
 * @throws 403 NOT_YOUR_VIEW, 404, 412, 422
 */
export async function update(ctx: Ctx<"views.update">, definitions: Definitions): Promise<ViewOfViews> {
  const { principal, tx } = ctx.locals;
  const { id, expectedVersion, name, where, columns, sort, isShared } = ctx.params;
  const defined = await definedKinds(tx.organizationId, definitions);
  const before = await lockOwn(tx, principal, id);
  requireVersion(before, expectedVersion);
  const row: SavedView = {
    ...before,
    name: name ?? before.name,
    condition: where === undefined ? before.condition : where,
    columns: columns === undefined ? before.columns : columns,
    sort: sort === undefined ? before.sort : sort,
    is_shared: isShared ?? before.is_shared,
  };
  requireHolds(defined, row, ctx.params);
  if (isDeepStrictEqual(row, before)) return shown(before, defined);
  row.version = before.version + 1;
  row.updated_at = tx.now.toISOString();
  tx.defer({
    text: `UPDATE saved_views SET (name, condition, columns, sort, is_shared, updated_at, version) = ($2, $3, $4, $5, $6, $7, $8) WHERE id = $1`,
    values: [
      ...[id, row.name, row.condition && JSON.stringify(row.condition), row.columns, row.sort, row.is_shared],
      ...[row.updated_at, row.version],
    ],
  });
  announce(ctx, "view.updated", row, before);
  return shown(row, defined);
}

/** Deletes a view. @throws 403 NOT_YOUR_VIEW, 404, 412 */
export async function remove(ctx: Ctx<"views.remove">): Promise<null> {
  const { principal, tx } = ctx.locals;
  const before = await lockOwn(tx, principal, ctx.params.id);
  requireVersion(before, ctx.params.expectedVersion);
  tx.defer({ text: "DELETE FROM saved_views WHERE id = $1", values: [before.id] });
  announce(ctx, "view.deleted", { ...before, version: before.version + 1 });
  return null;
}

/** One that the principal may change: an own one, or for an admin a shared one. */
async function lockOwn(tx: UnitOfWork, principal: Principal, id: string): Promise<SavedView> {
  const row = await find(tx, principal, id, "FOR NO KEY UPDATE");
  const isOwn = row.owner_id !== null && row.owner_id === principal.userId;
  if (!isOwn && principal.role !== "admin" && principal.role !== systemRole) throw notYourView();
  return row;
}

/** @param given of a change: what else is broken stays as it is @throws 422 */
function requireHolds(
  defined: DefinedKinds,
  row: SavedView,
  given: Readonly<Record<string, unknown>> = row,
): void {
  const isGiven = (path: string) => given === row || given[path.split(".")[0] ?? ""] !== undefined;
  const problems = problemsOf(defined, row).filter(({ path }) => isGiven(path));
  if (problems.length > 0) throw invalid(problems);
  requireBytes("where and columns", [row.condition, row.columns], mostBytes);
}

/** Those who see it are told, and those who saw it before. */
function announce(
  ctx: Pick<Ctx<"views.get">, "locals">,
  type: "view.created" | "view.updated" | "view.deleted",
  row: SavedView,
  before: SavedView = row,
): void {
  const isTold = row.is_shared || before.is_shared;
  record(ctx.locals.tx, {
    type,
    entity: { kind: "view", id: row.id, version: row.version },
    actorId: ctx.locals.principal.userId,
    audience: isTold ? null : row.owner_id === null ? [] : [row.owner_id],
    data: { kind: row.kind, ownerId: row.owner_id, isShared: row.is_shared },
  });
}
