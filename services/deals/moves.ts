import { deal, type DealRow } from "../../entities/deal.ts";
import { conflict, invalidField } from "../../mixins/contract/errors.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { Principal } from "../../mixins/access/principal.ts";
import { nextVersion, type Change } from "../../mixins/records/writing/changes.ts";
import type { Counter } from "../../mixins/records/writing/desk.ts";
import { lockedToChange, writeChange } from "../../mixins/records/handlers/crud.ts";
import type { Store } from "../../mixins/records/writing/store.ts";
import { lastPosition, longestPosition, positionBetween } from "../../mixins/sales/positions.ts";
import { firstStage } from "../../mixins/sales/stages.ts";
import { enqueue, record, type Ctx, type JobCtx } from "../contracts.ts";
import type { Prepared } from "./deals.records.ts";

type DealCounter = Counter<DealRow, Prepared>;
type Moving = Ctx<"deals.move"> | Ctx<"deals.win"> | Ctx<"deals.lose">;

/**
 * Puts a deal into a stage, between those that are named. Moves into one stage come one after the other, so that all who drag see one
 * order in the end.
 * @throws 409 BOARD_CHANGED where what is named is in another stage by now
 */
export async function move(ctx: Ctx<"deals.move">, counter: DealCounter) {
  const { principal, tx } = ctx.locals;
  const { id, stageId, before: below, after: above } = ctx.params;
  if (below === id || above === id)
    throw invalidField(below === id ? "before" : "after", "is_itself", "may not name the deal itself");
  return changed(ctx, counter, async () => {
    await takeBoard(tx, stageId);
    const position =
      below === undefined && above === undefined
        ? lastPosition(tx.now.getTime(), id)
        : await placeBetween(tx, counter.store, principal, { id, stageId, above, below });
    return { stage_id: stageId, position };
  });
}

/** @throws 422 where the pipeline has no stage in which deals are won */
export const win = (ctx: Ctx<"deals.win">, counter: DealCounter) => closeAs(ctx, counter, "won", null);
/** @throws 422 where the pipeline has no stage in which deals are lost */
export const lose = (ctx: Ctx<"deals.lose">, counter: DealCounter) =>
  closeAs(ctx, counter, "lost", ctx.params.reason);

const closeAs = (ctx: Moving, counter: DealCounter, kind: "won" | "lost", reason: string | null) =>
  changed(ctx, counter, (row, { pipelines }) => {
    if (row.status === kind) return Promise.resolve(reason === null ? {} : { lost_reason: reason });
    const pipeline = pipelines.get(row.pipeline_id);
    const stage = pipeline && firstStage(pipeline, kind);
    if (stage) return Promise.resolve({ stage_id: stage.id, lost_reason: reason });
    throw conflict("NO_SUCH_STAGE", `The pipeline has no stage in which deals are ${kind}; give it one.`);
  });

/** Changes a locked deal and answers it as it is then; what changes nothing makes no version and no event. */
async function changed(
  ctx: Moving,
  counter: DealCounter,
  wantedOf: (row: DealRow, prepared: Prepared) => Promise<Partial<DealRow>>,
) {
  const { before, prepared, writing } = await lockedToChange(counter, ctx);
  const { tx, principal, fields } = writing;
  const wanted = await wantedOf(before, prepared);
  const row = nextVersion(before, tx.now.toISOString(), wanted);
  const decided = counter.rules.decide?.(
    before,
    { row, changes: {} },
    prepared,
    principal,
  ) as Change<DealRow>;
  const change = placed(before, decided, wanted.position);
  const shown = (of: DealRow) => fields.showOne(tx, deal.show(of));
  if (Object.keys(change.changes).length === 0) return shown(before);
  await writeChange(counter, writing, before, change, new Map(), prepared);
  if (change.row.position.length > longestPosition) {
    const { pipeline_id: pipelineId, stage_id: stageId } = change.row;
    enqueue(tx, "deals.rebalance", { pipelineId, stageId }, { key: stageId });
  }
  return shown(change.row);
}

