import { appError } from "../../contract/errors.ts";
import { canSee, sightOf, type Principal } from "../../access/principal.ts";
import { nobody } from "../../events/feed-filter.ts";

/** What records are called of which somebody is the owner: `leads`. */
interface Owned {
  plural: string;
  /** The field that says whose they are, and what is said of it. */
  owner?: string | undefined;
  fields?: Readonly<Record<string, { isOwner?: boolean | "maker" }>>;
}

/**
 * Users whose records an event concerns: present and former owners. A null owner adds the marker for unassigned records; with no other
 * owner the list is empty.
 */
export function audienceOf(...owners: (string | null | undefined)[]): string[] {
  const users = new Set(owners.filter((user) => typeof user === "string"));
  return users.size > 0 && owners.includes(null) ? [...users, nobody] : [...users];
}

const mayNotAssign = ({ plural }: Owned) =>
  appError(403, "FORBIDDEN", `You may assign ${plural} only to yourself and those whose ${plural} you see.`);

/** Nobody may give a record away so that they do not see it afterwards. @throws 403 */
export function requireMayAssign(of: Owned, principal: Principal, owner: string | null): void {
  if (!canSee(principal, { assignedTo: owner })) throw mayNotAssign(of);
}

/**
 * Whom a new record belongs to. Who sees only their own owns what they make: else it would vanish from their eyes. So does whoever
 * makes one of a kind that is its maker's.
 * @throws 403 when such a principal names somebody else
 */
export function firstOwner(of: Owned, principal: Principal, given: string | null | undefined): string | null {
  if (given !== undefined) requireMayAssign(of, principal, given);
  if (given === undefined && of.fields?.[of.owner ?? ""]?.isOwner === "maker") return principal.userId;
  const sight = sightOf(principal);
  return sight === "all" || sight.unassigned ? (given ?? null) : principal.userId;
}
