import { beforeAll, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";
import {
  boardOf,
  cardsOf,
  makeDeal,
  makePipeline,
  move,
  stageOf,
  type PipelineBody,
} from "../support/deals.ts";
import { bodyOf, listOf, made, recordWorld, unique } from "../support/records.ts";

let admin: Client;
beforeAll(async () => {
  ({ admin } = await recordWorld("Pipelines"));
});

test("an organization begins with a default pipeline, in whose first stage deals begin", async () => {
  const [first] = listOf(await admin.get("/pipelines")) as PipelineBody[];
  expect(first).toMatchObject({ name: "Sales", isDefault: true, version: 1 });
  const deal = await made(admin, "/deals", { name: "First" });
  expect(deal).toMatchObject({
    ...{ pipelineId: first?.id, stageId: first?.stages[0]?.id, status: "open" },
    ...{ closedAt: null, lostReason: null, stageEnteredAt: deal.createdAt },
  });
});

test("stages have defaults, places in the order given, and ids that stay", async () => {
  const pipeline = await makePipeline(admin, [
    { name: "Second", position: 5, probability: 70 },
    { name: "First", position: 1 },
    { name: "Won", kind: "won", position: 9 },
  ]);
  expect(pipeline.stages).toMatchObject([
    { name: "First", kind: "open", probability: 50, position: 0, forecastCategory: "pipeline" },
    { name: "Second", probability: 70, position: 1, rottingDays: null, requiredFields: [] },
    { name: "Won", kind: "won", probability: 100, position: 2 },
  ]);
  const same = await admin.send("PATCH", `/pipelines/${pipeline.id}`, { stages: pipeline.stages });
  expect(same).toMatchObject({ status: 200, body: { version: 1 } });
  const renamed = await admin.send("PATCH", `/pipelines/${pipeline.id}`, {
    stages: pipeline.stages.map((one) => ({ ...one, name: `${one.name}!` })),
  });
  expect((renamed.body as PipelineBody).stages.map(({ id }) => id)).toEqual(
    pipeline.stages.map(({ id }) => id),
  );
});

test.each([
  ["no open stage", [{ name: "Won", kind: "won" }], "stages", "no_open_stage"],
  [
    "an id that is none of its own",
    [{ name: "A", id: "01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f" }],
    "stages.0.id",
    "unknown_stage",
  ],
  [
    "a field that deals do not have",
    [{ name: "A", requiredFields: ["amuont"] }],
    "stages.0.requiredFields.0",
    "unknown_field",
  ],
  ["no stage", [], "stages", "too_small"],
])("stages with %s are refused", async (_what, stages, path, code) => {
  const answer = await admin.post("/pipelines", { name: "Bad", stages });
  expect(answer).toMatchObject({ status: 422, body: { errors: [{ path, code }] } });
});

test("a stage with deals is removed only by force; they stay, and its id brings it back", async () => {
  const pipeline = await makePipeline(admin);
  const path = `/pipelines/${pipeline.id}`;
  const deal = await makeDeal(admin, pipeline, { stageId: stageOf(pipeline, "B") });
  const without = pipeline.stages.filter(({ name }) => name !== "B");
  expect(await admin.send("PATCH", path, { stages: without })).toMatchObject({
    status: 409,
    body: { code: "IN_USE", uses: 1 },
  });
  const forced = await admin.send("PATCH", path, { stages: without, force: true });
  expect(forced).toMatchObject({ status: 200, body: { removedStages: [{ id: stageOf(pipeline, "B") }] } });
  expect(
    (await boardOf(admin, pipeline)).map(({ stage, isRemoved, count }) => [stage.name, isRemoved, count]),
  ).toEqual([
    ["A", false, 0],
    ["Won", false, 0],
    ["Lost", false, 0],
    ["B", true, 1],
  ]);
  expect(await admin.post("/deals", { name: "x", stageId: stageOf(pipeline, "B") })).toMatchObject({
    status: 422,
    body: { errors: [{ path: "stageId", code: "unknown_stage" }] },
  });
  const back = await admin.send("PATCH", path, { stages: pipeline.stages });
  expect(back.body).toMatchObject({ stages: pipeline.stages, removedStages: [] });
  expect(await cardsOf(admin, pipeline, "B")).toEqual([deal.id]);
});

test("a deal cannot enter a stage while that is taken out: one of the two is refused", async () => {
  for (let round = 0; round < 5; round++) {
    const pipeline = await makePipeline(admin);
    const without = pipeline.stages.filter(({ name }) => name !== "B");
    const deal = await makeDeal(admin, pipeline);
    const [moved, removed] = await Promise.all([
      move(admin, deal, { stageId: stageOf(pipeline, "B") }),
      admin.send("PATCH", `/pipelines/${pipeline.id}`, { stages: without }),
    ]);
    expect([
      [200, 409],
      [422, 200],
    ]).toContainEqual([moved.status, removed.status]);
  }
});

test("one pipeline is the default; it is neither deleted nor left without another", async () => {
  const pipeline = await makePipeline(admin);
  const [former] = (listOf(await admin.get("/pipelines")) as PipelineBody[]).filter(
    ({ isDefault }) => isDefault,
  );
  expect(await admin.send("DELETE", `/pipelines/${former?.id}`)).toMatchObject({
    body: { code: "IS_DEFAULT" },
  });
  expect(await admin.send("PATCH", `/pipelines/${former?.id}`, { isDefault: false })).toMatchObject({
    status: 409,
  });
  expect(await admin.send("PATCH", `/pipelines/${pipeline.id}`, { isDefault: true })).toMatchObject({
    status: 200,
  });
  expect(await admin.get(`/pipelines/${former?.id}`)).toMatchObject({ body: { isDefault: false } });
  expect(await made(admin, "/deals", { name: "Here" })).toMatchObject({ pipelineId: pipeline.id });
  await admin.send("PATCH", `/pipelines/${former?.id}`, { isDefault: true });
  expect(await admin.send("DELETE", `/pipelines/${pipeline.id}`)).toMatchObject({
    status: 409,
    body: { code: "IN_USE", uses: 1 },
  });
  expect(await admin.send("DELETE", `/pipelines/${pipeline.id}?force=true`)).toMatchObject({ status: 204 });
  expect(await admin.post(`/pipelines/${pipeline.id}/restore`)).toMatchObject({ status: 200 });
});

test("a stage asks for fields of who enters it, custom ones too", async () => {
  await made(admin, "/custom-fields", { kind: "deal", key: "budget", label: "Budget", type: "number" });
  const pipeline = await makePipeline(admin, [
    { name: "A" },
    { name: "B", requiredFields: ["amount", "customFields.budget"] },
  ]);
  const deal = await makeDeal(admin, pipeline);
  const refused = await move(admin, deal, { stageId: stageOf(pipeline, "B") });
  expect(refused).toMatchObject({
    status: 422,
    body: {
      errors: [
        { path: "amount", code: "required_by_stage" },
        { path: "customFields.budget", code: "required_by_stage" },
      ],
    },
  });
  const given = { amount: { amount: "5", currency: "INR" }, customFields: { budget: 9 } };
  const entered = await admin.send("PATCH", `/deals/${deal.id}`, {
    ...given,
    stageId: stageOf(pipeline, "B"),
  });
  expect(entered).toMatchObject({ status: 200, body: { stageId: stageOf(pipeline, "B") } });
});

test("of two admins who take out the same stage at once, both find it gone and it stays to be brought back once", async () => {
  const pipeline = await makePipeline(admin);
  const path = `/pipelines/${pipeline.id}`;
  const without = pipeline.stages.filter(({ name }) => name !== "B");
  const answers = await Promise.all([1, 2].map(() => admin.send("PATCH", path, { stages: without })));
  expect(answers.map(({ status }) => status)).toEqual([200, 200]);
  const after = bodyOf(await admin.get(path)) as PipelineBody;
  expect(after).toMatchObject({ version: 2, removedStages: [{ id: stageOf(pipeline, "B") }] });
  expect(after.removedStages).toHaveLength(1);
  const seen = await admin.send("PATCH", path, { stages: pipeline.stages }, { "if-match": '"1"' });
  expect(seen).toMatchObject({ status: 412 });
});

test("a stage in which deals are stays of its kind, whatever is forced; one without becomes another", async () => {
  const pipeline = await makePipeline(admin);
  const b = stageOf(pipeline, "B");
  const deal = await makeDeal(admin, pipeline, { stageId: b });
  const turned = (kind: string) => ({
    stages: pipeline.stages.map((one) => (one.id === b ? { ...one, kind } : one)),
    force: true,
  });
  expect(await admin.send("PATCH", `/pipelines/${pipeline.id}`, turned("won"))).toMatchObject({
    status: 409,
    body: { code: "IN_USE", uses: 1 },
  });
  expect(await move(admin, deal, { stageId: stageOf(pipeline, "A") })).toMatchObject({ status: 200 });
  expect(await admin.send("PATCH", `/pipelines/${pipeline.id}`, turned("won"))).toMatchObject({
    status: 200,
  });
});

test("a deal cannot enter a stage while that becomes one of another kind", async () => {
  const pipeline = await makePipeline(admin);
  const b = stageOf(pipeline, "B");
  const deals = await Promise.all(Array.from({ length: 5 }, () => makeDeal(admin, pipeline)));
  const [changed, ...moved] = await Promise.all([
    admin.send("PATCH", `/pipelines/${pipeline.id}`, {
      stages: pipeline.stages.map((one) => (one.id === b ? { ...one, kind: "won" } : one)),
    }),
    ...deals.map((one) => move(admin, one, { stageId: b })),
  ]);
  expect([200, 409]).toContain(changed?.status);
  const now = await Promise.all(deals.map(async ({ id }) => bodyOf(await admin.get(`/deals/${id}`))));
  const { stages } = bodyOf(await admin.get(`/pipelines/${pipeline.id}`)) as PipelineBody;
  for (const one of now) expect(one.status).toBe(stages.find(({ id }) => id === one.stageId)?.kind);
  for (const answer of moved) expect([200, 422]).toContain(answer.status);
});

test.each([["closedAt"], ["lostReason"]])(
  "no stage asks for %s, which only what has ended has",
  async (field) => {
    const answer = await admin.post("/pipelines", {
      ...{
        name: unique(),
        stages: [
          { name: "A", requiredFields: [field] },
          { name: "Won", kind: "won" },
        ],
      },
    });
    expect(answer).toMatchObject({ status: 422, body: { errors: [{ code: "unknown_field" }] } });
  },
);
