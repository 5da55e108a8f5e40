import type { AnyKind } from "../kind/kind.ts";
import { kinds } from "../kind/kinds.ts";
import type { Definitions, KindFields } from "./definitions.ts";

/** A kind, and the custom fields that an organization has given it. */
export interface DefinedKind {
  kind: AnyKind;
  custom: KindFields;
}
/** Every kind, by name. */
export type DefinedKinds = ReadonlyMap<string, DefinedKind>;

/** Every kind as the organization has defined it. Before a transaction: definitions may have to be loaded. */
export async function definedKinds(organizationId: string, definitions: Definitions): Promise<DefinedKinds> {
  const all = [...kinds.values()].map(
    async (kind) => [kind.name, { kind, custom: await definitions.of(organizationId, kind.name) }] as const,
  );
  return new Map(await Promise.all(all));
}
