import type { CallQueueRow } from "../../entities/call-queue.ts";
import type { Principal } from "../../mixins/access/principal.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { Values } from "../../mixins/records/finding/listing.ts";
import { audienceOf } from "../../mixins/records/writing/ownership.ts";
import { record, type Events } from "../contracts.ts";
import type { CallView, callStatuses, closedReasons } from "./calls.contract.ts";
import { callNotFound } from "./calls.errors.ts";
import { callableKinds, callsSeenBy, findCallee } from "./callees.ts";
import { zonesIn, type Zone } from "./hours.rules.ts";

/** A row of `calls`; times are ISO 8601 in UTC. */
export interface CallRow {
  id: string;
  version: number;
  created_at: string;
  updated_at: string;
  queue_id: string;
  kind: string | null;
  record_id: string | null;
  phone: string;
  is_phone_given: boolean;
  zone: string;
  zone_from: Zone["from"];
  priority: number;
  not_before: string;
  not_after: string | null;
  status: (typeof callStatuses)[number];
  attempts: number;
  claimed_by: string | null;
  claimed_at: string | null;
  claim_ends_at: string | null;
  outcome: string | null;
  notes: string | null;
  closed_reason: (typeof closedReasons)[number] | null;
  closed_at: string | null;
  created_by: string | null;
}
export const callColumns = [
  ...[
    "id",
    "version",
    "created_at",
    "updated_at",
    "queue_id",
    "kind",
    "record_id",
    "phone",
    "is_phone_given",
  ],
  ...["zone", "zone_from", "priority", "not_before", "not_after", "status", "attempts", "claimed_by"],
  ...["claimed_at", "claim_ends_at", "outcome", "notes", "closed_reason", "closed_at", "created_by"],
] as const;
const listed = callColumns.join(", ");

export const callView = (row: CallRow): CallView => ({
  id: row.id,
  queueId: row.queue_id,
  kind: row.kind,
  recordId: row.record_id,
  phone: row.phone,
  // of a list that leaves it out there is none
  timeZones: row.zone === undefined ? [] : [...zonesIn(row.zone)],
  timeZoneFrom: row.zone_from,
  priority: row.priority,
  notBefore: row.not_before,
  notAfter: row.not_after,
  status: row.status,
  attempts: row.attempts,
  claimedBy: row.claimed_by,
  claimedAt: row.claimed_at,
  claimEndsAt: row.claim_ends_at,
  outcome: row.outcome,
  notes: row.notes,
  closedReason: row.closed_reason,
  closedAt: row.closed_at,
  createdBy: row.created_by,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  version: row.version,
});

/** A call that the principal sees. @throws 404 */
export async function getSeen(
  tx: Pick<UnitOfWork, "query">,
  principal: Principal,
  id: string,
): Promise<CallRow> {
  const values = new Values();
  const conditions = [`id = ${values.add(id)}`, ...callsSeenBy(principal)(values)];
  const [row] = await tx.query<CallRow & Record<string, unknown>>({
    text: `SELECT ${listed} FROM calls WHERE ${conditions.join(" AND ")}`,
    values: values.list,
  });
  if (!row) throw callNotFound();
  return row;
}

/** One call as it is, whoever sees it, that nobody else changes until the end of the transaction. */
export async function lockCall(tx: UnitOfWork, id: string): Promise<CallRow | undefined> {
  const [row] = await tx.query<CallRow & Record<string, unknown>>({
    name: "lock_call",
    text: `SELECT ${listed} FROM calls WHERE id = $1 FOR NO KEY UPDATE`,
    values: [id],
  });
  return row;
}

export type Queue = Pick<
  CallQueueRow,
  "id" | "members" | "window_" | "retry" | "claim_seconds" | "expires_after_days"
>;
/** A queue that is not deleted. */
export async function findQueue(tx: Pick<UnitOfWork, "query">, id: string): Promise<Queue | undefined> {
  const [row] = await tx.query<Queue & Record<string, unknown>>({
    name: "find_call_queue",
    text: `SELECT id, members, window_, retry, claim_seconds, expires_after_days FROM call_queues
      WHERE id = $1 AND deleted_at IS NULL`,
    values: [id],
  });
  return row;
}

