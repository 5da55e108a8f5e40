import type { DealRow } from "../../entities/deal.ts";
import type { PipelineRow, Stage } from "../../entities/pipeline.ts";
import { invalid, type FieldError } from "../contract/errors.ts";
import { valueOf, type AnyKind } from "../records/kind/kind.ts";
import { lastPosition } from "./positions.ts";

/** What deals need to know of a pipeline. */
export type PipelineStages = Pick<PipelineRow, "id" | "name" | "is_default"> & { stages: readonly Stage[] };

/** Stages of the pipeline that an organization begins with. */
export const defaultStages: readonly Pick<Stage, "name" | "probability" | "kind">[] = [
  { name: "Qualification", probability: 10, kind: "open" },
  { name: "Proposal", probability: 40, kind: "open" },
  { name: "Negotiation", probability: 70, kind: "open" },
  { name: "Won", probability: 100, kind: "won" },
  { name: "Lost", probability: 0, kind: "lost" },
];

/** The first stage of a kind; deals begin in the first open one. */
export const firstStage = (
  { stages }: Pick<PipelineStages, "stages">,
  kind: Stage["kind"],
): Stage | undefined => stages.find((stage) => stage.kind === kind);

/** The pipelines of an organization. */
export class Pipelines {
  readonly all: readonly PipelineStages[];
  readonly #byId: ReadonlyMap<string, PipelineStages>;
  readonly #ofStage: ReadonlyMap<string, PipelineStages>;
  /** Where deals go of which nothing else is said. */
  readonly default: PipelineStages | undefined;

  constructor(all: readonly PipelineStages[]) {
    this.all = all;
    this.#byId = new Map(all.map((one) => [one.id, one]));
    this.#ofStage = new Map(all.flatMap((one) => one.stages.map((stage) => [stage.id, one] as const)));
    this.default = all.find((one) => one.is_default);
  }

  /** Of all pipelines. */
  get stages(): Stage[] {
    return this.all.flatMap((one) => one.stages);
  }

  get(id: string): PipelineStages | undefined {
    return this.#byId.get(id);
  }

  /**
   * The stage that is asked for: of both, of the one with this stage, or the first open one.
   * @throws 422 when there is none
   */
  target({ pipelineId, stageId }: { pipelineId?: string | undefined; stageId?: string | undefined }): {
    pipeline: PipelineStages;
    stage: Stage;
  } {
    const ofStage = stageId === undefined ? undefined : this.#ofStage.get(stageId);
    const pipeline = pipelineId === undefined ? (ofStage ?? this.default) : this.#byId.get(pipelineId);
    if (pipeline === undefined)
      throw invalid([{ path: "pipelineId", code: "not_found", message: "is not a pipeline" }]);
    const stage =
      stageId === undefined ? firstStage(pipeline, "open") : pipeline.stages.find(({ id }) => id === stageId);
    if (stage !== undefined) return { pipeline, stage };
    const names = pipeline.stages.map(({ id, name }) => `${name} (${id})`);
    const of = ofStage && ofStage !== pipeline ? `; it is one of ${ofStage.name} (${ofStage.id})` : "";
    throw invalid([
      {
        ...{ path: "stageId", code: "unknown_stage", allowed: names },
        message: `is not a stage of ${pipeline.name}${of}`,
      },
    ]);
  }
}

/** A deal in another stage: at its end, won or lost as the stage has it. Pure. */
export function entered(
  row: DealRow,
  {
    pipelineId,
    stage,
    now,
    closedAt,
  }: { pipelineId: string; stage: Stage; now: string; closedAt?: string | null },
): DealRow {
  return {
    ...row,
    ...{ pipeline_id: pipelineId, stage_id: stage.id, stage_entered_at: now },
    position: lastPosition(Date.parse(now), row.id),
    ...closed(row, { kind: stage.kind, now, closedAt }),
  };
}

/** What a deal says of its end. @param closedAt as given */
export const closed = (
  row: DealRow,
  { kind, now, closedAt }: { kind: Stage["kind"]; now: string; closedAt?: string | null | undefined },
): Pick<DealRow, "status" | "closed_at" | "lost_reason"> => ({
  status: kind,
  closed_at: kind === "open" ? null : (closedAt ?? now),
  lost_reason: kind === "lost" ? row.lost_reason : null,
});

/** Refuses a deal that lacks what its stage asks for. @throws 422 naming each */
export function requireFieldsOf(
  kind: Pick<AnyKind, "fields">,
  row: DealRow,
  { name, requiredFields }: Stage,
): void {
  const missing = requiredFields.filter((path) => isEmpty(fieldIn(kind, row, path)));
  const problems = missing.map((path): FieldError => ({
    ...{ path, code: "required_by_stage" },
    message: `is needed to enter the stage ${name}`,
  }));
  if (problems.length > 0) throw invalid(problems);
}

const isEmpty = (value: unknown) =>
  value === null || value === undefined || value === "" || (Array.isArray(value) && value.length === 0);

function fieldIn({ fields }: Pick<AnyKind, "fields">, row: DealRow, path: string): unknown {
  if (path.startsWith("customFields.")) return row.custom_fields[path.slice("customFields.".length)];
  const field = fields[path];
  return field && valueOf(row, path, field);
}
