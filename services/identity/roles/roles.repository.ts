import type { QueryResultRow } from "pg";
import { builtInRoles, covers, type Actor, type Reach, type Rights } from "../../../mixins/access/actor.ts";
import { isUuid } from "../../../mixins/database/statement.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import { mayNotGrantRole, roleNotFound, unknownRole } from "./roles.errors.ts";

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
 * Holds a role as it is until the end of the transaction, so that it can be given to somebody.
 * @throws 422 when there is none, 403 when it permits more than the actor may do
 */
export async function requireGrantable(tx: UnitOfWork, actor: Actor, role: string): Promise<void> {
  const rights = builtInRoles.get(role) ?? (await holdRights(tx, role));
  if (!rights) throw unknownRole();
  if (!covers(actor, rights)) throw mayNotGrantRole();
}

async function holdRights(tx: UnitOfWork, role: string): Promise<Rights | undefined> {
  const [row] = await tx.query<{ permissions: string[]; sees: Reach }>({
    text: "SELECT permissions, sees FROM control.roles WHERE id = $1 FOR SHARE",
    values: [role],
  });
  return row && { permissions: new Set(row.permissions), sees: row.sees };
}
