import { deal, type DealRow } from "../../entities/deal.ts";
import { invalidField } from "../../mixins/contract/errors.ts";
import type { Part } from "../../mixins/records/kind/parts.ts";
import type { Principal } from "../../mixins/access/principal.ts";
import { changesBetween, type Change } from "../../mixins/records/writing/changes.ts";
import type { RecordDesk, RecordRules } from "../../mixins/records/writing/desk.ts";
import { priced, productsOf, type Priced } from "../../mixins/sales/line-items.ts";
import { requireStage, type PipelineCache } from "../../mixins/sales/pipelines.ts";
import { placedByNames } from "./imported.rules.ts";
import { closed, entered, firstStage, requireFieldsOf, type Pipelines } from "../../mixins/sales/stages.ts";

/** What the actions of deals share within a process. */
export interface Desk extends RecordDesk {
  pipelines: PipelineCache;
}
/** What a call knows before its transaction. */
export interface Prepared {
  pipelines: Pipelines;
  /** Products of line items that say no name or price themselves. */
  products: Priced;
}

const isOpen = (path: "closedAt" | "lostReason") =>
  invalidField(
    path,
    "deal_is_open",
    path === "closedAt" ? "is of deals that are won or lost" : "is of deals that are lost",
  );

/** What deals decide by themselves: that their stage is one of their pipeline, and what follows from it. */
export const dealRules = (desk: Desk): RecordRules<DealRow, Prepared> => ({
  prepare: (ctx, fresh, changes = []) =>
    prepared(desk, ctx.locals.principal, [
      ...fresh.flatMap(({ line_items: own }) => own),
      ...itemsIn(changes),
    ]),
  prepareImport: (ctx, _look, inputs) => prepared(desk, ctx.locals.principal, itemsIn(inputs)),
  async importReader(ctx) {
    const pipelines = await desk.pipelines.of(ctx.locals.principal.organizationId);
    return (input) => placedByNames(input, pipelines);
  },
  complete: (row, { pipelines, products }) => opened(priced(null, row, products), pipelines),
  // as it was, in its place, whatever its stage asks for by now
  turnedBack: (row) => row,
  decide(before, change, { pipelines, products }) {
    // an earlier row of a file made it: whole it is judged when all are read
    if ((before.stage_id as string | null) === null) return change;
    const row = decided(before, priced(before, change.row, products), pipelines);
    return { row, changes: { ...change.changes, ...changesBetween(deal, before, row) } };
  },
  restored: (row, { pipelines }) => inStage(row, pipelines),
  verbs: verbsOf,
  async also(tx, before, { row }) {
    // one that comes back too: its stage may be gone
    if (before?.deleted_at !== null || before.stage_id !== row.stage_id) await requireStage(tx, row);
  },
});

async function prepared(
  { pipelines, database }: Desk,
  { organizationId }: Principal,
  items: readonly Part[],
): Promise<Prepared> {
  const products = await productsOf(database.reader(organizationId), items);
  return { pipelines: await pipelines.of(organizationId), products };
}

const itemsIn = (inputs: readonly Readonly<Record<string, unknown>>[]): Part[] =>
  inputs.flatMap(({ lineItems }) => (lineItems as Part[] | null | undefined) ?? []);

/** A new deal in its stage. Pure. @throws 422 */
export function opened(row: DealRow, pipelines: Pipelines): DealRow {
  const { pipeline, stage } = pipelines.target({
    pipelineId: row.pipeline_id ?? undefined,
    stageId: row.stage_id ?? undefined,
  });
  const { created_at: now, closed_at: closedAt } = row;
  requireMayClose(row, stage.kind);
  const made = entered(row, { pipelineId: pipeline.id, stage, now, closedAt });
  requireFieldsOf(deal, made, stage);
  return made;
}

function decided(before: DealRow, row: DealRow, pipelines: Pipelines): DealRow {
  const now = row.updated_at;
  const isMoved = row.stage_id !== before.stage_id || row.pipeline_id !== before.pipeline_id;
  if (!isMoved) {
    requireMayClose(row, row.status);
    return { ...row, ...closed(row, { kind: row.status, now, closedAt: row.closed_at }) };
  }
  const { pipeline, stage } = pipelines.target({
    pipelineId: row.pipeline_id,
    // another pipeline alone: its first stage
    ...(row.stage_id === before.stage_id ? {} : { stageId: row.stage_id }),
  });
  // what is said of the former end is not said of the new one
  const told = {
    ...row,
    closed_at: row.closed_at === before.closed_at ? null : row.closed_at,
    lost_reason: row.lost_reason === before.lost_reason ? null : row.lost_reason,
  };
  requireMayClose(told, stage.kind);
  const moved = entered(told, { pipelineId: pipeline.id, stage, now, closedAt: told.closed_at });
  requireFieldsOf(deal, moved, stage);
  return moved;
}

/** As it is, or where its stage is gone in the first one like it, of its pipeline or the default one. */
function inStage(row: DealRow, pipelines: Pipelines): DealRow {
  const own = pipelines.get(row.pipeline_id);
  if (own?.stages.some(({ id, kind }) => id === row.stage_id && kind === row.status)) return row;
  const { pipeline } = pipelines.target({ pipelineId: own?.id });
  const stage = firstStage(pipeline, row.status) ?? firstStage(pipeline, "open");
  if (!stage) return row;
  return entered(row, { pipelineId: pipeline.id, stage, now: row.updated_at, closedAt: row.closed_at });
}

/** Nothing that is given is left out silently. @throws 422 */
function requireMayClose(row: DealRow, kind: DealRow["status"]): void {
  if (kind === "open" && row.closed_at !== null) throw isOpen("closedAt");
  if (kind !== "lost" && row.lost_reason !== null) throw isOpen("lostReason");
}

/** What a change of a deal is told as: one event, of the most that happened. */
function verbsOf({ row, changes }: Pick<Change<DealRow>, "row" | "changes">): string[] {
  if ("status" in changes && row.status !== "open") return [row.status];
  return ["stageId" in changes || "position" in changes ? "moved" : "updated"];
}
