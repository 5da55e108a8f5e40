import { appError } from "../contract/errors.ts";
import { covers, sightOf, type Principal, type Rights } from "./principal.ts";

/**
 * The rule of everything that gives, takes or changes what somebody may do: nobody reaches further than their own role.
 * Ask for what stood before and for what shall stand, since who could not give something may not take it away either.
 * @throws 403 ROLE_NOT_GRANTABLE when some of these rights are not the principal's own
 */
export function requireCover(principal: Principal, ...rights: readonly Rights[]): void {
  if (!rights.every((some) => covers(principal, some))) throw beyondRole();
}

/**
 * The same rule for whose records somebody sees: these people's, or `everybody`'s.
 * @throws 403 BEYOND_SIGHT when the principal does not see the records of some of them
 */
export function requireSight(principal: Principal, whose: readonly string[] | "everybody"): void {
  const sight = sightOf(principal);
  if (sight === "all") return;
  if (whose === "everybody" || !whose.every((userId) => sight.assignees.has(userId))) throw beyondSight();
}

const beyondRole = () =>
  appError(403, "ROLE_NOT_GRANTABLE", "This role permits more than you may do yourself.");
const beyondSight = () =>
  appError(403, "BEYOND_SIGHT", "This concerns people whose records you do not see yourself.");
