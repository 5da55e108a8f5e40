import { deal } from "../../entities/deal.ts";
import type { PipelineRow, RemovedStage, Stage, StageInput } from "../../entities/pipeline.ts";
import { invalid, type FieldError } from "../../mixins/contract/errors.ts";
import { newId } from "../../mixins/database/new-id.ts";
import type { KindFields } from "../../mixins/records/custom/definitions.ts";

/** Days for which a removed stage can be brought back. */
const removedDays = 30;
/** Every deal has these. */
const given = ["pipelineId", "stageId"];

type Stages = Pick<PipelineRow, "stages" | "removed_stages">;

/**
 * The stages of a pipeline after a change: new ones have ids, those that were left out can be brought back for 30 days.
 * @throws 422 for an id that is none of them, fields that deals do not have, no open stage
 */
export function rearranged(
  wanted: readonly StageInput[],
  before: Stages,
  now: string,
  custom: KindFields,
): Stages {
  const known = new Map([...before.removed_stages, ...before.stages].map((one) => [one.id, one]));
  const problems: FieldError[] = [];
  const seen = new Set<string>();
  const stages = wanted.map((one, index): Stage => {
    const path = `stages.${index}`;
    if (one.id !== undefined && !known.has(one.id))
      problems.push({
        ...{ path: `${path}.id`, code: "unknown_stage", allowed: [...known.keys()] },
        message: "is not a stage of this pipeline; a new one is given without an id",
      });
    if (one.id !== undefined && seen.has(one.id))
      problems.push({ path: `${path}.id`, code: "duplicate", message: "is given twice" });
    if (one.id !== undefined) seen.add(one.id);
    for (const [place, field] of (one.requiredFields ?? []).entries()) {
      const reason = whyNotRequired(field, custom);
      if (reason) problems.push({ path: `${path}.requiredFields.${place}`, ...reason });
    }
    return { ...(one as Omit<Stage, "id">), id: one.id ?? newId() };
  });
  if (!stages.some(({ kind }) => kind === "open"))
    problems.push({ path: "stages", code: "no_open_stage", message: "need an open one, where deals begin" });
  if (problems.length > 0) throw invalid(problems);
  const oldest = new Date(Date.parse(now) - removedDays * 86_400_000).toISOString();
  const removed: RemovedStage[] = [
    ...before.removed_stages.filter(({ id, removedAt }) => !seen.has(id) && removedAt > oldest),
    ...before.stages.filter(({ id }) => !seen.has(id)).map((one) => ({ ...one, removedAt: now })),
  ];
  return { stages, removed_stages: removed };
}

/** Ids of the stages that a change takes out. */
export const removedBy = (
  before: Pick<PipelineRow, "stages">,
  after: Pick<PipelineRow, "stages">,
): string[] => {
  const left = new Set(after.stages.map(({ id }) => id));
  return before.stages.map(({ id }) => id).filter((id) => !left.has(id));
};

/** Stages that stay and are of another kind by now. */
export const turnedBy = (
  before: Pick<PipelineRow, "stages">,
  after: Pick<PipelineRow, "stages">,
): string[] => {
  const kinds = new Map(before.stages.map(({ id, kind }) => [id, kind]));
  return after.stages.flatMap(({ id, kind }) => ((kinds.get(id) ?? kind) === kind ? [] : [id]));
};

/** What only deals that have come to an end have: none could enter a stage that asks for it. */
const afterwards = ["closedAt", "lostReason"];

function whyNotRequired(path: string, custom: KindFields): Omit<FieldError, "path"> | undefined {
  const own = Object.entries(deal.fields).flatMap(([key, { setBy }]) =>
    setBy === "caller" && !given.includes(key) && !afterwards.includes(key) && key !== "customFields"
      ? [key]
      : [],
  );
  if (own.includes(path)) return undefined;
  const defined = path.startsWith("customFields.")
    ? custom.all.get(path.slice("customFields.".length))
    : undefined;
  if (defined?.isSensitive) return { code: "sensitive", message: "is sensitive: it cannot be looked at" };
  if (defined) return undefined;
  return {
    ...{
      code: "unknown_field",
      allowed: [...own, ...[...custom.all.keys()].map((key) => `customFields.${key}`)],
    },
    message: "is not a field of deals",
  };
}
