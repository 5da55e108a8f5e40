import type { PipelineRow, StageInput } from "../../entities/pipeline.ts";
import { appError, conflict, invalidField } from "../../mixins/contract/errors.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { changesBetween } from "../../mixins/records/writing/changes.ts";
import type { KindFields } from "../../mixins/records/custom/definitions.ts";
import { about, type RecordDesk, type RecordRules } from "../../mixins/records/writing/desk.ts";
import { pipeline } from "../../entities/pipeline.ts";
import { rearranged, removedBy, turnedBy } from "./pipelines.rules.ts";

/** What a call knows before its transaction. */
interface Prepared {
  /** Custom fields of deals, which stages may ask for. */
  custom: KindFields;
  /** Whether stages are taken out though deals are in them. */
  isForced: boolean;
}

const inUse = (what: string, uses: number) =>
  appError(
    409,
    "IN_USE",
    `${uses} deals are in ${what}; force removes it nevertheless, and they stay where they are.`,
    {
      uses,
    },
  );
const isHeld = (uses: number) =>
  appError(
    409,
    "IN_USE",
    `${uses} deals are in this stage; move them before it becomes another kind of stage.`,
    {
      uses,
    },
  );
const overtaken = () =>
  appError(503, "WRITE_CONFLICT", "Another pipeline was made the default at the same time; try again.");
const isTheDefault = () =>
  conflict("IS_DEFAULT", "One pipeline is the default; make another one the default in its place.");

/** What pipelines decide by themselves: their stages, and that one of them is the default. */
export const pipelineRules = (desk: RecordDesk): RecordRules<PipelineRow, Prepared> => ({
  async prepare(ctx) {
    const { force = false } = ctx.params as { force?: boolean };
    return {
      custom: await desk.definitions.of(ctx.locals.principal.organizationId, "deal"),
      isForced: force,
    };
  },
  complete(row, { custom }) {
    const wanted = row.stages as readonly StageInput[];
    if (wanted.length === 0) throw invalidField("stages", "required", "must be given");
    return { ...row, ...rearranged(wanted, { stages: [], removed_stages: [] }, row.created_at, custom) };
  },
  decide(before, change, { custom }) {
    if (before.is_default && !change.row.is_default) throw isTheDefault();
    if (!("stages" in change.changes)) return change;
    const stages = rearranged(change.row.stages, before, change.row.updated_at, custom);
    const row = { ...change.row, ...stages };
    return { row, changes: changesBetween(pipeline, before, row) };
  },
  async also(tx, before, { row }, { isForced }) {
    if (row.is_default && before?.is_default !== true) await yieldDefault(tx, row.id);
    if (before === null) return;
    const turned = turnedBy(before, row);
    const held = turned.length === 0 ? 0 : await countDeals(tx, "stage_id = ANY ($1)", turned);
    if (held > 0) throw isHeld(held);
    const removed = removedBy(before, row);
    if (removed.length === 0 || isForced) return;
    const uses = await countDeals(tx, "stage_id = ANY ($1)", removed);
    if (uses > 0) throw inUse("this stage", uses);
  },
});

/** Refuses to delete what deals are in. The pipeline is locked. @throws 409 IN_USE, IS_DEFAULT */
export async function requireUnused(
  tx: UnitOfWork,
  { id, is_default: isDefault }: PipelineRow,
  isForced: boolean,
): Promise<void> {
  if (isDefault) throw isTheDefault();
  const uses = isForced ? 0 : await countDeals(tx, "pipeline_id = ANY ($1)", [id]);
  if (uses > 0) throw inUse("this pipeline", uses);
}

async function countDeals(tx: UnitOfWork, where: string, ids: readonly string[]): Promise<number> {
  const [counted] = await tx.query<{ uses: number }>({
    text: `SELECT count(*)::int AS uses FROM deals WHERE ${where} AND deleted_at IS NULL`,
    values: [ids],
  });
  return counted?.uses ?? 0;
}

/** What was the default until now is it no more. */
async function yieldDefault(tx: UnitOfWork, id: string): Promise<void> {
  tx.onViolation("pipelines_default", overtaken);
  const rows = await tx.query<PipelineRow>({
    text: `UPDATE pipelines SET is_default = false, version = version + 1, updated_at = $2
      WHERE is_default AND deleted_at IS NULL AND id <> $1 RETURNING ${pipeline.columns.join(", ")}`,
    values: [id, tx.now],
  });
  for (const row of rows)
    about(tx, { kind: pipeline, verb: "updated", row, actorId: null, changes: { isDefault: [true, false] } });
}
