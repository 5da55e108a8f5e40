import { appError, forbidden, unauthorized } from "../contract/errors.ts";
import type { Meta } from "../contract/meta.ts";

/**
 * Whose records a role shows: those assigned to the principal; those of the teams the principal manages too, and
 * unassigned ones; or everybody's.
 */
export const reaches = ["own", "team", "all"] as const;
export type Reach = (typeof reaches)[number];

/** What a role permits. */
export interface Rights {
  permissions: ReadonlySet<string>;
  sees: Reach;
}

/** Whose records a principal sees now: everybody's, or those of these assignees and perhaps unassigned ones. */
export type Sight = "all" | { assignees: ReadonlySet<string>; unassigned: boolean };

/** Who acts: a user of an organization with the permissions of a role, or the system itself. See Access. */
export interface Principal {
  organizationId: string;
  /** null for the system and for callers who have not signed in. */
  userId: string | null;
  /** A built-in role's name, or the id of a custom one. */
  role: string;
  /** Of what the role permits, all that may be used: the scopes of an API key. Undefined: no such limit. */
  scopes?: readonly string[] | undefined;
  /** Of a custom role. */
  rights?: Rights;
  /** Of who sees a team's records. */
  sight?: Sight;
}

/** What the built-in roles may do with records, whatever their kind; `sensitive` are values of sensitive custom fields. */
const ofRecords: Record<Role, readonly string[]> = {
  admin: ["create", "read", "update", "delete", "sensitive"],
  manager: ["create", "read", "update", "delete", "sensitive"],
  sales_rep: ["create", "read", "update"],
  viewer: ["read"],
};
/** Everything there is to do with records of a kind. */
export const recordPermissions = (plural: string): string[] =>
  ofRecords.admin.map((verb) => `${plural}:${verb}`);

const resources = ["pools", "scoring", "imports", "custom-fields", "views", "lists", "calls"];
const every = (...verbs: string[]) =>
  resources.flatMap((resource) => verbs.map((verb) => `${resource}:${verb}`));

/** A user's own API keys, an admin's the whole organization's. No API key may have these as scopes. */
export const forOwnKeys: readonly string[] = ["api-keys:create", "api-keys:read", "api-keys:delete"];

export const roles = ["admin", "manager", "sales_rep", "viewer"] as const;
export type Role = (typeof roles)[number];

const builtIn: Record<Role, { permissions: Set<string>; sees: Reach }> = {
  admin: {
    permissions: new Set([
      ...every("create", "read", "update", "delete"),
      ...["users:read", "users:create", "users:update", "users:delete"],
      ...["roles:read", "roles:create", "roles:update", "roles:delete"],
      ...["teams:read", "teams:create", "teams:update", "teams:delete"],
      ...["organization:read", "organization:update", "organization:delete"],
      ...["events:read", "reports:view", "reports:export"],
      ...["jobs:read", "jobs:update", "jobs:delete", "audit-log:read"],
      ...["privacy:create", "privacy:read"],
      ...forOwnKeys,
    ]),
    sees: "all",
  },
  manager: {
    permissions: new Set([
      ...every("create", "read", "update", "delete"),
      ...["users:read", "teams:read", "organization:read", "events:read", "reports:view", "reports:export"],
      ...forOwnKeys,
    ]),
    sees: "team",
  },
  sales_rep: {
    permissions: new Set([
      ...["users:read", "teams:read", "organization:read", "events:read", "pools:read", "scoring:read"],
      ...["calls:create", "calls:read", "calls:update"],
      ...["lists:create", "lists:read", "lists:update", "lists:delete"],
      ...["custom-fields:read", "views:create", "views:read", "views:update", "views:delete"],
      ...forOwnKeys,
    ]),
    sees: "own",
  },
  viewer: {
    permissions: new Set([
      ...every("read"),
      ...["users:read", "teams:read", "organization:read", "events:read", "reports:view"],
    ]),
    sees: "all",
  },
};
/**
 * Lets the built-in roles work with the records of a kind; at start, see declareKinds in mixins/records/kind/kinds.ts.
 * @param guarded what of them only admins may do, beside that
 * @param isSetting whether those who sell only read them
 */
export function admitRecords(plural: string, guarded: readonly string[] = [], isSetting = false): void {
  for (const role of roles)
    for (const verb of isSetting && role === "sales_rep" ? ["read"] : ofRecords[role])
      builtIn[role].permissions.add(`${plural}:${verb}`);
  for (const verb of guarded) builtIn.admin.permissions.add(`${plural}:${verb}`);
}
const none: Rights = { permissions: new Set(), sees: "own" };

/** What each built-in role may do. */
export const builtInRoles: ReadonlyMap<string, Rights> = new Map(Object.entries(builtIn));

/** Role of jobs and timers: everything, but always inside one organization. */
export const systemRole = "system";
export const systemMeta = (organizationId: string): Meta => ({ organizationId, role: systemRole });

/** What the principal's role permits; what an API key's scopes leave of it, `can` tells. */
export const rightsOf = (principal: Principal): Rights =>
  principal.rights ?? builtInRoles.get(principal.role) ?? none;

export function can(principal: Principal, permission: string): boolean {
  if (principal.role === systemRole) return true;
  if (permission === "session") return principal.scopes === undefined;
  const isInScope = principal.scopes?.includes(permission) ?? true;
  return isInScope && rightsOf(principal).permissions.has(permission);
}

const noSession = () => appError(403, "SESSION_NEEDED", "An API key may not do this; sign in.");

/** @throws 401 without a user, 403 without the permission */
export function requirePermission(principal: Principal, permission: string): void {
  if (permission === "public") return;
  if (permission === "system" && principal.role === systemRole) return;
  if (principal.role === "" || principal.organizationId === "")
    throw unauthorized("UNAUTHENTICATED", "Sign in first: send Authorization: Bearer <access token>.");
  if (permission === "authenticated" || can(principal, permission)) return;
  throw permission === "session" ? noSession() : forbidden(permission);
}

/** Whether the principal may hand these rights to somebody: nobody grants what they do not have themselves. */
export function covers(principal: Principal, rights: Rights): boolean {
  if (principal.role === systemRole) return true;
  const isWithinReach = reaches.indexOf(rights.sees) <= reaches.indexOf(rightsOf(principal).sees);
  return isWithinReach && [...rights.permissions].every((permission) => can(principal, permission));
}

/** Whose records the principal sees. Where nobody has found out (see Access), no more than its own. */
export function sightOf(principal: Principal): Sight {
  if (principal.sight !== undefined) return principal.sight;
  if (principal.role === systemRole || rightsOf(principal).sees === "all") return "all";
  return { assignees: new Set(principal.userId === null ? [] : [principal.userId]), unassigned: false };
}

/** Whether the principal may see a record with this assignee. A record it may not see does not exist for it. */
export function canSee(principal: Principal, { assignedTo }: { assignedTo?: string | null }): boolean {
  const sight = sightOf(principal);
  if (sight === "all") return true;
  return assignedTo == null ? sight.unassigned : sight.assignees.has(assignedTo);
}
