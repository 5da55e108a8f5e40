import { isDeepStrictEqual } from "node:util";
import { v7 as uuidv7 } from "uuid";
import { announceAccess } from "../../../mixins/access/access.ts";
import {
  builtInRoles,
  can,
  covers,
  type Principal,
  type Reach,
  type Rights,
} from "../../../mixins/access/principal.ts";
import { requireCover } from "../../../mixins/access/reach.ts";
import { requireRoomFor } from "../../../mixins/organizations/limits.ts";
import type { Contract } from "../../../mixins/contract/contract.ts";
import { versionMismatch } from "../../../mixins/contract/errors.ts";
import { pageOfAll } from "../../../mixins/records/finding/page.ts";
import { knownPermissions } from "../../../mixins/access/permissions.ts";
import type { Ctx, Result } from "../../contracts.ts";
import type { AuditType } from "../audit-log/audit-log.contract.ts";
import { audit } from "../audit-log/audit-log.ts";
import type { RoleView } from "./roles.contract.ts";
import {
  mayNotGrantReach,
  refusedPermissions,
  roleBuiltIn,
  roleInUse,
  roleNameTaken,
} from "./roles.errors.ts";
import { findRoles, getOwnRole, isRoleInUse, roleColumns, type RoleRow } from "./roles.repository.ts";
import { lockAdmins } from "../identity.repository.ts";

const builtInView = (name: string): RoleView | undefined => {
  const rights = builtInRoles.get(name);
  return (
    rights && {
      ...{ id: name, name, permissions: [...rights.permissions].sort(), sees: rights.sees, isBuiltIn: true },
      ...{ createdAt: null, updatedAt: null, version: null },
    }
  );
};
const roleView = (row: RoleRow): RoleView => ({
  id: row.id,
  name: row.name,
  permissions: row.permissions,
  sees: row.sees,
  isBuiltIn: false,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  version: row.version,
});

/** The built-in roles, then the organization's own. */
export async function listRoles(ctx: Ctx<"identity.listRoles">): Promise<Result<"identity.listRoles">> {
  const builtIn = [...builtInRoles.keys()].flatMap((name) => builtInView(name) ?? []);
  const all = [...builtIn, ...(await findRoles(ctx.locals.tx)).map(roleView)];
  const order = [...builtInRoles.keys()];
  const keyOf = ({ id, name, isBuiltIn }: RoleView) =>
    isBuiltIn ? `0${order.indexOf(id)}` : `1${name.toLowerCase()} ${id}`;
  return pageOfAll(all, ctx.params, keyOf, "roles");
}

/** One role. */
export async function getRole(ctx: Ctx<"identity.getRole">): Promise<RoleView> {
  const { role } = ctx.params;
  return builtInView(role) ?? roleView(await getOwnRole(ctx.locals.tx, role));
}

/** Makes a role. */
export async function createRole(
  ctx: Ctx<"identity.createRole">,
  contracts: readonly Contract[],
): Promise<RoleView> {
  const { tx, principal } = ctx.locals;
  const { name, sees } = ctx.params;
  const permissions = requirePermissions(principal, ctx.params.permissions, contracts);
  requireReach(principal, sees);
  requireFreeName(name);
  await lockAdmins(tx);
  await requireRoomFor(tx, "roles");
  const now = tx.now.toISOString();
  const times = { created_at: now, updated_at: now };
  const row: RoleRow = { id: uuidv7(), name, permissions, sees, ...times, version: 1 };
  tx.onViolation("roles_name", roleNameTaken);
  tx.defer({
    text: `INSERT INTO control.roles (organization_id, ${roleColumns}) VALUES ($1, $2, $3, $4, $5, $6, $6, 1)`,
    values: [tx.organizationId, row.id, name, permissions, sees, now],
  });
  note(ctx, "role.created", row);
  return roleView(row);
}

