import { sightOf, type Principal } from "./principal.ts";
import type { Values } from "../records/finding/listing.ts";

/** Conditions, as SQL over `values`, on rows that the principal may see. @param owner the column of whose they are */
export function visibleRows(principal: Principal, values: Values, owner = "assigned_to"): string[] {
  const sight = sightOf(principal);
  if (sight === "all") return [];
  const [only] = sight.assignees;
  if (sight.assignees.size === 1 && !sight.unassigned) return [`${owner} = ${values.add(only)}`];
  const isAssigned = `${owner} = ANY (${values.add([...sight.assignees])}::uuid[])`;
  return [sight.unassigned ? `(${owner} IS NULL OR ${isAssigned})` : isAssigned];
}
