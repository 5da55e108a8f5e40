import { z } from "zod";
import { id, nameText, timestamp } from "../mixins/contract/schemas.ts";
import * as f from "../mixins/records/kind/fields.ts";
import { defineKind, type AnyRow, type RowOf } from "../mixins/records/kind/kind.ts";

export const stageKinds = ["open", "won", "lost"] as const;
/** What a forecast takes the deals of a stage for; `omitted` ones count in none. */
export const forecastCategories = ["pipeline", "bestCase", "commit", "omitted"] as const;

const percent = z.number().int().min(0).max(100);
const daysToRot = z.number().int().min(1).max(3650);
/** Names of fields, custom ones as `customFields.<key>`. */
const requiredFields = z.array(z.string().max(80)).max(30);
/** A stage as a caller gives it. */
const stageInput = z
  .strictObject({
    /** Of a stage that is there, or was removed in the last 30 days, which brings it back. A new one has none. */
    id: id.optional(),
    name: nameText(100),
    /** Default open. */
    kind: z.enum(stageKinds),
    /** That a deal in it is won, in percent. Default 100 where deals are won, 0 where they are lost, else 50. */
    probability: percent,
    /** Its place; default as they are listed. */
    position: z.number().int().min(0).max(1000),
    /** What a deal must have to enter. */
    requiredFields,
    /** Days after which a deal that stays is rotting; null: never. */
    rottingDays: daysToRot.nullable(),
    /** Default pipeline. */
    forecastCategory: z.enum(forecastCategories),
  })
  .partial()
  .required({ name: true })
  .meta({ id: "StageInput" });
export type StageInput = z.output<typeof stageInput>;

export const stage = z
  .strictObject({
    id,
    name: z.string(),
    kind: z.enum(stageKinds),
    probability: percent,
    position: z.number().int(),
    requiredFields,
    rottingDays: daysToRot.nullable(),
    forecastCategory: z.enum(forecastCategories),
  })
  .meta({ id: "Stage" });
export type Stage = z.output<typeof stage>;
/** A stage that was taken out; deals that were in it stay there until they are moved. */
const removedStage = stage.extend({ removedAt: timestamp }).meta({ id: "RemovedStage" });
export type RemovedStage = z.output<typeof removedStage>;

const usualProbability = { open: 50, won: 100, lost: 0 };
/** Stages in their order, with everything but the ids of new ones. */
const arranged = (given: readonly StageInput[]) =>
  given
    .map((one, index) => ({ ...one, position: one.position ?? index }))
    .sort((a, b) => a.position - b.position)
    .map(({ kind = "open", ...one }, position) => ({
      ...{ requiredFields: [], rottingDays: null, forecastCategory: "pipeline" as const },
      ...{ probability: usualProbability[kind], ...one, kind, position },
    }));

const mostStages = 50;
/** The stages that deals go through, in their order. */
export const pipeline = defineKind("pipeline", {
  plural: "pipelines",
  isSetting: true,
  title: ["name"],
  defaultSort: "createdAt",
  fields: {
    name: f.text(200, { isFilterable: false }),
    stages: f.json(z.array(stageInput).min(1).max(mostStages), z.array(stage), {
      normalise: (given) => ({ value: arranged(given as StageInput[]) }),
    }),
    /** Those of the last 30 days: who gives one's id among the stages brings it back. */
    removedStages: f.byService(f.sharedJson(z.array(removedStage))),
    /** Where deals go of which nothing else is said; one pipeline is. */
    isDefault: f.flag({ isFilterable: false }),
  },
  example: {
    name: "New business",
    stages: [
      { name: "Qualified", probability: 20 },
      { name: "Proposal", probability: 60, requiredFields: ["amount"], forecastCategory: "bestCase" },
      { name: "Won", kind: "won" },
      { name: "Lost", kind: "lost" },
    ],
  },
});
export type PipelineRow = RowOf<typeof pipeline> & AnyRow;
