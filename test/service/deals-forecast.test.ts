import { beforeAll, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";
import { inspect } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import type { TestNode } from "../support/node.ts";
import { bodyOf, made, recordWorld, unique, type Body } from "../support/records.ts";

let node: TestNode;
let admin: Client;
let rep: Client;
beforeAll(async () => {
  ({ node, admin, rep } = await recordWorld("Forecasts"));
});

interface Row {
  month?: string | null;
  ownerId?: string | null;
  weighted: object;
}
const money = (amount: string, currency = "INR") => ({ amount, currency });
const stages = [
  { name: "Talks", probability: 10, rottingDays: 3 },
  { name: "Likely", probability: 33, forecastCategory: "bestCase" },
  { name: "Sure", probability: 90, forecastCategory: "commit" },
  { name: "Dreams", probability: 50, forecastCategory: "omitted" },
  { name: "Won", kind: "won" },
  { name: "Lost", kind: "lost" },
];
const makePipeline = () => made(admin, "/pipelines", { name: `P ${unique()}`, stages });
const stageOf = (pipeline: Body, name: string) =>
  (pipeline.stages as { id: string; name: string }[]).find((one) => one.name === name)?.id;
const deal = (pipeline: Body, stage: string, amount: object | null, more: object = {}, by = admin) =>
  made(by, "/deals", { name: `D ${unique()}`, stageId: stageOf(pipeline, stage), amount, ...more });
const forecastOf = async ({ id }: Body, query = "", by = admin) => {
  const answer = await by.get(`/pipelines/${id}/forecast?${query}`);
  expect(answer).toMatchObject({ status: 200 });
  return bodyOf(answer) as unknown as { data: Row[]; withoutRate: object[] };
};
const zeros = { weighted: money("0.00"), bestCase: money("0.00"), commit: money("0.00"), won: money("0.00") };

test("a forecast tells by month what open deals are likely to bring, and what was won", async () => {
  await admin.send("PATCH", "/organization", { timezone: "Asia/Kolkata" });
  const pipeline = await makePipeline();
  const closing = (expectedCloseAt: string) => ({ expectedCloseAt });
  await deal(pipeline, "Talks", money("100.00"), closing("2027-01-31T18:29:59.000Z"));
  await deal(pipeline, "Likely", money("0.55"), closing("2027-01-05T00:00:00.000Z"));
  // February in Kolkata
  await deal(pipeline, "Sure", money("1000.00"), closing("2027-01-31T18:30:00.000Z"));
  await deal(pipeline, "Dreams", money("5000.00"), closing("2027-02-05T00:00:00.000Z"));
  await deal(pipeline, "Sure", money("7.00", "EUR"), closing("2027-02-05T00:00:00.000Z"));
  await deal(pipeline, "Talks", money("50.00"));
  await deal(pipeline, "Talks", null, closing("2027-03-05T00:00:00.000Z"));
  const now = new Date().toISOString();
  await deal(pipeline, "Won", money("20.00"), { closedAt: now });
  await deal(pipeline, "Won", money("30.00"), { closedAt: "2020-01-01T00:00:00.000Z" });
  await deal(pipeline, "Lost", money("40.00"));
  const told = await eventually(async () => {
    const answer = await forecastOf(pipeline);
    return answer.data.some(({ weighted }) => JSON.stringify(weighted).includes('"900.00"')) ? answer : null;
  });
  const wonMonth = new Date(Date.parse(now) + 5.5 * 3_600_000).toISOString().slice(0, 7);
  expect(told).toEqual({
    data: [
      { ...zeros, month: wonMonth, won: money("20.00") },
      { ...zeros, month: "2027-01", weighted: money("10.18"), bestCase: money("0.55") },
      { ...zeros, month: "2027-02", weighted: money("900.00"), commit: money("1000.00") },
      { ...zeros, month: null, weighted: money("5.00") },
    ],
    withoutRate: [{ amount: money("7.00", "EUR"), count: 1 }],
  });
  const past = await forecastOf(pipeline, "from=2019-12&to=2020-01");
  expect(past.data).toEqual([{ ...zeros, month: "2020-01", won: money("30.00") }]);
  expect(await admin.get(`/pipelines/${pipeline.id}/forecast?from=2027-13`)).toMatchObject({ status: 400 });
});

test("a forecast by owner adds up what the caller may see, and says nothing of a pipeline that it may not", async () => {
  const pipeline = await makePipeline();
  await deal(pipeline, "Sure", money("10.00"), { ownerId: admin.userId });
  await deal(pipeline, "Sure", money("20.00"), {}, rep);
  await deal(pipeline, "Won", money("5.00"), {}, rep);
  const own = {
    ...zeros,
    ownerId: rep.userId,
    weighted: money("18.00"),
    commit: money("20.00"),
    won: money("5.00"),
  };
  expect((await forecastOf(pipeline, "by=owner", rep)).data).toEqual([own]);
  const all = await forecastOf(pipeline, "by=owner");
  expect(all.data).toContainEqual(own);
  expect(all.data).toContainEqual({
    ...zeros,
    ownerId: admin.userId,
    weighted: money("9.00"),
    commit: money("10.00"),
  });
  const other = await recordWorld("Elsewhere");
  expect(await other.admin.get(`/pipelines/${pipeline.id}/forecast`)).toMatchObject({ status: 404 });
});

test("dates of any year that there is are told, each in its month", async () => {
  const pipeline = await makePipeline();
  for (const expectedCloseAt of ["1900-01-15T00:00:00.000Z", "9999-12-15T23:59:59.999Z"])
    await deal(pipeline, "Sure", money("1.00"), { expectedCloseAt });
  expect((await forecastOf(pipeline, "to=9999-12")).data.map(({ month }) => month)).toEqual([
    "1900-01",
    "9999-12",
  ]);
  const [late] = [{ name: "x", expectedCloseAt: "10000-01-01T00:00:00.000Z" }];
  expect(await admin.post("/deals", late)).toMatchObject({
    status: 422,
    body: { errors: [{ path: "expectedCloseAt" }] },
  });
});

test("cards tell since when they rot, and a board shows those alone", async () => {
  const pipeline = await makePipeline();
  const [old, fresh] = [await deal(pipeline, "Talks", null), await deal(pipeline, "Talks", null)];
  await deal(pipeline, "Sure", null);
  const entered = new Date(Date.now() - 5 * 86_400_000).toISOString();
  for (const url of node.databases)
    await inspect(url, "UPDATE deals SET stage_entered_at = $2 WHERE id = $1", [old.id, entered]);
  const cards = async (query: string) => {
    const answer = bodyOf(await admin.get(`/pipelines/${pipeline.id}/board?${query}`));
    return (answer.columns as { count: number; cards: Body[] }[]).flatMap((column) => column.cards);
  };
  const since = new Date(Date.parse(entered) + 3 * 86_400_000).toISOString();
  expect((await cards("")).map(({ id, rottingSince }) => [id, rottingSince]).slice(0, 2)).toEqual([
    [old.id, since],
    [fresh.id, null],
  ]);
  expect(await cards("isRotting=true")).toMatchObject([{ id: old.id, rottingSince: since }]);
});
