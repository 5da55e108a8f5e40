import { deal, type DealRow, type DealView } from "../../entities/deal.ts";
import { pipeline, type PipelineRow, type Stage } from "../../entities/pipeline.ts";
import { pageBytes } from "../../mixins/database/statement.ts";
import type { CallFields } from "../../mixins/records/custom/of-call.ts";
import { decodeCursor, encodeCursor } from "../../mixins/records/finding/cursor.ts";
import type { Counter } from "../../mixins/records/writing/desk.ts";
import { fromMinorUnits } from "../../mixins/records/kind/fields.ts";
import { fieldsOf, visibleTo } from "../../mixins/records/handlers/crud.ts";
import { allMatching, matchConditions, Values } from "../../mixins/records/finding/listing.ts";
import { storeOf } from "../../mixins/records/writing/store.ts";
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
}

/**
 * A pipeline's deals by stage. Two statements besides the pipeline's: one counts and adds up, one brings the first cards of each
 * stage, in the order of an index.
 */
export async function board(ctx: BoardContext, counter: Counter): Promise<Result<"deals.board">> {
  const { principal, tx } = ctx.locals;
  const { id, stageId, limit, cursor, ...asked } = ctx.params;
  const fields = await fieldsOf(counter, ctx as never);
  const row = await pipelines.get(tx, principal, id);
  const removed = new Set(row.removed_stages.map((one) => one.id));
  const stages: readonly Stage[] = [
    ...row.stages,
    ...row.removed_stages.map(({ removedAt: _at, ...one }) => one),
  ];
  const wanted = stages.filter((one) => stageId === undefined || one.id === stageId);
  const bound = (of: string) => ["board", id, of, asked.filter ?? {}, asked.where ?? null, asked.q ?? null];
  const after = cursor === undefined ? undefined : decodeCursor(bound(stageId ?? ""), cursor, 2);
  const of = { counter, ctx, fields, asked, stageIds: wanted.map((one) => one.id) };
  const [sums, { rows, isCut }] = await Promise.all([
    tx.query<Sum>(sumsStatement(of)),
    tx.queryWithin<DealRow & { id: string }>({
      ...cardsStatement(of, limit + 1, after),
      mostBytes: 4 * pageBytes,
    }),
    fields.requireKnown(tx, asked as never),
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
    const cards = shown.filter((card) => card.stageId === one.id);
    // where the answer was cut, this stage or a later one has more
    const hasMore = cards.length > limit || (isCut && (one.id === lastShown || (isBeyond && count > 0)));
    isBeyond ||= one.id === lastShown;
    const page = cards.slice(0, limit);
    const last = page.at(-1);
    return {
      ...{ stage: one, isRemoved: removed.has(one.id), count, cards: page },
      amounts: ofStage.flatMap(({ currency, amount }) =>
        currency === null || amount === null ? [] : [fromMinorUnits(amount, currency)],
      ),
      nextCursor: hasMore ? encodeCursor(bound(one.id), [last?.position ?? "", last?.id ?? nil]) : null,
    };
  });
  return { columns: columns.filter(({ isRemoved, count }) => !isRemoved || count > 0) };
}
const nil = "00000000-0000-0000-0000-000000000000";

interface Asked {
  counter: Counter;
  ctx: BoardContext;
  fields: CallFields;
  asked: Pick<BoardContext["params"], "filter" | "where" | "q">;
  stageIds: readonly string[];
}

/** What the deals of a board must be, whatever their stage. */
function conditionsOf({ counter, ctx, fields, asked }: Asked, values: Values): string {
  const { principal, tx } = ctx.locals;
  const listing = fields.listing(deal.listing, asked);
  const matching = matchConditions(listing, asked, values, tx.timeZone);
  return [...visibleTo(counter, principal)(values), ...allMatching(matching)].join(" AND ");
}

function sumsStatement(of: Asked) {
  const values = new Values();
  const conditions = conditionsOf(of, values);
  return {
    text: `SELECT stage_id, count(*)::int AS count, amount_currency AS currency, sum(amount)::text AS amount FROM deals
      WHERE stage_id = ANY (${values.add(of.stageIds)}::uuid[]) AND ${conditions} GROUP BY stage_id, amount_currency`,
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
    text: `SELECT card.* FROM unnest(${values.add(of.stageIds)}::uuid[]) WITH ORDINALITY AS asked (asked_stage, place)
      CROSS JOIN LATERAL (SELECT ${deal.columns.join(", ")} FROM deals
        WHERE stage_id = asked_stage AND ${conditions} ${beyond} ORDER BY position, id LIMIT ${limit}) AS card
      ORDER BY place, card.position, card.id`,
    values: values.list,
  };
}
