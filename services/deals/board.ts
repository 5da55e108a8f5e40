import { deal, type DealRow, type DealView } from "../../entities/deal.ts";
import { pipeline, type PipelineRow, type Stage } from "../../entities/pipeline.ts";
import { badQueryField } from "../../mixins/contract/errors.ts";
import { pageBytes } from "../../mixins/database/statement.ts";
import type { CallFields } from "../../mixins/records/custom/of-call.ts";
import { decodeCursor, encodeCursor } from "../../mixins/records/finding/cursor.ts";
import type { Counter } from "../../mixins/records/writing/desk.ts";
import { fieldsOf, visibleTo } from "../../mixins/records/handlers/crud.ts";
import { allMatching, matchConditions, Values } from "../../mixins/records/finding/listing.ts";
import { storeOf } from "../../mixins/records/writing/store.ts";
import { addedUp, type RateCache, type Rates } from "../../mixins/sales/rates.ts";
import type { Ctx, Result } from "../contracts.ts";

type BoardContext = Ctx<"deals.board">;
const pipelines = storeOf<PipelineRow>(pipeline);

/** How much lies in a stage, in one currency. */
interface Sum {
  stage_id: string;
  count: number;
  currency: string | null;
  /** Minor units. */
  amount: string | null;
  /** Of the currency's rates the one that holds, see mixins/sales/rates.ts. */
  place: number;
}

/**
 * A pipeline's deals by stage. Two statements besides the pipeline's: one counts and adds up, one brings the first cards of each
 * stage, in the order of an index.
 */
export async function board(
  ctx: BoardContext,
  counter: Counter,
  rateCache: RateCache,
): Promise<Result<"deals.board">> {
  const { principal, tx } = ctx.locals;
  const { id, stageId, limit, cursor, isRotting, ...asked } = ctx.params;
  const fields = await fieldsOf(counter, ctx);
  const rates = await rateCache.of(principal.organizationId);
  const row = await pipelines.get(tx, principal, id);
  const removed = new Set(row.removed_stages.map((one) => one.id));
  const stages: readonly Stage[] = [
    ...row.stages,
    ...row.removed_stages.map(({ removedAt: _at, ...one }) => one),
  ];
  const wanted = stages.filter((one) => stageId === undefined || one.id === stageId);
  if (wanted.length === 0 && stageId !== undefined)
    throw badQueryField("stageId", "unknown_stage", `is not a stage of ${row.name}`);
  const bound = (of: string) => [
    "board",
    id,
    of,
    asked.filter ?? {},
    asked.where ?? null,
    asked.q ?? null,
    isRotting,
  ];
  const after = cursor === undefined ? undefined : decodeCursor(bound(stageId ?? ""), cursor, 2);
  const of = { counter, ctx, fields, rates, asked, stages: wanted, isRotting };
  const [sums, { rows, isCut }] = await Promise.all([
    tx.query<Sum>(sumsStatement(of)),
    tx.queryWithin<DealRow & { id: string }>({
      ...cardsStatement(of, limit + 1, after),
      mostBytes: 4 * pageBytes,
    }),
    fields.requireKnown(tx, asked),
  ]);
  const shown = (await fields.show(
    tx,
    rows.map((one) => deal.show(one) as { id: string }),
  )) as DealView[];
  const lastShown = rows.at(-1)?.stage_id;
  let isBeyond = false;
  const columns = wanted.map((one) => {
    const ofStage = sums.filter((sum) => sum.stage_id === one.id);
    const count = ofStage.reduce((all, sum) => all + sum.count, 0);
    const cards = shown
      .filter((card) => card.stageId === one.id)
      .map((card) => ({ ...card, rottingSince: rottingSince(card, one, tx.now) }));
    // where the answer was cut, this stage or a later one has more
    const hasMore = cards.length > limit || (isCut && (one.id === lastShown || (isBeyond && count > 0)));
    isBeyond ||= one.id === lastShown;
    const page = cards.slice(0, limit);
    const last = page.at(-1);
    return {
      ...{ stage: one, isRemoved: removed.has(one.id), count, cards: page },
      ...addedUp(ofStage.flatMap(inMoney), rates),
      nextCursor: hasMore ? encodeCursor(bound(one.id), [last?.position ?? "", last?.id ?? nil]) : null,
    };
  });
  return { columns: columns.filter(({ isRemoved, count }) => !isRemoved || count > 0) };
}
const inMoney = ({ currency, amount, ...rest }: Sum) =>
  currency === null || amount === null ? [] : [{ ...rest, currency, units: amount }];
