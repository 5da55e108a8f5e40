import { z } from "zod";
import { can, sightOf, systemRole, type Principal } from "../access/principal.ts";
import { kinds } from "../records/kind/kinds.ts";
import type { SequencedEvent } from "./feed.ts";

/** What a decision about an event needs of it. */
export type FilteredEvent = Pick<SequencedEvent, "type" | "audience"> & { entity: { kind: string } };

/** What a principal needs to see events of what is no kind of record; those of a kind need the right to read it. */
export const readPermissions: ReadonlyMap<string, string> = new Map([
  ["deal", "deals:read"],
  ["pipeline", "pipelines:read"],
  ["product", "products:read"],
  ["import", "imports:read"],
  ["pool", "pools:read"],
  ["scoring", "scoring:read"],
  ["team", "teams:read"],
  ["operation", "events:read"],
  ["view", "views:read"],
  ["list", "lists:read"],
  ["call", "calls:read"],
]);
/** Stands in an audience for those who see unassigned records, beside users; alone they are an empty audience. */
export const nobody = "00000000-0000-0000-0000-000000000000";
/** What is somebody's own: its audience holds for those too who see all records. */
const ofSomebody: ReadonlySet<string> = new Set(["view", "list"]);
/** Roles that see kinds of which nothing is said above: users and settings. */
const overseers: readonly string[] = ["admin", "manager", systemRole];

const typePattern = /^(?:\*|[a-z][a-z_]*(?:\.[a-z][a-z_]*)*(?:\.\*)?)$/;
const checkedTypes = z
  .array(z.string().regex(typePattern, "must be a type such as lead.created, or lead.* for all of its kind"))
  .min(1)
  .max(50);
/** Event types to take, as text (`lead.created,deal.*`); becomes a list of patterns. */
export const typesText = z
  .string()
  .max(1000)
  .transform((list) => list.split(",").map((pattern) => pattern.trim()))
  .pipe(checkedTypes);
/** As `typesText`, or as a list. */
export const typesInput = z.union([typesText, checkedTypes]);

/**
 * The test of whether an event is for this principal: its role may read the kind of record, one who does not see all
 * records sees one of somebody in the audience, and the type is one asked for.
 * @param types patterns; undefined takes all
 */
export function feedFilter(
  principal: Principal,
  types?: readonly string[],
): (event: FilteredEvent) => boolean {
  const isForActor = audienceTest(principal);
  const isWanted = typeTest(types);
  const isOwn = (audience: readonly string[] | null) =>
    audience === null || (principal.userId !== null && audience.includes(principal.userId));
  return ({ type, entity, audience }) =>
    mayReadKind(principal, entity.kind)
    && (ofSomebody.has(entity.kind) ? isOwn(audience) : isForActor(audience))
    && isWanted(type);
}

function audienceTest(principal: Principal): (audience: readonly string[] | null) => boolean {
  const sight = sightOf(principal);
  if (sight === "all") return () => true;
  const { assignees, unassigned } = sight;
  return (audience) =>
    audience === null
    || audience.some((user) => assignees.has(user) || (unassigned && user === nobody))
    || (unassigned && audience.length === 0);
}

function mayReadKind(principal: Principal, kind: string): boolean {
  const plural = kinds.get(kind)?.plural;
  const permission = plural === undefined ? readPermissions.get(kind) : `${plural}:read`;
  if (permission !== undefined) return can(principal, permission);
  return overseers.includes(principal.role) && principal.scopes === undefined;
}

function typeTest(types: readonly string[] | undefined): (type: string) => boolean {
  if (types === undefined || types.includes("*")) return () => true;
  const whole = new Set(types.filter((pattern) => !pattern.endsWith(".*")));
  const prefixes = types.filter((pattern) => pattern.endsWith(".*")).map((pattern) => pattern.slice(0, -1));
  return (type) => whole.has(type) || prefixes.some((prefix) => type.startsWith(prefix));
}
