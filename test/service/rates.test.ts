import { beforeAll, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { bodyOf, listOf, made, recordWorld, unique, type Body } from "../support/records.ts";

let admin: Client;
let rep: Client;
beforeAll(async () => {
  ({ admin, rep } = await recordWorld("Rates"));
});

interface Column {
  stage: { name: string };
  count: number;
  amount: object;
  amounts: object[];
  withoutRate: { amount: object; count: number }[];
}
const money = (amount: string, currency = "INR") => ({ amount, currency });
const setRate = (currency: string, rate: string, validFrom: string) =>
  made(admin, "/rates", { currency, rate, validFrom });
const makePipeline = () =>
  made(admin, "/pipelines", {
    name: `P ${unique()}`,
    stages: [{ name: "Open" }, { name: "Won", kind: "won" }],
  });
const stageOf = (pipeline: Body, name: string) =>
  (pipeline.stages as { id: string; name: string }[]).find((one) => one.name === name)?.id;
const boardOf = async ({ id }: Body, by = admin) =>
  (bodyOf(await by.get(`/pipelines/${id}/board`)) as unknown as { columns: Column[] }).columns;

test("a board adds up in the organization's currency: by the rate of now, of what was closed by that of then", async () => {
  await setRate("USD", "80", "2024-01-01T00:00:00.000Z");
  await setRate("USD", "83.125", "2026-01-01T00:00:00.000Z");
  await setRate("JPY", "0.5678", "2025-01-01T00:00:00.000Z");
  const pipeline = await makePipeline();
  const deal = (amount: object, more: object = {}) =>
    made(admin, "/deals", { name: `D ${unique()}`, pipelineId: pipeline.id, amount, ...more });
  const closed = { stageId: stageOf(pipeline, "Won") };
  await deal(money("100.00"));
  await deal(money("10.01", "USD"));
  await deal(money("1000", "JPY"));
  await deal(money("5.00", "EUR"));
  await deal(money("7.50", "EUR"));
  await deal(money("1.00", "USD"), { ...closed, closedAt: "2025-06-01T00:00:00.000Z" });
  await deal(money("1.00", "USD"), { ...closed, closedAt: "2023-12-31T23:59:59.999Z" });
  await made(admin, "/deals", { name: "Bare", pipelineId: pipeline.id });
  const [open, won] = await eventually(async () => {
    const columns = await boardOf(pipeline);
    return columns[1]?.withoutRate.length === 1 ? columns : null;
  });
  expect(open).toMatchObject({
    count: 6,
    // 100 + 832.08 (of 832.08125) + 567.80
    amount: money("1499.88"),
    withoutRate: [{ amount: money("12.50", "EUR"), count: 2 }],
  });
  expect(new Set(open?.amounts)).toEqual(
    new Set([money("100.00"), money("10.01", "USD"), money("1000", "JPY"), money("12.50", "EUR")]),
  );
  expect(won).toMatchObject({
    ...{ count: 2, amount: money("80.00"), amounts: [money("2.00", "USD")] },
    withoutRate: [{ amount: money("1.00", "USD"), count: 1 }],
  });
});

test("an organization with another currency begins with no rates, and gets those of the former back with it", async () => {
  const pipeline = await makePipeline();
  await made(admin, "/deals", { name: "In rupees", pipelineId: pipeline.id, amount: money("83.00") });
  expect(await admin.get("/organization")).toMatchObject({ body: { currency: "INR" } });
  expect(await admin.send("PATCH", "/organization", { currency: "XXX" })).toMatchObject({ status: 422 });
  expect(await admin.send("PATCH", "/organization", { currency: "kwd" })).toMatchObject({
    ...{ status: 200, body: { currency: "KWD" } },
  });
  const told = (currency: string) =>
    eventually(async () => {
      const [column] = await boardOf(pipeline);
      return (column?.amount as { currency: string }).currency === currency ? column : null;
    });
  expect(await told("KWD")).toMatchObject({
    ...{ amount: money("0.000", "KWD"), withoutRate: [{ amount: money("83.00"), count: 1 }] },
  });
  const rate = await setRate("INR", "0.0037", "2020-01-01T00:00:00.000Z");
  expect(rate).toMatchObject({ baseCurrency: "KWD", rate: "0.0037" });
  await eventually(async () => (await boardOf(pipeline))[0]?.withoutRate.length === 0);
  expect((await boardOf(pipeline))[0]).toMatchObject({ amount: money("0.307", "KWD") });
  await admin.send("PATCH", "/organization", { currency: "INR" });
  expect(await told("INR")).toMatchObject({ amount: money("83.00"), withoutRate: [] });
});

test.each([
  ["no rate", { currency: "CHF" }, 422, "required"],
  ["no currency", { rate: "1" }, 422, "unidentified"],
  ["one that is none", { currency: "XYZ", rate: "1" }, 422, "unknown_currency"],
  ["the organization's own", { currency: "INR", rate: "1" }, 422, "own_currency"],
  ["nothing for it", { currency: "CHF", rate: "0.000" }, 422, "invalid_rate"],
  ["less than nothing for it", { currency: "CHF", rate: "-1" }, 422, "invalid_rate"],
  ["a number that is no decimal", { currency: "CHF", rate: "1e3" }, 422, "invalid_rate"],
])("a rate with %s is refused", async (_what, body, status, code) => {
  const answer = await admin.post("/rates", body);
  expect(answer).toMatchObject({ status });
  expect(JSON.stringify(answer.body)).toContain(code);
});

test("a currency has one rate from a moment on; reps read it, and do not set it", async () => {
  const validFrom = "2025-05-05T00:00:00.000Z";
  const rate = await setRate("sek", "08.100", validFrom);
  expect(rate).toMatchObject({ currency: "SEK", rate: "8.1", baseCurrency: "INR", validFrom });
  expect(await admin.post("/rates", { currency: "SEK", rate: "9", validFrom })).toMatchObject({
    ...{ status: 409, body: { code: "RATE_EXISTS" } },
  });
  expect(await admin.send("PATCH", `/rates/${rate.id}`, { rate: "8.2" })).toMatchObject({
    body: { rate: "8.2" },
  });
  expect(await rep.post("/rates", { currency: "SEK", rate: "9" })).toMatchObject({ status: 403 });
  expect(listOf(await rep.get("/rates?filter[currency]=SEK"))).toMatchObject([{ id: rate.id, rate: "8.2" }]);
  expect(await admin.send("DELETE", `/rates/${rate.id}`)).toMatchObject({ status: 204 });
  expect(await setRate("SEK", "9", validFrom)).toMatchObject({ rate: "9" });
});
