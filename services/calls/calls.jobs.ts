import type { Database } from "../../mixins/database/database.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { enqueue, type JobCtx } from "../contracts.ts";
import { announce, callColumns, changeCall, unclaimed, type CallRow } from "./calls.repository.ts";
import { callableKinds } from "./callees.ts";

const atOnce = 500;
/** How long after its end a claim is still the reminder's to give back. */
const graceSeconds = 60;

/** Adds a job for each organization that has calls to be put in order. */
export async function findStale(_ctx: JobCtx<"calls.findStale">, database: Database): Promise<void> {
  await database.eachShard((shard) =>
    database.transaction(shard, async (tx) => {
      const found = await tx.query<{ organization_id: string }>({
        // in any order: those that are suspended stay as they are, and must not stand before the others for ever
        text: `SELECT organization_id FROM (
            SELECT organization_id FROM calls WHERE status = 'claimed' AND claim_ends_at < now() - interval '${graceSeconds} s'
            UNION SELECT organization_id FROM calls WHERE status IN ('waiting', 'held') AND not_after <= now()
            UNION SELECT organization_id FROM calls WHERE status = 'held'
          ) AS stale ORDER BY random() LIMIT 10000`,
      });
      for (const { organization_id: organizationId } of found)
        enqueue(tx, "calls.putInOrder", {}, { key: "stale", organizationId });
    }),
  );
}

/**
 * What reminders and claims have left: claims that are over are given back, calls whose time is over are closed, those whose record is
 * there again wait again. Repeated, it finds nothing to do.
 */
export async function putInOrder(ctx: JobCtx<"calls.putInOrder">): Promise<void> {
  const { tx } = ctx.locals;
  const now = tx.now.toISOString();
  const isBack = [...callableKinds().values()].map(
    ({ kind }) =>
      `EXISTS (SELECT FROM ${kind.table} r WHERE r.id = c.record_id AND r.deleted_at IS NULL AND c.kind = '${kind.name}')`,
  );
  const [over, expired, back] = [
    await some(tx, `c.status = 'claimed' AND c.claim_ends_at < now() - interval '${graceSeconds} s'`),
    await some(tx, "c.status IN ('waiting', 'held') AND c.not_after <= now()"),
    await some(
      tx,
      `c.status = 'held' AND (c.not_after IS NULL OR c.not_after > now()) AND (${isBack.join(" OR ")})`,
    ),
  ];
  const members = await membersOf(tx, [...over, ...expired]);
  const change = async (row: CallRow, to: Partial<CallRow>, type?: Parameters<typeof announce>[1]) => {
    const changed = changeCall(tx, row, to);
    tx.defer(changed.statement);
    if (type !== undefined)
      await announce(tx, type, changed.row, { members: members.get(row.queue_id) ?? [], actorId: null });
  };
  for (const row of over) await change(row, { status: "waiting", ...unclaimed }, "call.released");
  for (const row of expired)
    await change(row, { status: "closed", closed_reason: "expired", closed_at: now }, "call.closed");
  for (const row of back) await change(row, { status: "waiting" });
  if ([over, expired, back].some(({ length }) => length === atOnce))
    enqueue(tx, "calls.putInOrder", {}, { key: "more" });
}

/** Some calls, which nobody else changes until the end; those that somebody changes now are left to the next run. */
const some = (tx: UnitOfWork, where: string): Promise<CallRow[]> =>
  tx.query<CallRow & Record<string, unknown>>({
    text: `SELECT ${callColumns.map((column) => `c.${column}`).join(", ")} FROM calls c WHERE ${where}
      ORDER BY c.id LIMIT ${atOnce} FOR NO KEY UPDATE SKIP LOCKED`,
  });

async function membersOf(
  tx: UnitOfWork,
  rows: readonly CallRow[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  if (rows.length === 0) return new Map();
  const queues = await tx.query<{ id: string; members: string[] }>({
    text: "SELECT id, members FROM call_queues WHERE id = ANY ($1)",
    values: [[...new Set(rows.map(({ queue_id: id }) => id))]],
  });
  return new Map(queues.map(({ id, members }) => [id, members]));
}
