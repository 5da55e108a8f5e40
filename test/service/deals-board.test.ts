import { beforeAll, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";
import { boardOf, cardsOf, makeDeal, makePipeline, move, stageOf } from "../support/deals.ts";
import { eventually } from "../support/eventually.ts";
import { made, recordWorld, unique, type Body } from "../support/records.ts";

let admin: Client;
let rep: Client;
let stranger: Client;
beforeAll(async () => {
  ({ admin, rep, stranger } = await recordWorld("Boards"));
});

test("stand on a board in the order in which they are put", async () => {
  const pipeline = await makePipeline(admin);
  const amount = (value: string, currency: string) => ({ amount: { amount: value, currency } });
  const [a, b, c] = [
    await makeDeal(admin, pipeline, amount("10.50", "INR")),
    await makeDeal(admin, pipeline, amount("2", "INR")),
    await makeDeal(admin, pipeline, amount("7", "JPY")),
  ];
  expect(await cardsOf(admin, pipeline, "A")).toEqual([a.id, b.id, c.id]);
  const stageId = stageOf(pipeline, "A");
  expect(await move(admin, c, { stageId, before: a.id })).toMatchObject({
    status: 200,
    body: { version: 2 },
  });
  expect(await cardsOf(admin, pipeline, "A")).toEqual([c.id, a.id, b.id]);
  await move(admin, c, { stageId, after: a.id });
  expect(await cardsOf(admin, pipeline, "A")).toEqual([a.id, c.id, b.id]);
  await move(admin, a, { stageId });
  expect(await cardsOf(admin, pipeline, "A")).toEqual([c.id, b.id, a.id]);
  const [column] = await boardOf(admin, pipeline);
  expect(column).toMatchObject({ count: 3, nextCursor: null });
  expect(new Set(column?.amounts)).toEqual(
    new Set([
      { amount: "12.50", currency: "INR" },
      { amount: "7", currency: "JPY" },
    ]),
  );
  await move(admin, b, { stageId: stageOf(pipeline, "B") });
  expect(await move(admin, a, { stageId, after: b.id })).toMatchObject({
    status: 409,
    body: { code: "BOARD_CHANGED" },
  });
  expect(await move(admin, a, { stageId, after: a.id })).toMatchObject({ status: 422 });
});

test("a board goes on stage by stage, filtered as lists are", async () => {
  const pipeline = await makePipeline(admin);
  const tag = unique();
  const deals: Body[] = [];
  for (let index = 0; index < 5; index++)
    deals.push(await makeDeal(admin, pipeline, index === 2 ? {} : { tags: [tag] }));
  const filter = `filter[tags][contains]=${tag}&limit=3`;
  const [first] = await boardOf(admin, pipeline, `?${filter}`);
  expect(first).toMatchObject({ count: 4, cards: [0, 1, 3].map((index) => ({ id: deals[index]?.id })) });
  const next = `?${filter}&stageId=${first?.stage.id}&cursor=${first?.nextCursor}`;
  expect(await boardOf(admin, pipeline, next)).toMatchObject([
    { cards: [{ id: deals[4]?.id }], nextCursor: null },
  ]);
  expect(await admin.get(`/pipelines/${pipeline.id}/board${next.replace(tag, "other")}`)).toMatchObject({
    status: 400,
  });
});

test("ten people who drag at once leave one order that all are told", async () => {
  const pipeline = await makePipeline(admin);
  const deals: Body[] = [];
  for (let index = 0; index < 10; index++) deals.push(await makeDeal(admin, pipeline));
  const stageId = stageOf(pipeline, "A");
  const [anchor = deals[0] as Body, ...others] = deals;
  const moved = await Promise.all(others.map((deal) => move(admin, deal, { stageId, before: anchor.id })));
  expect(moved.map(({ status }) => status)).toEqual(others.map(() => 200));
  const cards = await cardsOf(admin, pipeline, "A");
  expect(new Set(cards).size).toBe(10);
  expect(cards.at(-1)).toBe(anchor.id);
  const places = new Map(moved.map(({ body }) => [(body as Body).id, (body as Body).position as string]));
  const byPlace = [...places].sort(([, a], [, b]) => (a < b ? -1 : 1)).map(([id]) => id);
  expect(cards.slice(0, -1)).toEqual(byPlace);
});

test("places that became long are made short again, in the same order", async () => {
  const pipeline = await makePipeline(admin);
  const stageId = stageOf(pipeline, "A");
  const [top, a, b] = [
    await makeDeal(admin, pipeline),
    await makeDeal(admin, pipeline),
    await makeDeal(admin, pipeline),
  ];
  let longest = 0;
  for (let round = 0; round < 1_000 && longest <= 60; round++) {
    const answer = await move(admin, round % 2 === 0 ? a : b, { stageId, after: top.id });
    longest = String((answer.body as Body).position).length;
  }
  expect(longest).toBeGreaterThan(60);
  const order = await cardsOf(admin, pipeline, "A");
  await eventually(async () => {
    const [column] = await boardOf(admin, pipeline);
    return column?.cards.every(({ position }) => String(position).length < 30);
  });
  expect(await cardsOf(admin, pipeline, "A")).toEqual(order);
});

test("another organization sees none of it", async () => {
  const pipeline = await makePipeline(admin);
  const deal = await makeDeal(admin, pipeline);
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
  const pipeline = await makePipeline(admin);
  await makeDeal(admin, pipeline);
  const own = await makeDeal(rep, pipeline);
  const [column] = await boardOf(rep, pipeline);
  expect(column).toMatchObject({ count: 1, cards: [{ id: own.id }] });
  expect(await rep.post("/pipelines", { name: "x", stages: [{ name: "A" }] })).toMatchObject({ status: 403 });
});

test("deals made at once stand in the order in which they were given", async () => {
  const pipeline = await makePipeline(admin);
  const names = Array.from({ length: 30 }, (_, index) => `N${index}`);
  await admin.post("/deals/bulk", { items: names.map((name) => ({ name, pipelineId: pipeline.id })) });
  const [first] = await boardOf(admin, pipeline);
  expect(first?.cards.map(({ name }) => name)).toEqual(names);
});

test("a board of a stage of another pipeline is refused", async () => {
  const [one, other] = [await makePipeline(admin), await makePipeline(admin)];
  expect(await admin.get(`/pipelines/${one.id}/board?stageId=${stageOf(other, "A")}`)).toMatchObject({
    status: 400,
    body: { errors: [{ path: "stageId" }] },
  });
});