/**
 * Changes a role that permits no more than the caller may do, and shall not. Its users need not sign in again: every node
 * looks their rights up anew.
 */
export async function updateRole(
  ctx: Ctx<"identity.updateRole">,
  contracts: readonly Contract[],
): Promise<RoleView> {
  const { tx, principal } = ctx.locals;
  const { role, name, sees, expectedVersion } = ctx.params;
  if (builtInRoles.has(role)) throw roleBuiltIn();
  const before = await getOwnRole(tx, role, "FOR UPDATE");
  requireVersion(before, expectedVersion);
  requireCover(principal, rightsOfRow(before));
  const permissions =
    ctx.params.permissions && requirePermissions(principal, ctx.params.permissions, contracts);
  if (sees !== undefined) requireReach(principal, sees);
  if (name !== undefined) requireFreeName(name);
  const given = { name: name ?? before.name, sees: sees ?? before.sees };
  const row: RoleRow = { ...before, ...given, permissions: permissions ?? before.permissions };
  if (isDeepStrictEqual(row, before)) return roleView(before);
  row.version = before.version + 1;
  row.updated_at = tx.now.toISOString();
  tx.onViolation("roles_name", roleNameTaken);
  tx.defer({
    text: `UPDATE control.roles SET (name, permissions, sees, updated_at, version) = ($2, $3, $4, $5, $6) WHERE id = $1`,
    values: [row.id, row.name, row.permissions, row.sees, row.updated_at, row.version],
  });
  note(ctx, "role.updated", row);
  announceAccess(ctx.broker, tx);
  return roleView(row);
}

/**
 * Deletes a role that nobody has, and that permits no more than the caller may do. Whoever is about to give it to somebody
 * waits, and finds it gone.
 */
export async function deleteRole(ctx: Ctx<"identity.deleteRole">): Promise<null> {
  const { tx, principal } = ctx.locals;
  const { role, expectedVersion } = ctx.params;
  if (builtInRoles.has(role)) throw roleBuiltIn();
  const before = await getOwnRole(tx, role, "FOR UPDATE");
  requireVersion(before, expectedVersion);
  requireCover(principal, rightsOfRow(before));
  if (await isRoleInUse(tx, before.id)) throw roleInUse();
  tx.defer({ text: "DELETE FROM control.roles WHERE id = $1", values: [before.id] });
  note(ctx, "role.deleted", before);
  announceAccess(ctx.broker, tx);
  return null;
}

const rightsOfRow = ({ permissions, sees }: RoleRow): Rights => ({
  permissions: new Set(permissions),
  sees,
});

/**
 * The permissions, each once and in order.
 * @throws 422 naming those that do not exist, and those that would be granted by somebody without them
 */
function requirePermissions(
  principal: Principal,
  given: readonly string[],
  contracts: readonly Contract[],
): string[] {
  const known = knownPermissions(contracts);
  const refused = given.flatMap((permission, index) => {
    if (!known.has(permission)) return [{ index, isKnown: false }];
    return can(principal, permission) ? [] : [{ index, isKnown: true }];
  });
  if (refused.length > 0) throw refusedPermissions(refused);
  return [...new Set(given)].sort();
}

function requireReach(principal: Principal, sees: Reach): void {
  if (!covers(principal, { permissions: new Set(), sees })) throw mayNotGrantReach();
}

function requireFreeName(name: string): void {
  if (builtInRoles.has(name.toLowerCase())) throw roleNameTaken();
}

function requireVersion(row: RoleRow, expected: number | undefined): void {
  if (expected !== undefined && expected !== row.version) throw versionMismatch(row.version);
}

function note(ctx: Pick<Ctx<"identity.createRole">, "locals">, type: AuditType, row: RoleRow): void {
  const { organizationId, userId: actorId } = ctx.locals.principal;
  const details = { name: row.name, permissions: row.permissions, sees: row.sees };
  audit(ctx.locals.tx, { type, organizationId, actorId, subjectId: row.id, details });
}