const nil = "00000000-0000-0000-0000-000000000000";

interface Asked {
  counter: Counter;
  ctx: BoardContext;
  fields: CallFields;
  rates: Rates;
  asked: Pick<BoardContext["params"], "filter" | "where" | "q">;
  stages: readonly Stage[];
  isRotting: boolean;
}

/** What the deals of a board must be, whatever their stage. */
function conditionsOf(of: Asked, values: Values): string {
  const { counter, ctx, fields, asked, stages, isRotting } = of;
  const { principal, tx } = ctx.locals;
  const listing = fields.listing(deal.listing, asked);
  const matching = matchConditions(listing, asked, values, tx.timeZone);
  return [
    ...visibleTo(counter, principal)(values),
    ...allMatching(matching),
    ...(isRotting ? [rotting(stages, tx.now, values)] : []),
  ].join(" AND ");
}

/** Of deals that are in their stage for longer than it says. */
function rotting(stages: readonly Stage[], now: Date, values: Values): string {
  const some = stages.flatMap(({ id, rottingDays, kind }) =>
    rottingDays === null || kind !== "open"
      ? []
      : [
          `(stage_id = ${values.add(id)}::uuid AND stage_entered_at <= ${values.add(new Date(now.getTime() - rottingDays * dayMs))}::timestamptz)`,
        ],
  );
  return some.length === 0 ? "false" : `(${some.join(" OR ")})`;
}
const dayMs = 86_400_000;

/** Since when a deal is in its stage for longer than that says; null where it is not. */
function rottingSince({ stageEnteredAt }: DealView, { rottingDays, kind }: Stage, now: Date): string | null {
  if (rottingDays === null || kind !== "open") return null;
  const since = Date.parse(stageEnteredAt) + rottingDays * dayMs;
  return since <= now.getTime() ? new Date(since).toISOString() : null;
}

function sumsStatement(of: Asked) {
  const values = new Values();
  const conditions = conditionsOf(of, values);
  const place = of.rates.placeSql(values, of.ctx.locals.tx.now);
  return {
    text: `SELECT stage_id, count(*)::int AS count, amount_currency AS currency, ${place} AS place, sum(amount)::text AS amount
      FROM deals WHERE stage_id = ANY (${values.add(of.stages.map(({ id }) => id))}::uuid[]) AND ${conditions}
      GROUP BY stage_id, amount_currency, 4`,
    values: values.list,
  };
}

function cardsStatement(of: Asked, limit: number, after: readonly unknown[] | undefined) {
  const values = new Values();
  const conditions = conditionsOf(of, values);
  const beyond =
    after === undefined
      ? ""
      : `AND (position, id) > (${values.add(after[0])}, ${values.add(after[1])}::uuid)`;
  return {
    text: `SELECT card.* FROM unnest(${values.add(of.stages.map(({ id }) => id))}::uuid[]) WITH ORDINALITY AS asked (asked_stage, place)
      CROSS JOIN LATERAL (SELECT ${deal.columns.join(", ")} FROM deals
        WHERE stage_id = asked_stage AND ${conditions} ${beyond} ORDER BY position, id LIMIT ${limit}) AS card
      ORDER BY place, card.position, card.id`,
    values: values.list,
  };
}
