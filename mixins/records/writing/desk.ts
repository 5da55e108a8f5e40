import type { Locals } from "../../contract/contract.ts";
import type { FieldError } from "../../contract/errors.ts";
import type { Database } from "../../database/database.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import type { Access } from "../../access/access.ts";
import type { Principal } from "../../access/principal.ts";
import { usersOf } from "../../access/visibility.ts";
import type { Caller } from "./active-users.ts";
import type { Change, Changes } from "./changes.ts";
import type { CallFields, CustomDesk } from "../custom/of-call.ts";
import type { AnyRow, AnyKind } from "../kind/kind.ts";
import { followOwner } from "./named-owners.ts";
import { audienceOf } from "./ownership.ts";
import type { RecordQuota } from "./quota.ts";
import type { Store } from "./store.ts";

/** What the handlers of records share within a process. */
export interface RecordDesk extends CustomDesk {
  database: Database;
  /** What users may do and see. */
  access: Access;
  /** The kinds that fields of others refer to, by name. */
  kinds: ReadonlyMap<string, AnyKind>;
  /** How many records plans allow. */
  quota: RecordQuota;
  /** References to records from what is no kind, which merges move too. */
  references?: readonly Reference[];
  /** Stores the file that comes with a call, and begins to import it as records of a kind. */
  takeFile(ctx: RecordContext, kind: AnyKind): Promise<{ id: string; status: string }>;
}

/** A column that refers to records of a kind. */
export interface Reference {
  /** Undefined: of the kind that `kindColumn` names. */
  refersTo?: string;
  table: string;
  column: string;
  kindColumn?: string;
  /** The column that says whose the record is to which it refers. */
  ownerColumn?: string;
  /** A column beside which a record stands once: what would stand twice stays with the loser, and so is hidden. */
  once?: string;
  /** What happened to a row whose reference was moved. Without it the row has neither version nor time of its change. */
  event?: (row: AnyRow) => { type: string; kind: string; owners: (string | null)[]; data: unknown };
}

/** A call of a record's handler. */
export interface RecordContext<P = unknown> extends Caller {
  params: P;
  locals: Locals;
}

type Input = Readonly<Record<string, unknown>>;

/** Makes an input of a file's row such as a caller could give, with what callers may not give as columns that a new record gets. Pure. */
export type ImportReader<R extends AnyRow> = (input: Input) => {
  input: Input;
  own?: Partial<R>;
  /** Why the row is refused. */
  problems?: readonly FieldError[];
  /** What of the row does not come in, and why. */
  notes?: readonly string[];
};

/** What a kind decides by itself; each may be left out. */
export interface RecordRules<R extends AnyRow, P> {
  /**
   * What must be known before the transaction: settings, other services, actors. Nothing is held yet.
   * @param fresh rows that are about to be made, not completed yet; none for a change
   * @param changes what is about to change records that are there, in the form that is stored; default none
   */
  prepare?(ctx: RecordContext, fresh: readonly R[], changes?: readonly Input[]): Promise<P>;
  /**
   * As `prepare`, of a record that an upsert makes or changes: what a new one takes that cannot be given back is taken only where a
   * look says that it will be new. @param isExpected whether the caller has seen it, so that it is never made
   */
  prepareUpsert?(ctx: RecordContext, fresh: R, isExpected: boolean): Promise<P>;
  /** Before records of an upsert or an import are made after all. @throws what hinders it */
  requireNew?(prepared: P, rows: readonly R[]): void;
  /**
   * As `prepare`, of a batch of an import.
   * @param look which records the batch will make, as things stand and as far as that is known by then; none of a dry run
   * @param inputs of its rows that are not refused yet
   */
  prepareImport?(
    ctx: RecordContext,
    look: (known: P) => Promise<readonly R[]>,
    inputs: readonly Input[],
  ): Promise<P>;
  /** As `prepare`, of the rows of a file: how each is read before it is judged as a caller's input would be. */
  importReader?(ctx: RecordContext): Promise<ImportReader<R>>;
  /** Completes a new row, with what is computed of it. Pure. */
  complete?(row: R, prepared: P): R;
  /** A row to which the rollback of an import gives back what it had. Pure. Default: `complete`. */
  turnedBack?(row: R, prepared: P): R;
  /** Pure. @throws 409 when the record may not change so */
  decide?(before: R, change: Change<R>, prepared: P, principal: Principal): Change<R>;
  /** Puts right a record that comes back, where what it named is gone. Pure. Default: as it was. */
  restored?(row: R, prepared: P): R;
  /** Verbs of the events that a change records, one event each. Default `["updated"]`. */
  verbs?(change: Change<R>): readonly string[];
  /**
   * Further writes, events and jobs in the record's transaction: when it is made, changed or restored, also by bulk, upsert and import. It
   * does not hear of deletions, merges and their undoing, and rollbacks. `before` is null for a new record, and deleted for one that is
   * restored.
   */
  also?(tx: UnitOfWork, before: R | null, change: Change<R>, prepared: P): void | Promise<void>;
}

/** What the handlers of one kind need: its declaration, store, shared dependencies and rules. */
export interface Counter<R extends AnyRow = AnyRow, P = unknown> {
  kind: AnyKind;
  store: Store<R>;
  desk: RecordDesk;
  rules: RecordRules<R, P>;
}

/**
 * Records what happened to a record.
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
    fields,
  }: {
    kind: AnyKind;
    /** `created`, `updated`, `deleted`, `restored`, `merged`, or one of the kind's own. */
    verb: string;
    row: AnyRow;
    actorId: string | null;
    changes?: Changes;
    /** What the event says besides, such as what a merge made one. */
    more?: Record<string, unknown>;
    /** Leaves out what belongs to custom fields that are deleted. */
    fields?: CallFields;
  },
): void {
  const change = kind.owner === undefined ? undefined : changes?.[kind.owner];
  if (change) followOwner(tx, kind.name, row.id, change[1]);
  tx.record({
    type: `${kind.name}.${verb}`,
    entity: { kind: kind.name, id: row.id, version: row.version },
    actorId,
    audience:
      kind.owners.length === 0
        ? null
        : audienceOf(...ownersOf(kind, row), change?.[0] as string | null | undefined),
    data: {
      record: fields ? fields.hide(kind.show(row)) : kind.show(row),
      ...(changes && { changes }),
      ...more,
    },
  });
}

/** Whose a record is; nobody's: null. */
export function ownersOf({ owners }: Pick<AnyKind, "owners">, row: AnyRow): (string | null)[] {
  const users = usersOf(owners, row);
  return users.length === 0 ? [null] : users;
}
