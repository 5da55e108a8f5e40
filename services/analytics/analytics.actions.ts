import { badQueryField } from "../../mixins/contract/errors.ts";
import type { Ctx, Result } from "../contracts.ts";
import type { Grouping } from "./analytics.contract.ts";
import { everyDay, periodOf, type Period } from "./analytics.rules.ts";
import { findFigures, type LeadFigures } from "./lead-days.repository.ts";
import { readRefresh } from "./refreshes.repository.ts";

/** Most rows of an answer: with the longest names it still fits into the 1 MiB that NATS carries. */
const mostRows: Record<Grouping, number> = { none: 366, source: 2_000, assignedTo: 5_000 };

/** Captures and conversions of each day, of the leads the caller may see. @throws 400 for a period that is wrong or holds too much */
export async function leadsPerDay(
  ctx: Ctx<"analytics.leadsPerDay">,
): Promise<Result<"analytics.leadsPerDay">> {
  const { rows, period, refreshedAt } = await figuresOf(ctx, ["day"]);
  const data = rows.map(({ converted: _, ...row }) => row);
  if (ctx.params.groupBy !== "none") return { data, refreshedAt };
  return { data: everyDay(period, data, (day) => ({ day, captured: 0, conversions: 0 })), refreshedAt };
}

/** What became of the leads captured in a period, of those the caller may see. @throws 400 as leadsPerDay */
export async function conversion(ctx: Ctx<"analytics.conversion">): Promise<Result<"analytics.conversion">> {
  const { rows, refreshedAt } = await figuresOf(ctx, []);
  // a group may have conversions alone, of leads captured before
  const known = ctx.params.groupBy === "none" ? rows : rows.filter(({ captured }) => captured > 0);
  const data = known.map(({ conversions: _, ...row }) => ({
    ...row,
    rate: row.captured === 0 ? null : row.converted / row.captured,
  }));
  return { data, refreshedAt };
}

async function figuresOf(
  ctx: Ctx<"analytics.leadsPerDay" | "analytics.conversion">,
  by: "day"[],
): Promise<{ rows: LeadFigures[]; period: Period; refreshedAt: string | null }> {
  const { tx, principal } = ctx.locals;
  const { groupBy } = ctx.params;
  const { refreshedAt, today } = await readRefresh(tx);
  const period = periodOf(ctx.params, today);
  const most = mostRows[groupBy];
  const rows = await findFigures(tx, principal, {
    period,
    by: groupBy === "none" ? by : [...by, groupBy],
    limit: most + 1,
  });
  if (rows.length > most)
    throw badQueryField("from", "too_many_rows", `choose fewer days: these have more than ${most} rows`);
  return { rows, period, refreshedAt };
}
