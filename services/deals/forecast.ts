import { pipeline, type PipelineRow, type Stage } from "../../entities/pipeline.ts";
import type { Runtime } from "../../mixins/contract/service.ts";
import { dayIn, instantIn, localDaySql, offsetsOf } from "../../mixins/contract/time-zone.ts";
import { Values } from "../../mixins/records/finding/listing.ts";
import { visibleTo } from "../../mixins/records/handlers/crud.ts";
import type { Counter } from "../../mixins/records/writing/desk.ts";
import { storeOf } from "../../mixins/records/writing/store.ts";
import { divided } from "../../mixins/sales/line-items.ts";
import { addedUp, type RateCache, type Rates } from "../../mixins/sales/rates.ts";
import type { Ctx, Result } from "../contracts.ts";

const pipelines = storeOf<PipelineRow>(pipeline);
/** Of how many months won deals are told where no first one is given. */
const wonMonths = 12;

/** No deal has a later one. */
const lastTime = Date.parse("9999-12-31T23:59:59.999Z");

/** What deals of one stage add up to that count in one row. */
interface Sum {
  key: string | null;
  stage_id: string;
  status: "open" | "won";
  currency: string;
  place: number;
  units: string;
  count: number;
}

/**
 * What open deals of a pipeline are likely to bring, and what was won: one statement besides the pipeline's, over an index. What the
 * caller does not see counts in nothing.
 */
export async function forecast(
  ctx: Ctx<"deals.forecast">,
  counter: Counter,
  { rates: rateCache, organizations }: { rates: RateCache } & Pick<Runtime, "organizations">,
): Promise<Result<"deals.forecast">> {
  const { principal, tx } = ctx.locals;
  const { id, by } = ctx.params;
  const [rates, { timeZone }] = await Promise.all([
    rateCache.of(principal.organizationId),
    organizations.of(principal.organizationId),
  ]);
  const row = await pipelines.get(tx, principal, id);
  const sums = await tx.query<Sum & Record<string, unknown>>(statement(ctx, counter, { rates, timeZone }));
  const stages = new Map([...row.removed_stages, ...row.stages].map((one) => [one.id, one]));
  const rows = [...Map.groupBy(sums, ({ key }) => key)].map(([key, own]) => ({
    ...(by === "month" ? { month: key } : { ownerId: key }),
    ...figuresOf(own, stages, rates),
  }));
  // what has no date, or nobody, comes last
  const place = ({ month, ownerId }: { month?: string | null; ownerId?: string | null }) =>
    month ?? ownerId ?? "~";
  const data = rows.sort((a, b) => (place(a) < place(b) ? -1 : 1));
  return { data, withoutRate: addedUp(sums, rates).withoutRate };
}

function statement(
  { params, locals }: Ctx<"deals.forecast">,
  counter: Counter,
  { rates, timeZone }: { rates: Rates; timeZone: string },
) {
  const { tx, principal } = locals;
  const values = new Values();
  const months = (moment: string, first: number | undefined, last: number | undefined) => [
    ...(first === undefined ? [] : [`${moment} >= ${values.add(new Date(first))}::timestamptz`]),
    ...(last === undefined ? [] : [`${moment} < ${values.add(new Date(last))}::timestamptz`]),
  ];
  const first = params.from === undefined ? undefined : beginOf(timeZone, params.from);
  const last = params.to === undefined ? undefined : beginOf(timeZone, params.to, 1);
  const wonFrom = first ?? beginOf(timeZone, dayIn(timeZone, tx.now), 1 - wonMonths);
  const select = (status: Sum["status"], moment: string, since: number | undefined) => {
    const key = params.by === "owner" ? "owner_id::text" : monthSql(moment, timeZone, tx.now, values);
    const conditions = [
      ...visibleTo(counter, principal)(values),
      `pipeline_id = ${values.add(params.id)}::uuid`,
      `status = '${status}'`,
      "amount IS NOT NULL",
      ...months(moment, since, last),
    ];
    return `SELECT ${key} AS key, stage_id, status, amount_currency, ${rates.placeSql(values, tx.now)} AS place, amount
      FROM deals WHERE ${conditions.join(" AND ")}`;
  };
  const open = select("open", "expected_close_at", first);
  const won = select("won", "closed_at", wonFrom);
  return {
    text: `SELECT key, stage_id, status, amount_currency AS currency, place, sum(amount)::text AS units, count(*)::int AS count
      FROM (${open} UNION ALL ${won}) AS told GROUP BY key, stage_id, status, amount_currency, place`,
    values: values.list,
  };
}

function monthSql(moment: string, timeZone: string, now: Date, values: Values): string {
  const { from, seconds } = offsetsOf(timeZone, now);
  return `to_char(${localDaySql(moment, values.add(from), values.add(seconds))}, 'FMYYYY-MM')`;
}

/** The instant, in ms since 1970, at which a month begins in a zone. @param later so many months after it */
function beginOf(zone: string, month: string, later = 0): number {
  const [year = 0, number = 1] = month.split("-").map(Number);
  // years under 100 are years
  const local = new Date(0);
  local.setUTCFullYear(year, number - 1 + later, 1);
  return Math.min(instantIn(zone, local.getTime()), lastTime);
}

function figuresOf(sums: readonly Sum[], stages: ReadonlyMap<string, Stage>, rates: Rates) {
  const all = { weighted: 0n, bestCase: 0n, commit: 0n, won: 0n };
  for (const sum of sums) {
    const units = rates.unitsOf(sum);
    if (units === undefined) continue;
    if (sum.status === "won") {
      all.won += units;
      continue;
    }
    const { probability = 0, forecastCategory = "omitted" } = stages.get(sum.stage_id) ?? {};
    if (forecastCategory === "omitted") continue;
    all.weighted += divided(units * BigInt(probability), 100n);
    if (forecastCategory !== "pipeline") all[forecastCategory] += units;
  }
  return {
    weighted: rates.moneyOf(all.weighted),
    bestCase: rates.moneyOf(all.bestCase),
    commit: rates.moneyOf(all.commit),
    won: rates.moneyOf(all.won),
  };
}
