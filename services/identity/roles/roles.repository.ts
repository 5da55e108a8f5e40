import type { QueryResultRow } from "pg";
import { contracts } from "../../contracts.ts";
import { knownPermissions } from "../../../mixins/access/permissions.ts";
import { builtInRoles, type Principal, type Reach, type Rights } from "../../../mixins/access/principal.ts";
import { requireCover } from "../../../mixins/access/reach.ts";
import { isUuid } from "../../../mixins/database/statement.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import { roleNotFound, unknownRole } from "./roles.errors.ts";

export interface RoleRow extends QueryResultRow {
  id: string;
  name: string;
  permissions: string[];
  sees: Reach;
  created_at: string;
  updated_at: string;
  version: number;
}
export const roleColumns = "id, name, permissions, sees, created_at, updated_at, version";

/** The organization's own roles, by name. */
export const findRoles = (tx: UnitOfWork): Promise<RoleRow[]> =>
  tx.query<RoleRow>({ text: `SELECT ${roleColumns} FROM control.roles ORDER BY lower(name)` });

/** One of the organization's own roles. @param lock until the end of the transaction. @throws 404 */
export async function getOwnRole(tx: UnitOfWork, id: string, lock: "" | "FOR UPDATE" = ""): Promise<RoleRow> {
  const [row] = isUuid(id)
    ? await tx.query<RoleRow>({
        text: `SELECT ${roleColumns} FROM control.roles WHERE id = $1 ${lock}`,
        values: [id],
      })
    : [];
  if (!row) throw roleNotFound();
  return row;
}

/** Whether a user, or an invitation that waits, has the role. Only certain while the role is locked. */
export async function isRoleInUse(tx: UnitOfWork, id: string): Promise<boolean> {
  const users = await tx.query({
    text: `SELECT FROM control.users WHERE role = $1
      UNION ALL SELECT FROM control.invites WHERE role = $1 AND expires_at > $2 LIMIT 1`,
    values: [id, tx.now],
  });
  return users.length > 0;
}

/**
 * Lets the principal give this role to somebody. It stays as it is until the end of the transaction.
 * @throws 422 when there is none, 403 when it permits more than the principal may do
 */
export async function requireGrantable(tx: UnitOfWork, principal: Principal, role: string): Promise<void> {
  const rights = await holdRights(tx, role);
  if (!rights) throw unknownRole();
  requireCover(principal, rights);
}

/**
 * Lets the principal change, or take something from, somebody with this role. One that is gone permits nothing.
 * @throws 403 when it permits more than the principal may do
 */
export async function requireCovered(tx: UnitOfWork, principal: Principal, role: string): Promise<void> {
  requireCover(principal, (await holdRights(tx, role)) ?? { permissions: new Set(), sees: "own" });
}

/** Held by one with every right there is: whoever covers it covers everybody. */
export const everybodysRole = "admin";

/**
 * What a role permits whoever has it, of what there is. While an organization has no teams, its built-in managers see everything.
 * @param lock until the end of the transaction a role of the organization stays as it is
 */
export async function holdRights(
  tx: UnitOfWork,
  role: string,
  lock: "" | "FOR SHARE" = "FOR SHARE",
): Promise<Rights | undefined> {
  const builtIn = builtInRoles.get(role);
  if (!builtIn) return holdOwnRights(tx, role, lock);
  const { permissions, sees } = builtIn;
  return { permissions: permissions.intersection(known), sees: sees === "team" ? "all" : sees };
}
// a built-in role names permissions that nothing asks for yet, which no other role can have
const known = new Set(knownPermissions(contracts));

async function holdOwnRights(
  tx: UnitOfWork,
  role: string,
  lock: "" | "FOR SHARE",
): Promise<Rights | undefined> {
  const [row] = await tx.query<{ permissions: string[]; sees: Reach }>({
    text: `SELECT permissions, sees FROM control.roles WHERE id = $1 ${lock}`,
    values: [role],
  });
  return row && { permissions: new Set(row.permissions), sees: row.sees };
}
