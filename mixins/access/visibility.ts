import { sightOf, type Actor } from "./actor.ts";
import type { Values } from "../records/listing.ts";

/** Conditions, as SQL over `values`, on rows that the actor may see. @param owner the column of whose they are */
export function visibleRows(actor: Actor, values: Values, owner = "assigned_to"): string[] {
  const sight = sightOf(actor);
  if (sight === "all") return [];
  const [only] = sight.assignees;
  if (sight.assignees.size === 1 && !sight.unassigned) return [`${owner} = ${values.add(only)}`];
  const isAssigned = `${owner} = ANY (${values.add([...sight.assignees])}::uuid[])`;
  return [sight.unassigned ? `(${owner} IS NULL OR ${isAssigned})` : isAssigned];
}