/** The place that was asked for, where entering a stage gave the last one. */
function placed(before: DealRow, change: Change<DealRow>, position: string | undefined): Change<DealRow> {
  if (position === undefined) return change;
  const row = { ...change.row, position };
  return { row, changes: { ...change.changes, position: [before.position, position] } };
}

/** One who places deals in a stage at a time, until the end of the transaction. */
const takeBoard = (tx: UnitOfWork, stageId: string) =>
  tx.execute({
    name: "take_board",
    text: "SELECT pg_advisory_xact_lock(hashtextextended('board ' || $1, 0))",
    values: [stageId],
  });

interface Place {
  id: string;
  stageId: string;
  above: string | undefined;
  below: string | undefined;
}

async function placeBetween(
  tx: UnitOfWork,
  store: Store<DealRow>,
  principal: Principal,
  { id, stageId, above, below }: Place,
): Promise<string> {
  const neighbour = async (path: string, other: string | undefined) => {
    if (other === undefined) return undefined;
    const [row] = await tx.query<DealRow>({
      name: "deal_beside",
      text: "SELECT * FROM deals WHERE id = $1 AND deleted_at IS NULL",
      values: [other],
    });
    try {
      return store.visible(principal, row);
    } catch {
      throw invalidField(path, "not_found", "is not a deal");
    }
  };
  const [upper, lower] = [await neighbour("after", above), await neighbour("before", below)];
  const isHere = (row: DealRow | undefined) => row?.stage_id === stageId;
  // of two the one above counts: what came between them meanwhile is below
  if (isHere(upper))
    return positionBetween(upper?.position ?? null, await next(tx, ">", upper as DealRow, id));
  if (isHere(lower))
    return positionBetween(await next(tx, "<", lower as DealRow, id), lower?.position ?? null);
  throw conflict("BOARD_CHANGED", "The deal beside which this one was to stand is in another stage by now.");
}

/** The place next to a deal's in its stage; null: there is none. @param id of the deal that moves, which counts for nothing */
async function next(tx: UnitOfWork, way: ">" | "<", beside: DealRow, id: string): Promise<string | null> {
  const [row] = await tx.query<{ position: string }>({
    name: `deal_${way === ">" ? "below" : "above"}`,
    text: `SELECT position FROM deals WHERE stage_id = $1 AND position ${way} $2 AND deleted_at IS NULL AND id <> $3
      ORDER BY position ${way === ">" ? "ASC" : "DESC"} LIMIT 1`,
    values: [beside.stage_id, beside.position, id],
  });
  return row?.position ?? null;
}

/** Gives the deals of a stage short places in the order in which they are. Repeated, it changes nothing that is seen. */
export async function rebalance(ctx: JobCtx<"deals.rebalance">): Promise<void> {
  const { tx } = ctx.locals;
  const { pipelineId, stageId } = ctx.params;
  await takeBoard(tx, stageId);
  const rows = await tx.query<Pick<DealRow, "id">>({
    text: "SELECT id FROM deals WHERE stage_id = $1 AND deleted_at IS NULL ORDER BY position, id FOR NO KEY UPDATE",
    values: [stageId],
  });
  // before any that comes at the end from now on
  const first = tx.now.getTime() - rows.length;
  await tx.execute({
    text: `UPDATE deals SET position = p.position FROM unnest($1::uuid[], $2::text[]) AS p (id, position)
      WHERE deals.id = p.id`,
    values: [rows.map(({ id }) => id), rows.map(({ id }, index) => lastPosition(first + index, id))],
  });
  record(tx, {
    type: "pipeline.rebalanced",
    entity: { kind: "pipeline", id: pipelineId, version: 0 },
    actorId: null,
    audience: null,
    data: { pipelineId, stageId },
  });
}
