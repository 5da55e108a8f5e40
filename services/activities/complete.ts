import type { ActivityRow, ActivityView } from "../../entities/activity.ts";
import { lockedToChange, storeChange } from "../../mixins/records/handlers/crud.ts";
import type { Counter } from "../../mixins/records/writing/desk.ts";
import type { Ctx } from "../contracts.ts";
import type { Prepared } from "./activities.records.ts";

/** Says that an activity is done. Of two at once the second finds it done, and changes nothing. */
export async function complete(
  ctx: Ctx<"activities.complete">,
  counter: Counter<ActivityRow, Prepared>,
): Promise<ActivityView> {
  const { before, prepared, writing } = await lockedToChange(counter, ctx);
  const completedAt = before.completed_at ?? writing.tx.now.toISOString();
  const change = { input: { completedAt }, apart: new Map() };
  return (await storeChange(counter, writing, before, change, prepared)) as ActivityView;
}
