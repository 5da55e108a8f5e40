import { beforeAll, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { bodyOf, listOf, made, recordWorld, unique, type Body } from "../support/records.ts";

let admin: Client;
let rep: Client;
let stranger: Client;
beforeAll(async () => {
  ({ admin, rep, stranger } = await recordWorld("Deals"));
});

interface StageBody {
  id: string;
  name: string;
  kind: string;
}
type PipelineBody = Body & { stages: StageBody[]; removedStages: StageBody[]; isDefault: boolean };
interface Column {
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
const makePipeline = async (stages: object[] = threeStages) =>
  (await made(admin, "/pipelines", { name: `P ${unique()}`, stages })) as PipelineBody;
const stageOf = ({ stages }: PipelineBody, name: string) =>
  stages.find((one) => one.name === name)?.id ?? "none";
const makeDeal = (pipeline: PipelineBody, more: object = {}, by = admin) =>
  made(by, "/deals", { name: `D ${unique()}`, pipelineId: pipeline.id, ...more });
const boardOf = async ({ id }: PipelineBody, query = "", by = admin) =>
  (bodyOf(await by.get(`/pipelines/${id}/board${query}`)) as unknown as { columns: Column[] }).columns;
const cardsOf = async (pipeline: PipelineBody, name: string) =>
  (await boardOf(pipeline)).find(({ stage }) => stage.name === name)?.cards.map(({ id }) => id) ?? [];
const move = (deal: Body, body: object, by = admin) => by.post(`/deals/${deal.id}/move`, body);

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
  const pipeline = await makePipeline([
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
  const pipeline = await makePipeline();
  const path = `/pipelines/${pipeline.id}`;
  const deal = await makeDeal(pipeline, { stageId: stageOf(pipeline, "B") });
  const without = pipeline.stages.filter(({ name }) => name !== "B");
  expect(await admin.send("PATCH", path, { stages: without })).toMatchObject({
    status: 409,
    body: { code: "IN_USE", uses: 1 },
  });
  const forced = await admin.send("PATCH", path, { stages: without, force: true });
  expect(forced).toMatchObject({ status: 200, body: { removedStages: [{ id: stageOf(pipeline, "B") }] } });
  expect(
    (await boardOf(pipeline)).map(({ stage, isRemoved, count }) => [stage.name, isRemoved, count]),
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
  expect(await cardsOf(pipeline, "B")).toEqual([deal.id]);
});

test("a deal cannot enter a stage while that is taken out: one of the two is refused", async () => {
  for (let round = 0; round < 5; round++) {
    const pipeline = await makePipeline();
    const without = pipeline.stages.filter(({ name }) => name !== "B");
    const deal = await makeDeal(pipeline);
    const [moved, removed] = await Promise.all([
      move(deal, { stageId: stageOf(pipeline, "B") }),
      admin.send("PATCH", `/pipelines/${pipeline.id}`, { stages: without }),
    ]);
    expect([
      [200, 409],
      [422, 200],
    ]).toContainEqual([moved.status, removed.status]);
  }
});

test("one pipeline is the default; it is neither deleted nor left without another", async () => {
  const pipeline = await makePipeline();
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
  const pipeline = await makePipeline([
    { name: "A" },
    { name: "B", requiredFields: ["amount", "customFields.budget"] },
  ]);
  const deal = await makeDeal(pipeline);
  const refused = await move(deal, { stageId: stageOf(pipeline, "B") });
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

test("a stage of another pipeline is refused, unless the pipeline is named", async () => {
  const [one, other] = [await makePipeline(), await makePipeline()];
  const deal = await makeDeal(one);
  const stageId = stageOf(other, "B");
  expect(await move(deal, { stageId })).toMatchObject({
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
  const pipeline = await makePipeline();
  const deal = await makeDeal(pipeline, {}, rep);
  const won = await rep.post(`/deals/${deal.id}/win`);
  expect(won).toMatchObject({
    status: 200,
    body: { status: "won", stageId: stageOf(pipeline, "Won"), closedAt: expect.any(String), version: 2 },
  });
  expect(await rep.post(`/deals/${deal.id}/win`)).toMatchObject({ status: 200, body: { version: 2 } });
  expect(await rep.post(`/deals/${deal.id}/lose`, {})).toMatchObject({ status: 422 });
  const lost = await rep.post(`/deals/${deal.id}/lose`, { reason: "Too dear" });
  expect(lost).toMatchObject({ body: { status: "lost", lostReason: "Too dear", version: 3 } });
  const open = await move(deal, { stageId: stageOf(pipeline, "A") }, rep);
  expect(open).toMatchObject({ body: { status: "open", closedAt: null, lostReason: null } });
  const history = listOf(await rep.get(`/deals/${deal.id}/history`));
  expect(history.map(({ type }) => type)).toEqual(["deal.moved", "deal.lost", "deal.won", "deal.created"]);
  expect(history[1]).toMatchObject({
    changes: { status: ["won", "lost"], lostReason: [null, "Too dear"] },
  });
});

test("a deal that was closed elsewhere comes with its time; an open one has none", async () => {
  const pipeline = await makePipeline();
  const closedAt = "2024-02-29T00:00:00.000Z";
  const deal = await makeDeal(pipeline, { stageId: stageOf(pipeline, "Won"), closedAt });
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

test("stand on a board in the order in which they are put", async () => {
  const pipeline = await makePipeline();
  const amount = (value: string, currency: string) => ({ amount: { amount: value, currency } });
  const [a, b, c] = [
    await makeDeal(pipeline, amount("10.50", "INR")),
    await makeDeal(pipeline, amount("2", "INR")),
    await makeDeal(pipeline, amount("7", "JPY")),
  ];
  expect(await cardsOf(pipeline, "A")).toEqual([a.id, b.id, c.id]);
  const stageId = stageOf(pipeline, "A");
  expect(await move(c, { stageId, before: a.id })).toMatchObject({ status: 200, body: { version: 2 } });
  expect(await cardsOf(pipeline, "A")).toEqual([c.id, a.id, b.id]);
  await move(c, { stageId, after: a.id });
  expect(await cardsOf(pipeline, "A")).toEqual([a.id, c.id, b.id]);
  await move(a, { stageId });
  expect(await cardsOf(pipeline, "A")).toEqual([c.id, b.id, a.id]);
  const [column] = await boardOf(pipeline);
  expect(column).toMatchObject({ count: 3, nextCursor: null });
  expect(new Set(column?.amounts)).toEqual(
    new Set([
      { amount: "12.50", currency: "INR" },
      { amount: "7", currency: "JPY" },
    ]),
  );
  await move(b, { stageId: stageOf(pipeline, "B") });
  expect(await move(a, { stageId, after: b.id })).toMatchObject({
    status: 409,
    body: { code: "BOARD_CHANGED" },
  });
  expect(await move(a, { stageId, after: a.id })).toMatchObject({ status: 422 });
});

test("a board goes on stage by stage, filtered as lists are", async () => {
  const pipeline = await makePipeline();
  const tag = unique();
  const deals: Body[] = [];
  for (let index = 0; index < 5; index++)
    deals.push(await makeDeal(pipeline, index === 2 ? {} : { tags: [tag] }));
  const filter = `filter[tags][contains]=${tag}&limit=3`;
  const [first] = await boardOf(pipeline, `?${filter}`);
  expect(first).toMatchObject({ count: 4, cards: [0, 1, 3].map((index) => ({ id: deals[index]?.id })) });
  const next = `?${filter}&stageId=${first?.stage.id}&cursor=${first?.nextCursor}`;
  expect(await boardOf(pipeline, next)).toMatchObject([{ cards: [{ id: deals[4]?.id }], nextCursor: null }]);
  expect(await admin.get(`/pipelines/${pipeline.id}/board${next.replace(tag, "other")}`)).toMatchObject({
    status: 400,
  });
});

test("ten people who drag at once leave one order that all are told", async () => {
  const pipeline = await makePipeline();
  const deals: Body[] = [];
  for (let index = 0; index < 10; index++) deals.push(await makeDeal(pipeline));
  const stageId = stageOf(pipeline, "A");
  const [anchor = deals[0] as Body, ...others] = deals;
  const moved = await Promise.all(others.map((deal) => move(deal, { stageId, before: anchor.id })));
  expect(moved.map(({ status }) => status)).toEqual(others.map(() => 200));
  const cards = await cardsOf(pipeline, "A");
  expect(new Set(cards).size).toBe(10);
  expect(cards.at(-1)).toBe(anchor.id);
  const places = new Map(moved.map(({ body }) => [(body as Body).id, (body as Body).position as string]));
  const byPlace = [...places].sort(([, a], [, b]) => (a < b ? -1 : 1)).map(([id]) => id);
  expect(cards.slice(0, -1)).toEqual(byPlace);
});

test("places that became long are made short again, in the same order", async () => {
  const pipeline = await makePipeline();
  const stageId = stageOf(pipeline, "A");
  const [top, a, b] = [await makeDeal(pipeline), await makeDeal(pipeline), await makeDeal(pipeline)];
  let longest = 0;
  for (let round = 0; round < 1_000 && longest <= 60; round++) {
    const answer = await move(round % 2 === 0 ? a : b, { stageId, after: top.id });
    longest = String((answer.body as Body).position).length;
  }
  expect(longest).toBeGreaterThan(60);
  const order = await cardsOf(pipeline, "A");
  await eventually(async () => {
    const [column] = await boardOf(pipeline);
    return column?.cards.every(({ position }) => String(position).length < 30);
  });
  expect(await cardsOf(pipeline, "A")).toEqual(order);
});

test("another organization sees none of it", async () => {
  const pipeline = await makePipeline();
  const deal = await makeDeal(pipeline);
  const theirs = await made(stranger, "/deals", { name: "Theirs" });
  for (const path of [`/pipelines/${pipeline.id}`, `/pipelines/${pipeline.id}/board`, `/deals/${deal.id}`])
    expect(await stranger.get(path)).toMatchObject({ status: 404 });
  expect(await stranger.post("/deals", { name: "x", pipelineId: pipeline.id })).toMatchObject({
    status: 422,
  });
  expect(await stranger.post(`/deals/${deal.id}/win`)).toMatchObject({ status: 404 });
  const place = { stageId: theirs.stageId, before: deal.id };
  expect(await stranger.post(`/deals/${theirs.id}/move`, place)).toMatchObject({ status: 422 });
});

test("who sees only their own sees a board of those", async () => {
  const pipeline = await makePipeline();
  await makeDeal(pipeline);
  const own = await makeDeal(pipeline, {}, rep);
  const [column] = await boardOf(pipeline, "", rep);
  expect(column).toMatchObject({ count: 1, cards: [{ id: own.id }] });
  expect(await rep.post("/pipelines", { name: "x", stages: [{ name: "A" }] })).toMatchObject({ status: 403 });
});

test("of two admins who take out the same stage at once, both find it gone and it stays to be brought back once", async () => {
  const pipeline = await makePipeline();
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

test("a stage in which deals are stays of its kind, whatever is forced; one without becomes another", async () => {
  const pipeline = await makePipeline();
  const b = stageOf(pipeline, "B");
  const deal = await makeDeal(pipeline, { stageId: b });
  const turned = (kind: string) => ({
    stages: pipeline.stages.map((one) => (one.id === b ? { ...one, kind } : one)),
    force: true,
  });
  expect(await admin.send("PATCH", `/pipelines/${pipeline.id}`, turned("won"))).toMatchObject({
    status: 409,
    body: { code: "IN_USE", uses: 1 },
  });
  expect(await move(deal, { stageId: stageOf(pipeline, "A") })).toMatchObject({ status: 200 });
  expect(await admin.send("PATCH", `/pipelines/${pipeline.id}`, turned("won"))).toMatchObject({
    status: 200,
  });
});

test("a deal cannot enter a stage while that becomes one of another kind", async () => {
  const pipeline = await makePipeline();
  const b = stageOf(pipeline, "B");
  const deals = await Promise.all(Array.from({ length: 5 }, () => makeDeal(pipeline)));
  const [changed, ...moved] = await Promise.all([
    admin.send("PATCH", `/pipelines/${pipeline.id}`, {
      stages: pipeline.stages.map((one) => (one.id === b ? { ...one, kind: "won" } : one)),
    }),
    ...deals.map((one) => move(one, { stageId: b })),
  ]);
  expect([200, 409]).toContain(changed?.status);
  const now = await Promise.all(deals.map(async ({ id }) => bodyOf(await admin.get(`/deals/${id}`))));
  const { stages } = bodyOf(await admin.get(`/pipelines/${pipeline.id}`)) as PipelineBody;
  for (const one of now) expect(one.status).toBe(stages.find(({ id }) => id === one.stageId)?.kind);
  for (const answer of moved) expect([200, 422]).toContain(answer.status);
});

test("a deal that comes back after its stage went, or its pipeline, is in the first stage like it", async () => {
  const pipeline = await makePipeline();
  const [one, other] = [
    await makeDeal(pipeline, { stageId: stageOf(pipeline, "B") }),
    await makeDeal(pipeline),
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
  const pipeline = await makePipeline();
  const open = await makeDeal(pipeline);
  const won = bodyOf(await admin.post(`/deals/${(await makeDeal(pipeline)).id}/win`));
  const lost = bodyOf(await admin.post(`/deals/${(await makeDeal(pipeline)).id}/lose`, { reason: "Price" }));
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
  const again = await makeDeal(pipeline);
  expect(await merged(again, open)).toMatchObject({
    status: 200,
    body: { record: { status: "open", closedAt: null, stageId: again.stageId } },
  });
});

test("deals made at once stand in the order in which they were given", async () => {
  const pipeline = await makePipeline();
  const names = Array.from({ length: 30 }, (_, index) => `N${index}`);
  await admin.post("/deals/bulk", { items: names.map((name) => ({ name, pipelineId: pipeline.id })) });
  const [first] = await boardOf(pipeline);
  expect(first?.cards.map(({ name }) => name)).toEqual(names);
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

test("a board of a stage of another pipeline is refused", async () => {
  const [one, other] = [await makePipeline(), await makePipeline()];
  expect(await admin.get(`/pipelines/${one.id}/board?stageId=${stageOf(other, "A")}`)).toMatchObject({
    status: 400,
    body: { errors: [{ path: "stageId" }] },
  });
});
