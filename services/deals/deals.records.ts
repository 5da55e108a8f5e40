import { deal, type DealRow } from "../../entities/deal.ts";
import { invalidField } from "../../mixins/contract/errors.ts";
import { changesBetween, type Change } from "../../mixins/records/writing/changes.ts";
import type { RecordDesk, RecordRules } from "../../mixins/records/writing/desk.ts";
import { requireStage, type PipelineCache } from "../../mixins/sales/pipelines.ts";
import { closed, entered, requireFieldsOf, type Pipelines } from "../../mixins/sales/stages.ts";

/** What the actions of deals share within a process. */
export interface Desk extends RecordDesk {
  pipelines: PipelineCache;
}
/** What a call knows before its transaction. */
export interface Prepared {
  pipelines: Pipelines;
}

const isOpen = (path: "closedAt" | "lostReason") =>
  invalidField(
    path,
    "deal_is_open",
    path === "closedAt" ? "is of deals that are won or lost" : "is of deals that are lost",
  );

/** What deals decide by themselves: that their stage is one of their pipeline, and what follows from it. */
export const dealRules = (desk: Desk): RecordRules<DealRow, Prepared> => ({
  async prepare(ctx) {
    return { pipelines: await desk.pipelines.of(ctx.locals.principal.organizationId) };
  },
  complete: (row, { pipelines }) => opened(row, pipelines),
  decide(before, change, { pipelines }) {
    const row = decided(before, change.row, pipelines);
    return { row, changes: { ...change.changes, ...changesBetween(deal, before, row) } };
  },
  verbs: verbsOf,
  async also(tx, before, { row }) {
    // one that comes back too: its stage may be gone
    if (before?.deleted_at !== null || before.stage_id !== row.stage_id)
      await requireStage(tx, row.pipeline_id, row.stage_id);
  },
});

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
