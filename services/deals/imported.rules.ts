import { stageKinds, type Stage } from "../../entities/pipeline.ts";
import type { FieldError } from "../../mixins/contract/errors.ts";
import { firstStage, type Pipelines, type PipelineStages } from "../../mixins/sales/stages.ts";

type Input = Readonly<Record<string, unknown>>;
interface Placed {
  input: Input;
  problems: FieldError[];
  notes: string[];
}

/**
 * The input of a file's row with the ids of the pipeline and the stage that it names, by name or id. A status stands for the first
 * stage of its kind where no stage is named; `open` alone says nothing. An id that is none here, as in what another organization
 * exported, is left out and told of; a name that is none refuses the row. Pure.
 */
export function placedByNames(given: Input, pipelines: Pipelines): Placed {
  const { pipelineId: pipelineText, stageId: stageText, status, ...rest } = given;
  const placed: Placed = { input: rest, problems: [], notes: [] };
  const pipeline = named("pipelineId", pipelineText, pipelines.all, placed) ?? pipelines.default;
  const ids: Record<string, string> = {};
  if (isThere(pipelineText) && pipeline) ids.pipelineId = pipeline.id;
  // a stage's own id says its pipeline too
  const stages = isUuid(stageText) && !isThere(pipelineText) ? pipelines.stages : (pipeline?.stages ?? []);
  const stage = named("stageId", stageText, stages, placed);
  if (stage) ids.stageId = stage.id;
  return { ...placed, input: { ...rest, ...ids, ...ofStatus(status, stage, pipeline, placed) } };
}

function ofStatus(
  status: unknown,
  stage: Stage | undefined,
  pipeline: PipelineStages | undefined,
  { problems }: Placed,
): { stageId?: string } {
  const kind = stageKinds.find((one) => one === status);
  if (kind === undefined) return {};
  if (stage && stage.kind !== kind)
    problems.push({
      path: "status",
      code: "another_stage",
      message: `says ${kind}, and the stage ${stage.name} says ${stage.kind}`,
    });
  if (stage || kind === "open" || pipeline === undefined) return {};
  const first = firstStage(pipeline, kind);
  if (first) return { stageId: first.id };
  problems.push({
    path: "status",
    code: "unknown_stage",
    message: `there is no stage of ${pipeline.name} in which deals are ${kind}`,
  });
  return {};
}

/** The one of these that a text names, by its id or its name in any case. */
function named<T extends { id: string; name: string | null }>(
  path: string,
  text: unknown,
  all: readonly T[],
  { problems, notes }: Placed,
): T | undefined {
  if (!isThere(text)) return undefined;
  const byId = all.find(({ id }) => id === text.toLowerCase());
  if (byId) return byId;
  if (isUuid(text)) {
    notes.push(`${path}: ${text} is none of this organization's`);
    return undefined;
  }
  const [found, ...more] = all.filter(({ name }) => name?.toLowerCase() === text.trim().toLowerCase());
  if (found && more.length === 0) return found;
  const allowed = all.flatMap(({ name }) => name ?? []);
  problems.push({
    ...{ path, code: found ? "ambiguous" : "not_found", allowed },
    message: found
      ? `"${text}" is what several are called; give the id`
      : `"${text}" is none of ${allowed.join(", ")}`,
  });
  return undefined;
}

const isThere = (value: unknown): value is string => typeof value === "string" && value !== "";
const isUuid = (value: unknown): boolean =>
  typeof value === "string" && /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(value);
