import { z } from "zod";
import { admitRecords } from "../../access/principal.ts";
import type { AnyKind } from "./kind.ts";
import { namedKinds } from "./named-kinds.ts";
import { guardedVerbs } from "./parts.ts";

const declared = new Map<string, AnyKind>();

/**
 * Every kind of record that this process knows, by name. Mixins import none: they are handed in at start, and what derives from
 * them asks here when it is asked itself, never while it is loaded.
 */
export const kinds: ReadonlyMap<string, AnyKind> = declared;
const customNames: string[] = [];
/** Names of those that an organization can add fields to; the same list, which grows. */
export const customKindNames: readonly string[] = customNames;
const names: string[] = [];
/** Their names; the same list, which grows. */
export const kindNames: readonly string[] = names;
const derived: ((kind: AnyKind) => void)[] = [];
/** A list that begins so and grows by one for each kind, as `kindNames` does. */
export function eachKind(of: (kind: AnyKind) => string, beginning: readonly string[]): readonly string[] {
  const list = [...beginning, ...[...declared.values()].map(of)];
  derived.push((kind) => list.push(of(kind)));
  return list;
}

/**
 * Makes kinds known: to roles, the feed, presence, quotas, custom fields, whatever takes the name of a kind. Before anything is
 * asked; the same kind may come again.
 * @throws Error when two kinds have one name, or one table
 */
export function declareKinds(of: Iterable<AnyKind>): void {
  for (const kind of of) {
    const clash = [...declared.values()].find(
      ({ name, plural }) => name === kind.name || plural === kind.plural,
    );
    if (clash && clash !== kind)
      throw new Error(`Two kinds of record are called ${kind.name} or ${kind.plural}.`);
    if (clash) continue;
    declared.set(kind.name, kind);
    names.push(kind.name);
    if ("customFields" in kind.fields) customNames.push(kind.name);
    if (anyRefsOf(kind).length === 0) namedKinds.push(kind.name);
    for (const grow of derived) grow(kind);
    admitRecords(kind.plural, guardedVerbs(kind), kind.isSetting);
  }
}

/** Fields of a kind that name a record of any kind. */
export const anyRefsOf = ({ fields }: Pick<AnyKind, "fields">): string[] =>
  Object.entries(fields).flatMap(([key, { stored }]) => (stored === "anyRef" ? [key] : []));

/** The name of a kind, as a value. */
export const kindName = z.lazy(() => z.enum(names as [string, ...string[]]));

/** The name of a kind that an organization can add fields to. */
export const customKindName = z.lazy(() => z.enum(customNames as [string, ...string[]]));

/** Whether records of a kind say who somebody is. */
export const tellsOfPersons = ({ fields }: Pick<AnyKind, "fields">): boolean =>
  Object.values(fields).some(({ personal }) => typeof personal === "string");
