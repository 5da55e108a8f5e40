import { appError, forbidden, unauthorized } from "./errors.ts";
import type { Meta } from "./meta.ts";

/** Who acts: a user of an organization with the permissions of a role, or the system itself. */
export interface Actor {
  organizationId: string;
  /** null for the system and for callers who have not signed in. */
  userId: string | null;
  role: string;
  /** Of what the role permits, all that may be used: the scopes of an API key. Undefined: no such limit. */
  scopes?: readonly string[] | undefined;
}

const resources = ["leads", "contacts", "companies", "deals", "activities", "pools", "scoring", "imports"];
const every = (...verbs: string[]) =>
  resources.flatMap((resource) => verbs.map((verb) => `${resource}:${verb}`));

/** A user's own API keys, an admin's the whole organization's. No API key may have these as scopes. */
export const forOwnKeys: readonly string[] = ["api-keys:create", "api-keys:read", "api-keys:delete"];

/** What each built-in role may do. `sales_rep` sees only records assigned to it: see `seesOnlyOwn`. */
export const permissionsByRole: Record<string, ReadonlySet<string>> = {
  admin: new Set([
    ...every("create", "read", "update", "delete"),
    ...["users:read", "users:create", "users:update", "users:delete"],
    ...["organization:read", "organization:update", "events:read", "reports:view", "reports:export"],
    ...["jobs:read", "jobs:update", "jobs:delete", "audit-log:read"],
    ...forOwnKeys,
  ]),
  manager: new Set([
    ...every("create", "read", "update", "delete"),
    ...["users:read", "organization:read", "events:read", "reports:view", "reports:export"],
    ...forOwnKeys,
  ]),
  sales_rep: new Set([
    ...["leads", "contacts", "companies", "deals", "activities"].flatMap((resource) => [
      `${resource}:create`,
      `${resource}:read`,
      `${resource}:update`,
    ]),
    ...["users:read", "organization:read", "events:read", "pools:read", "scoring:read"],
    ...forOwnKeys,
  ]),
  viewer: new Set([...every("read"), "users:read", "organization:read", "events:read", "reports:view"]),
};
export const roles = ["admin", "manager", "sales_rep", "viewer"] as const;
export type Role = (typeof roles)[number];

/** Role of jobs and timers: everything, but always inside one organization. */
export const systemRole = "system";
export const systemMeta = (organizationId: string): Meta => ({ organizationId, role: systemRole });

export function can(actor: Actor, permission: string): boolean {
  if (actor.role === systemRole) return true;
  if (permission === "session") return actor.scopes === undefined;
  const isInScope = actor.scopes?.includes(permission) ?? true;
  return isInScope && (permissionsByRole[actor.role]?.has(permission) ?? false);
}

const noSession = () => appError(403, "SESSION_NEEDED", "An API key may not do this; sign in.");

/** @throws 401 without a user, 403 without the permission */
export function requirePermission(actor: Actor, permission: string): void {
  if (permission === "public") return;
  if (permission === "system" && actor.role === systemRole) return;
  if (actor.role === "" || actor.organizationId === "")
    throw unauthorized("UNAUTHENTICATED", "Sign in first: send Authorization: Bearer <access token>.");
  if (permission === "authenticated" || can(actor, permission)) return;
  throw permission === "session" ? noSession() : forbidden(permission);
}

/** True when the actor's role shows only records assigned to the actor. */
export const seesOnlyOwn = (actor: Actor): boolean => actor.role === "sales_rep";

/** Whether the actor may see a record with this assignee. A record it may not see does not exist for it. */
export const canSee = (actor: Actor, record: { assignedTo?: string | null }): boolean =>
  !seesOnlyOwn(actor) || record.assignedTo === actor.userId;
