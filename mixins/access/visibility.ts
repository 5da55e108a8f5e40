import { canSee, sightOf, type Principal } from "./principal.ts";
import type { Values } from "../records/finding/listing.ts";

/**
 * Conditions, as SQL over `values`, on rows that the principal may see.
 * @param owners the columns of whose they are, of which one suffices; a row that is nobody's by all of them is nobody's. Without any,
 *   everybody sees all rows
 */
export function visibleRows(
  principal: Principal,
  values: Values,
  owners: string | readonly string[] = "assigned_to",
): string[] {
  const columns = typeof owners === "string" ? [owners] : owners;
  const sight = sightOf(principal);
  if (sight === "all" || columns.length === 0) return [];
  const [only] = sight.assignees;
  const isOne = sight.assignees.size === 1 && !sight.unassigned;
  const whose = isOne ? values.add(only) : `ANY (${values.add([...sight.assignees])}::uuid[])`;
  const ways = columns.map((column) => `${column} = ${whose}`);
  if (sight.unassigned) ways.unshift(columns.map((column) => `${column} IS NULL`).join(" AND "));
  return [ways.length === 1 ? String(ways[0]) : `(${ways.join(" OR ")})`];
}

/** Whether the principal may see a row, as `visibleRows` says. */
export function isVisible(
  principal: Principal,
  owners: readonly string[],
  row: Readonly<Record<string, unknown>>,
): boolean {
  if (owners.length === 0) return true;
  const users = usersOf(owners, row);
  return users.length === 0
    ? canSee(principal, { assignedTo: null })
    : users.some((assignedTo) => canSee(principal, { assignedTo }));
}

/** Whose a row is, each once; nobody's: none. */
export const usersOf = (owners: readonly string[], row: Readonly<Record<string, unknown>>): string[] => [
  ...new Set(owners.map((column) => row[column]).filter((user) => typeof user === "string")),
];
