import type { ActivityRow, ActivityView } from "../../entities/activity.ts";
import { fieldsOf, storeChange } from "../../mixins/records/handlers/crud.ts";
import type { Counter } from "../../mixins/records/writing/desk.ts";
import { requireVersion } from "../../mixins/records/writing/input.ts";
import type { Ctx } from "../contracts.ts";
import type { Prepared } from "./activities.records.ts";

/** Says that an activity is done. Of two at once the second finds it done, and changes nothing. */
export async function complete(
  ctx: Ctx<"activities.complete">,
  counter: Counter<ActivityRow, Prepared>,
): Promise<ActivityView> {
  const { principal, tx } = ctx.locals;
  const { id, expectedVersion } = ctx.params;
  const fields = await fieldsOf(counter, ctx as never);
  const prepared = (await counter.rules.prepare?.(ctx as never, [])) as Prepared;
  const before = await counter.store.lock(tx, principal, id);
  requireVersion(before, expectedVersion);
  const completedAt = before.completed_at ?? tx.now.toISOString();
  const change = { input: { completedAt }, apart: new Map() };
  return (await storeChange(counter, { tx, principal, fields }, before, change, prepared)) as ActivityView;
}
