import { sightOf, type Actor } from "./actor.ts";
import type { Values } from "../records/listing.ts";

/** Conditions, as SQL over `values`, on rows with `assigned_to` that the actor may see. */
export function visibleRows(actor: Actor, values: Values): string[] {
  const sight = sightOf(actor);
  if (sight === "all") return [];
  const [only] = sight.assignees;
  if (sight.assignees.size === 1 && !sight.unassigned) return [`assigned_to = ${values.add(only)}`];
  const isAssigned = `assigned_to = ANY (${values.add([...sight.assignees])}::uuid[])`;
  return [sight.unassigned ? `(assigned_to IS NULL OR ${isAssigned})` : isAssigned];
}
