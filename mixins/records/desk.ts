import { appError } from "../contract/errors.ts";
import type { Locals } from "../contract/contract.ts";
import type { Database } from "../database/database.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";
import { canSee, sightOf, type Actor } from "../access/actor.ts";
import { nobody } from "../events/feed-filter.ts";
import type { ActiveUsers, Caller } from "./active-users.ts";
import type { Change, Changes } from "./changes.ts";
import type { AnyRow, AnyKind } from "./kind.ts";
import { columnOf } from "./listing.ts";
import type { Store } from "./store.ts";

/** What the handlers of records share within a process. */
export interface RecordDesk {
  database: Database;
  users: ActiveUsers;
  /** The kinds that fields of others refer to, by name. */
  kinds: ReadonlyMap<string, AnyKind>;
  /** References to records from what is no kind, which merges move too. */
  references?: readonly Reference[];
}

/** A column, of a table with the columns of every record, that refers to records of a kind. */
export interface Reference {
  refersTo: string;
  table: string;
  column: string;
  /** What happened to a row whose reference was moved. */
  event: (row: AnyRow) => { type: string; kind: string; owner: string | null; data: unknown };
}

/** A call of a record's handler. */
export interface RecordContext<P = unknown> extends Caller {
  params: P;
  locals: Locals;
}

/** What a kind decides by itself; each may be left out. */
export interface RecordRules<R extends AnyRow, P> {
  /** What must be known before the transaction: settings, other services, actors. Nothing is held yet. */
  prepare?(ctx: RecordContext, inputs: readonly Readonly<Record<string, unknown>>[]): Promise<P>;
  /** Completes a new row, with what is computed of it. Pure. */
  complete?(row: R, prepared: P): R;
  /** Pure. @throws 409 when the record may not change so */
  decide?(before: R, change: Change<R>, prepared: P, actor: Actor): Change<R>;
  /** Further writes, events and jobs in the record's transaction. `before` is null for a new one. */
  also?(tx: UnitOfWork, before: R | null, change: Change<R>, prepared: P): void | Promise<void>;
}

/** A kind at work: what its handlers are made of. */
export interface Counter<R extends AnyRow = AnyRow, P = unknown> {
  kind: AnyKind;
  store: Store<R>;
  desk: RecordDesk;
  rules: RecordRules<R, P>;
}

type Verb = "created" | "updated" | "deleted" | "restored" | "merged";
/**
 * Records what happened to a record.
 * @param more.formerOwner to whom it belonged before: they may know that it left them
 */
export function about(
  tx: UnitOfWork,
  {
    kind,
    verb,
    row,
    actorId,
    changes,
    more,
  }: {
    kind: AnyKind;
    verb: Verb;
    row: AnyRow;
    actorId: string | null;
    changes?: Changes;
    /** Of a merge. */
    more?: { mergedIds: string[]; mergeId: string };
  },
): void {
  const formerOwner = kind.owner === undefined ? undefined : changes?.[kind.owner]?.[0];
  tx.record({
    type: `${kind.name}.${verb}`,
    entity: { kind: kind.name, id: row.id, version: row.version },
    actorId,
    audience:
      kind.owner === undefined
        ? null
        : audienceOf(ownerOf(kind, row), formerOwner as string | null | undefined),
    data: { record: kind.show(row), ...(changes && { changes }), ...more },
  });
}

/** Whose records an event is about: the owner's, and the one's before. null: nobody's; empty when nothing else. */
export function audienceOf(...owners: (string | null | undefined)[]): string[] {
  const users = new Set(owners.filter((user) => typeof user === "string"));
  return users.size > 0 && owners.includes(null) ? [...users, nobody] : [...users];
}

const ownerOf = ({ owner }: AnyKind, row: AnyRow): string | null =>
  owner === undefined ? null : (row[columnOf(owner)] as string | null);

const mayNotGive = ({ plural }: AnyKind) =>
  appError(403, "FORBIDDEN", `You may give ${plural} only to yourself and those whose ${plural} you see.`);

/** Nobody may give a record away so that they do not see it afterwards. @throws 403 */
export function requireMayGive(kind: AnyKind, actor: Actor, owner: string | null): void {
  if (!canSee(actor, { assignedTo: owner })) throw mayNotGive(kind);
}

/**
 * Whom a new record belongs to. Who sees only their own owns what they make: else it would vanish from their eyes.
 * @throws 403 when such an actor names somebody else
 */
export function firstOwner(kind: AnyKind, actor: Actor, given: string | null | undefined): string | null {
  if (given !== undefined) requireMayGive(kind, actor, given);
  const sight = sightOf(actor);
  return sight === "all" || sight.unassigned ? (given ?? null) : actor.userId;
}