/** The call that would be next, of those in one zone. */
export interface Head {
  id: string;
  zone: string;
  priority: number;
  not_before: string;
}

/**
 * The first call of each zone and priority that waits in a queue and whose time has come. It goes from one such line to the next by the
 * index, so that what it takes depends on how many of them there are, and not on how many calls.
 */
export const headsOf = (tx: UnitOfWork, queueId: string): Promise<Head[]> =>
  tx.query<Head & Record<string, unknown>>({
    name: "heads_of_call_queue",
    text: `WITH RECURSIVE lines AS (
        (SELECT zone, priority FROM calls WHERE queue_id = $1 AND status = 'waiting' ORDER BY zone, priority LIMIT 1)
        UNION ALL
        SELECT next.* FROM lines l CROSS JOIN LATERAL (SELECT c.zone, c.priority FROM calls c
          WHERE c.queue_id = $1 AND c.status = 'waiting' AND (c.zone, c.priority) > (l.zone, l.priority)
          ORDER BY c.zone, c.priority LIMIT 1) AS next
      )
      SELECT head.* FROM lines l CROSS JOIN LATERAL (SELECT c.id, c.zone, c.priority, c.not_before FROM calls c
        WHERE c.queue_id = $1 AND c.status = 'waiting' AND c.zone = l.zone AND c.priority = l.priority AND c.not_before <= $2
        ORDER BY c.not_before, c.id LIMIT 1) AS head`,
    values: [queueId, tx.now],
  });

/** The call that a member has in hand, in whatever queue. */
export async function openCallOf(tx: UnitOfWork, userId: string): Promise<string | undefined> {
  const [row] = await tx.query<{ id: string }>({
    name: "open_call_of",
    text: "SELECT id FROM calls WHERE claimed_by = $1 AND status = 'claimed'",
    values: [userId],
  });
  return row?.id;
}

export function insertCall(tx: UnitOfWork, row: CallRow): void {
  tx.defer({
    name: "insert_call",
    text: `INSERT INTO calls (organization_id, ${listed}) SELECT $1::uuid, ${listed} FROM json_populate_record(NULL::calls, $2)`,
    values: [tx.organizationId, JSON.stringify(row)],
  });
}

const changing = callColumns.filter((column) => !["id", "created_at", "queue_id"].includes(column));
/** A locked call as it is after a change, and what writes it. */
export function changeCall(tx: UnitOfWork, before: CallRow, change: Partial<CallRow>) {
  const row: CallRow = {
    ...before,
    ...change,
    version: before.version + 1,
    updated_at: tx.now.toISOString(),
  };
  const statement = {
    name: "update_call",
    text: `UPDATE calls SET (${changing.join(", ")}) = ROW (${changing.map((column) => `new.${column}`).join(", ")})
      FROM json_populate_record(NULL::calls, $1) AS new WHERE calls.id = new.id`,
    values: [JSON.stringify(row)],
  };
  return { row, statement };
}

/** What a call is when nobody has it any more. */
export const unclaimed = { claimed_by: null, claimed_at: null, claim_ends_at: null };

interface Told {
  members: readonly string[];
  actorId: string | null;
  /** Of the record, where it was looked at already. */
  owner?: string | null | undefined;
}
/** Tells members of the queue, and who sees the record, what happened to a call. */
export async function announce(
  tx: UnitOfWork,
  type: keyof Events & `call.${string}`,
  row: CallRow,
  { members, actorId, owner }: Told,
): Promise<void> {
  const callable = row.kind === null ? undefined : callableKinds().get(row.kind);
  const ofRecord =
    owner === undefined && callable !== undefined && row.record_id !== null
      ? (await findCallee(tx, callable, row.record_id))?.owner
      : owner;
  record(tx, {
    type,
    entity: { kind: "call", id: row.id, version: row.version },
    actorId,
    audience: audienceOf(...members, row.created_by ?? undefined, ofRecord),
    data: { call: callView(row) },
  });
}
