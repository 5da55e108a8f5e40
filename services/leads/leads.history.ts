import { pageOfEvents, timelineItem } from "../../mixins/records/record-events.ts";
import { pageOfTwins } from "../../mixins/records/twins.ts";
import type { Ctx, Result } from "../contracts.ts";
import { leadFields, type Desk } from "./desk.ts";
import type { LeadView } from "./lead.schemas.ts";
import { leadColumns } from "./lead-row.ts";
import { visibleTo } from "./leads.actions.ts";
import { getLead } from "./leads.repository.ts";
import { leadView } from "./leads.view.ts";

/** What happened to a lead, newest first. */
export async function timeline(ctx: Ctx<"leads.timeline">): Promise<Result<"leads.timeline">> {
  const { principal, tx } = ctx.locals;
  const [, page] = await Promise.all([
    getLead(tx, principal, ctx.params.id),
    pageOfEvents(tx, "lead", ctx.params, "timeline", timelineItem),
  ]);
  return page;
}

const keys = ["email", "phone"] as const;

/** Other leads with the same email or phone, oldest first. */
export async function duplicates(
  ctx: Ctx<"leads.duplicates">,
  desk: Desk,
): Promise<Result<"leads.duplicates">> {
  const { principal, tx } = ctx.locals;
  const fields = await leadFields(ctx, desk);
  const lead = await getLead(tx, principal, ctx.params.id);
  const of = { table: "leads", columns: leadColumns, keys, where: visibleTo(principal) };
  const { rows, page } = await pageOfTwins(tx, { ...lead }, of, ctx.params);
  const shown = await fields.show(
    tx,
    rows.map(({ row }) => leadView(row)),
  );
  return {
    data: rows.map(({ matchedBy }, index) => ({
      lead: shown[index] as LeadView,
      matchedBy: matchedBy as (typeof keys)[number][],
    })),
    page,
  };
}
