import type { CallQueueRow } from "../../entities/call-queue.ts";
import { requireSight } from "../../mixins/access/reach.ts";
import { appError, invalidField } from "../../mixins/contract/errors.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { RecordDesk, RecordRules } from "../../mixins/records/writing/desk.ts";

/** What call queues decide by themselves: their members are active users, and nobody joins those whose records they do not see. */
export const callQueueRules = (desk: RecordDesk): RecordRules<CallQueueRow, undefined> => ({
  async prepare(ctx) {
    const { members = [] } = ctx.params as { members?: string[] };
    const active = await desk.users.among(ctx, members);
    const unknown = members.findIndex((userId) => !active.has(userId));
    if (unknown !== -1)
      throw invalidField(`members.${unknown}`, "not_found", "is not an active user of the organization");
    return undefined;
  },
  decide(before, change, _prepared, principal) {
    // a member sees what waits in the queue
    if ("members" in change.changes) requireSight(principal, [...before.members, ...change.row.members]);
    return change;
  },
});

/** Refuses to delete what calls wait in. The queue is locked. @throws 409 IN_USE */
export async function requireUnused(tx: UnitOfWork, id: string): Promise<void> {
  const [counted] = await tx.query<{ uses: number }>({
    text: "SELECT count(*)::int AS uses FROM calls WHERE queue_id = $1 AND status IN ('waiting', 'claimed')",
    values: [id],
  });
  const uses = counted?.uses ?? 0;
  if (uses > 0)
    throw appError(
      409,
      "IN_USE",
      `${uses} calls wait in this queue; force removes it nevertheless, and nobody can make them until it is restored.`,
      { uses },
    );
}
