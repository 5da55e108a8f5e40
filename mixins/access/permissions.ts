import type { Contract } from "../contract/contract.ts";
import { readPermissions } from "../events/feed-filter.ts";

/** Every permission that means something: what an action asks for, or the feed before it shows a kind of record. */
export function knownPermissions(contracts: readonly Contract[]): ReadonlySet<string> {
  const asked = contracts.flatMap(({ actions }) =>
    Object.values(actions).map(({ permission }) => permission),
  );
  return new Set([...asked.filter((permission) => permission.includes(":")), ...readPermissions.values()]);
}
