import type { Client } from "./client.ts";
import { bodyOf, made, unique, type Body } from "./records.ts";

export interface StageBody {
  id: string;
  name: string;
  kind: string;
}
export type PipelineBody = Body & { stages: StageBody[]; removedStages: StageBody[]; isDefault: boolean };
export interface Column {
  stage: StageBody;
  isRemoved: boolean;
  count: number;
  amounts: { amount: string; currency: string }[];
  cards: Body[];
  nextCursor: string | null;
}

const threeStages = [
  { name: "A" },
  { name: "B" },
  { name: "Won", kind: "won" },
  { name: "Lost", kind: "lost" },
];
export const makePipeline = async (by: Client, stages: object[] = threeStages) =>
  (await made(by, "/pipelines", { name: `P ${unique()}`, stages })) as PipelineBody;
export const stageOf = ({ stages }: PipelineBody, name: string) =>
  stages.find((one) => one.name === name)?.id ?? "none";
export const makeDeal = (by: Client, { id: pipelineId }: Body, more: object = {}) =>
  made(by, "/deals", { name: `D ${unique()}`, pipelineId, ...more });
export const move = (by: Client, deal: Body, body: object) => by.post(`/deals/${deal.id}/move`, body);
export const boardOf = async (by: Client, { id }: Body, query = "") =>
  (bodyOf(await by.get(`/pipelines/${id}/board${query}`)) as unknown as { columns: Column[] }).columns;
export const cardsOf = async (by: Client, pipeline: PipelineBody, name: string) =>
  (await boardOf(by, pipeline)).find(({ stage }) => stage.name === name)?.cards.map(({ id }) => id) ?? [];
