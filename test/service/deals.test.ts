import { beforeAll, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";
import { makeDeal, makePipeline, move, stageOf, type PipelineBody } from "../support/deals.ts";
import { bodyOf, listOf, recordWorld, type Body } from "../support/records.ts";

let admin: Client;
let rep: Client;
beforeAll(async () => {
  ({ admin, rep } = await recordWorld("Deals"));
});

test("a stage of another pipeline is refused, unless the pipeline is named", async () => {
  const [one, other] = [await makePipeline(admin), await makePipeline(admin)];
  const deal = await makeDeal(admin, one);
  const stageId = stageOf(other, "B");
  expect(await move(admin, deal, { stageId })).toMatchObject({
    status: 422,
    body: { errors: [{ path: "stageId", code: "unknown_stage" }] },
  });
  const moved = await admin.send("PATCH", `/deals/${deal.id}`, { pipelineId: other.id, stageId });
  expect(moved).toMatchObject({ status: 200, body: { pipelineId: other.id, stageId } });
  expect(await admin.send("PATCH", `/deals/${deal.id}`, { pipelineId: one.id })).toMatchObject({
    body: { pipelineId: one.id, stageId: stageOf(one, "A") },
  });
});

test("is won and lost, and opened again; its end is told with its time and its reason", async () => {
  const pipeline = await makePipeline(admin);
  const deal = await makeDeal(rep, pipeline);
  const won = await rep.post(`/deals/${deal.id}/win`);
  expect(won).toMatchObject({
    status: 200,
    body: { status: "won", stageId: stageOf(pipeline, "Won"), closedAt: expect.any(String), version: 2 },
  });
  expect(await rep.post(`/deals/${deal.id}/win`)).toMatchObject({ status: 200, body: { version: 2 } });
  expect(await rep.post(`/deals/${deal.id}/lose`, {})).toMatchObject({ status: 422 });
  const lost = await rep.post(`/deals/${deal.id}/lose`, { reason: "Too dear" });
  expect(lost).toMatchObject({ body: { status: "lost", lostReason: "Too dear", version: 3 } });
  const open = await move(rep, deal, { stageId: stageOf(pipeline, "A") });
  expect(open).toMatchObject({ body: { status: "open", closedAt: null, lostReason: null } });
  const history = listOf(await rep.get(`/deals/${deal.id}/history`));
  expect(history.map(({ type }) => type)).toEqual(["deal.moved", "deal.lost", "deal.won", "deal.created"]);
  expect(history[1]).toMatchObject({
    changes: { status: ["won", "lost"], lostReason: [null, "Too dear"] },
  });
});

test("a deal that was closed elsewhere comes with its time; an open one has none", async () => {
  const pipeline = await makePipeline(admin);
  const closedAt = "2024-02-29T00:00:00.000Z";
  const deal = await makeDeal(admin, pipeline, { stageId: stageOf(pipeline, "Won"), closedAt });
  expect(deal).toMatchObject({ status: "won", closedAt });
  expect(await admin.post("/deals", { name: "x", closedAt })).toMatchObject({
    status: 422,
    body: { errors: [{ path: "closedAt", code: "deal_is_open" }] },
  });
  expect(await admin.send("PATCH", `/deals/${deal.id}`, { lostReason: "none" })).toMatchObject({
    status: 422,
  });
  expect(await admin.send("PATCH", `/deals/${deal.id}`, { stageId: null })).toMatchObject({ status: 422 });
});

test("ten thousand tags, more contacts than a deal has, and money that is none are refused each with its place", async () => {
  const answer = await admin.post("/deals", {
    name: "Too much",
    tags: Array.from({ length: 10_000 }, (_, index) => `t${index}`),
    contacts: Array.from({ length: 51 }, () => ({ contactId: "01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f" })),
    amount: { amount: "1.001", currency: "INR" },
  });
  expect(answer).toMatchObject({ status: 422 });
  const { errors } = answer.body as { errors: { path: string }[] };
  expect(errors.map(({ path }) => path).sort()).toEqual(["amount.amount", "contacts", "tags"]);
});

test("a deal that comes back after its stage went, or its pipeline, is in the first stage like it", async () => {
  const pipeline = await makePipeline(admin);
  const [one, other] = [
    await makeDeal(admin, pipeline, { stageId: stageOf(pipeline, "B") }),
    await makeDeal(admin, pipeline),
  ];
  for (const { id } of [one, other]) await admin.send("DELETE", `/deals/${id}`);
  await admin.send("PATCH", `/pipelines/${pipeline.id}`, {
    stages: pipeline.stages.filter(({ name }) => name !== "B"),
  });
  expect(await admin.post(`/deals/${one.id}/restore`)).toMatchObject({
    status: 200,
    body: { pipelineId: pipeline.id, stageId: stageOf(pipeline, "A"), status: "open" },
  });
  await admin.send("DELETE", `/deals/${one.id}`);
  expect(await admin.send("DELETE", `/pipelines/${pipeline.id}`)).toMatchObject({ status: 204 });
  const standard = (listOf(await admin.get("/pipelines")) as PipelineBody[]).find(
    ({ isDefault }) => isDefault,
  );
  expect(await admin.post(`/deals/${other.id}/restore`)).toMatchObject({
    status: 200,
    body: { pipelineId: standard?.id, stageId: standard?.stages[0]?.id },
  });
});

test("merging keeps the end of the one that stays: what follows from a stage goes with the stage", async () => {
  const pipeline = await makePipeline(admin);
  const open = await makeDeal(admin, pipeline);
  const won = bodyOf(await admin.post(`/deals/${(await makeDeal(admin, pipeline)).id}/win`));
  const lost = bodyOf(
    await admin.post(`/deals/${(await makeDeal(admin, pipeline)).id}/lose`, { reason: "Price" }),
  );
  const merged = (winner: Body, loser: Body, take = {}) =>
    admin.post(`/deals/${winner.id}/merge`, { loserIds: [loser.id], take });
  expect(await merged(won, lost)).toMatchObject({
    status: 200,
    body: { record: { status: "won", closedAt: won.closedAt, lostReason: null } },
  });
  expect(await merged(open, won, { stageId: won.id })).toMatchObject({
    status: 200,
    body: { record: { status: "won", stageId: won.stageId, closedAt: won.closedAt } },
  });
  const again = await makeDeal(admin, pipeline);
  expect(await merged(again, open)).toMatchObject({
    status: 200,
    body: { record: { status: "open", closedAt: null, stageId: again.stageId } },
  });
});
