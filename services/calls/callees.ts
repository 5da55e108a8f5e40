import { can, canSee, sightOf, type Principal } from "../../mixins/access/principal.ts";
import { visibleRows } from "../../mixins/access/visibility.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { columnOf, type Values } from "../../mixins/records/finding/listing.ts";
import type { AnyKind } from "../../mixins/records/kind/kind.ts";
import { kinds } from "../../mixins/records/kind/kinds.ts";

/** A kind whose records have a phone, and the column that holds it. */
export interface Callable {
  kind: AnyKind;
  phone: string;
}

/** Kinds of record that can be called, by name. */
export function callableKinds(): ReadonlyMap<string, Callable> {
  return new Map(
    [...kinds.values()].flatMap((kind): [string, Callable][] => {
      const phone = Object.entries(kind.fields).find(([, { format }]) => format === "phone")?.[0];
      return phone === undefined ? [] : [[kind.name, { kind, phone: columnOf(phone) }]];
    }),
  );
}

/** A record that is called. */
export interface Callee {
  phone: string | null;
  owner: string | null;
  isDeleted: boolean;
}

/** Whether a principal may read such records, and sees this one. */
export const maySee = (principal: Principal, { kind }: Callable, { owner, isDeleted }: Callee): boolean =>
  !isDeleted
  && can(principal, `${kind.plural}:read`)
  && (kind.owner === undefined || canSee(principal, { assignedTo: owner }));

/** The record of a call as it is now, whoever sees it; undefined where there is none. */
export async function findCallee(
  tx: Pick<UnitOfWork, "query">,
  { kind, phone }: Callable,
  id: string,
): Promise<Callee | undefined> {
  const owner = kind.owner === undefined ? "NULL::uuid" : columnOf(kind.owner);
  const [row] = await tx.query<Callee & Record<string, unknown>>({
    name: `callee_${kind.name}`,
    text: `SELECT ${phone} AS phone, ${owner} AS owner, deleted_at IS NOT NULL AS "isDeleted" FROM ${kind.table} WHERE id = $1`,
    values: [id],
  });
  return row;
}

/**
 * Which calls a principal sees: of queues that are not deleted and records that are not; those of queues that they are members of, that
 * they have claimed or made, and those of records that they see. Who sees all sees numbers without a record too.
 */
export const callsSeenBy =
  (principal: Principal) =>
  (values: Values): string[] => {
    const callable = [...callableKinds().values()];
    const there = [
      "EXISTS (SELECT FROM call_queues q WHERE q.id = calls.queue_id AND q.deleted_at IS NULL)",
      ...callable.map(
        ({ kind }) =>
          `(calls.kind IS DISTINCT FROM '${kind.name}' OR EXISTS (SELECT FROM ${kind.table} r WHERE r.id = calls.record_id AND r.deleted_at IS NULL))`,
      ),
    ];
    const readable = callable.filter(({ kind }) => can(principal, `${kind.plural}:read`));
    const seesAll = sightOf(principal) === "all";
    if (seesAll && readable.length === callable.length) return there;
    const me = `${values.add(principal.userId)}::uuid`;
    const ways = [
      `calls.claimed_by = ${me}`,
      `calls.created_by = ${me}`,
      `calls.queue_id IN (SELECT q.id FROM call_queues q WHERE jsonb_exists(q.members, ${me}::text))`,
      ...(seesAll ? ["calls.kind IS NULL"] : []),
      ...readable.map(({ kind }) => {
        const seen = kind.owner === undefined ? [] : visibleRows(principal, values, columnOf(kind.owner));
        return seen.length === 0
          ? `calls.kind = '${kind.name}'`
          : `calls.record_id IN (SELECT r.id FROM ${kind.table} r WHERE ${seen.join(" AND ")} AND r.deleted_at IS NULL)`;
      }),
    ];
    return [`(${ways.join(" OR ")})`, ...there];
  };
