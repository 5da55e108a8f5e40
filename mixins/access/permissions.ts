import type { Contract } from "../contract/contract.ts";
import { readPermissions } from "../events/feed-filter.ts";
import { kinds } from "../records/kind/kinds.ts";
import { guardedVerbs } from "../records/kind/parts.ts";
import { recordPermissions } from "./principal.ts";

/** Every permission that means something: what an action asks for, a kind of record, or the feed before it shows an event. */
export function knownPermissions(contracts: readonly Contract[]): ReadonlySet<string> {
  const asked = contracts.flatMap(({ actions }) =>
    Object.values(actions).map(({ permission }) => permission),
  );
  return new Set([
    ...asked.filter((permission) => permission.includes(":")),
    ...readPermissions.values(),
    ...[...kinds.values()].flatMap((kind) => [
      ...recordPermissions(kind.plural),
      ...guardedVerbs(kind).map((verb) => `${kind.plural}:${verb}`),
    ]),
  ]);
}
