import { beforeAll, describe, expect, test } from "@jest/globals";
import { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { originOf, shareNode } from "../support/node.ts";

let admin: Client;
/** Ids of leads by what is told of each. */
let leads: Record<"nine" | "ten" | "many" | "none", string>;

beforeAll(async () => {
  admin = await new Client(originOf(await shareNode())).register("Filters");
  const make = async (body: object) => ((await admin.post("/leads", body)).body as { id: string }).id;
  leads = {
    nine: await make({
      ...{
        firstName: "Asha",
        email: "Asha.Rao@Example.com",
        phone: "98765 43210",
        source: "Web",
        tags: ["hot", "a,b"],
      },
      customFields: { seats: 9, since: "2026-01-31", vip: true, city: "Pune" },
    }),
    ten: await make({
      ...{ firstName: "Jose\u0301", email: "jose@example.com", source: "web", tags: ["cold"] },
      customFields: { seats: "10.0", since: "2026-02-01", vip: false, city: "Goa" },
    }),
    many: await make({
      firstName: "Kim",
      source: "fair",
      customFields: { seats: "9007199254740993", city: "pune" },
    }),
    none: await make({ firstName: "Noor" }),
  };
  // defined when leads have values already, of which some are texts
  for (const [key, type] of Object.entries({ seats: "number", since: "date", vip: "boolean" }))
    await admin.post("/custom-fields", { key, type });
});

const encoded = (query: string) =>
  query.replace(
    /([^&=]+)=([^&]*)/g,
    (_all, name: string, value: string) => `${name}=${encodeURIComponent(value)}`,
  );
async function found(query: string): Promise<string[]> {
  const { status, body } = await admin.get(`/leads?sort=createdAt&${encoded(query)}`);
  expect({ status, body }).toMatchObject({ status: 200 });
  const names = Object.fromEntries(Object.entries(leads).map(([name, id]) => [id, name]));
  return (body as { data: { id: string }[] }).data.flatMap(({ id }) => names[id] ?? []);
}
const where = (condition: unknown) => found(`where=${JSON.stringify(condition)}`);

describe("a filter", () => {
  test.each([
    // numbers as numbers, however they were written and however large
    ["filter[customFields.seats][gte]=10", ["ten", "many"]],
    ["filter[customFields.seats]=9.0", ["nine"]],
    ["filter[customFields.seats]=10", ["ten"]],
    ["filter[customFields.seats]=9007199254740992", []],
    ["filter[customFields.seats]=9007199254740993", ["many"]],
    ["filter[customFields.seats][nin]=9,10", ["many", "none"]],
    ["filter[customFields.since][gt]=2026-01-31", ["ten"]],
    ["filter[customFields.vip]=false", ["ten"]],
    // exact, as everywhere; like in any case
    ["filter[source]=Web", ["nine"]],
    ["filter[source][ne]=Web", ["ten", "many", "none"]],
    ["filter[source][like]=WEB", ["nine", "ten"]],
    ["filter[customFields.city]=Pune", ["nine"]],
    // as it is stored
    ["filter[email]=ASHA.RAO@example.com", ["nine"]],
    ["filter[email][in]=x@example.com,JOSE@EXAMPLE.COM", ["ten"]],
    ["filter[phone]=098765-43210", ["nine"]],
    ["filter[phone]=+91 98765 43210", ["nine"]],
    ["filter[firstName]=Jose\u0301", ["ten"]],
    ["filter[firstName]=Jos\u00e9", ["ten"]],
    ["filter[firstName][like]=JOS\u00c9", ["ten"]],
    ["filter[tags][isnull]=true", ["many", "none"]],
    ["filter[tags][nin]=hot", ["ten", "many", "none"]],
    ["filter[tags][like]=old*", []],
    ["filter[tags][like]=*old", ["ten"]],
  ])("%s finds %j", async (query, expected) => {
    expect(await found(query)).toEqual(expected);
  });

  test.each([
    [
      "filter[status]=bogus",
      "filter.status",
      "invalid_value",
      "must be one of new, contacted, qualified, unqualified or converted",
    ],
    [
      "filter[customFields.seats]=many",
      "filter.customFields.seats",
      "invalid_value",
      "must be a number such as 12.5",
    ],
    ["filter[customFields.seats][like]=100", "filter.customFields.seats.like", "unknown_operator", undefined],
    ["filter[customFields.since]=tomorrow", "filter.customFields.since", "invalid_value", undefined],
    ["filter[customFields.since]=2026-02-30", "filter.customFields.since", "invalid_value", undefined],
    ["filter[customFields.vip]=perhaps", "filter.customFields.vip", "invalid_value", "must be true or false"],
    [
      "filter[customFields.nosuch]=1",
      "filter.customFields.nosuch",
      "unknown_filter",
      "There is no custom field nosuch.",
    ],
    ["filter[phone]=12", "filter.phone", "invalid_value", "must be a phone number such as +919876543210"],
    ["filter[createdAt][gt]=2026-02-30", "filter.createdAt.gt", "invalid_value", undefined],
    ["filter[createdAt][gt]=9999-12-31T23:59:59-14:00", "filter.createdAt.gt", "invalid_value", undefined],
    ["filter[createdAt][gt]=0000-01-01", "filter.createdAt.gt", "invalid_value", undefined],
    ["filter[score]=99999999999", "filter.score", "invalid_value", undefined],
    ["where={", "where", "malformed", undefined],
    ['where={"all":[]}', "where.all", "invalid_type", undefined],
    [
      'where={"all":[{"field":"nosuch","op":"eq","value":1}]}',
      "where.all.0.field",
      "unknown_field",
      undefined,
    ],
    [
      'where={"not":{"field":"status","op":"eq","value":"bogus"}}',
      "where.not.value",
      "invalid_value",
      undefined,
    ],
    ['where={"field":"score","op":"about","value":1}', "where.op", "unknown_operator", undefined],
    ['where={"field":"score","op":"eq","value":1,"also":1}', "where", "invalid_type", undefined],
    ['where={"field":"customFields.seats","op":"gt","value":"x"}', "where.value", "invalid_value", undefined],
    [
      'where={"field":"customFields.nosuch","op":"eq","value":"x"}',
      "where",
      "unknown_field",
      "There is no custom field nosuch.",
    ],
    [
      `where=${'{"not":'.repeat(9)}{"field":"score","op":"eq","value":1}${"}".repeat(9)}`,
      `where${".not".repeat(8)}`,
      "too_deep",
      undefined,
    ],
  ])("%s is a 400 that says what is wrong", async (query, path, code, message) => {
    const { status, body } = await admin.get(`/leads?${encoded(query)}`);
    expect({ status, body }).toMatchObject({
      status: 400,
      body: {
        code: "INVALID_FILTER",
        errors: [{ path, code, ...(message === undefined ? {} : { message }) }],
      },
    });
  });

  test("takes times without a zone for those of the organization", async () => {
    const { data } = (await admin.get(`/leads?filter[id]=${leads.nine}`)).body as {
      data: { createdAt: string }[];
    };
    expect(data).toHaveLength(1);
    const at = Date.parse((data[0] as { createdAt: string }).createdAt);
    // what clocks in Kiritimati, 14 hours ahead, showed a minute before
    const shown = new Date(at + 14 * 3_600_000 - 60_000).toISOString().slice(0, -1);
    const isFound = async () =>
      (await found(`filter[id]=${leads.nine}&filter[createdAt][gt]=${shown}`)).length;
    expect(await isFound()).toBe(0);
    expect(await admin.send("PATCH", "/organization", { timezone: "Pacific/Kiritimati" })).toMatchObject({
      status: 200,
    });
    await eventually(async () => (await isFound()) === 1);
  });
});

test("a cursor of the longest names goes on where it ended", async () => {
  const companyName = "\u4f60".repeat(300);
  for (const n of [1, 2]) await admin.post("/leads", { companyName, source: "cursors", firstName: `${n}` });
  const path = "/leads?limit=1&sort=companyName&filter[source]=cursors";
  const first = (await admin.get(path)).body as { data: { id: string }[]; page: { nextCursor: string } };
  const next = await admin.get(`${path}&cursor=${first.page.nextCursor}`);
  expect(next).toMatchObject({ status: 200, body: { data: [{ companyName }], page: { hasMore: false } } });
  expect(next.body).not.toMatchObject({ data: [{ id: first.data[0]?.id }] });
});

describe("where", () => {
  test("is a tree of tests, beside the filter", async () => {
    const web = { field: "source", op: "in", value: ["Web", "web"] };
    const few = { field: "customFields.seats", op: "lt", value: 10 };
    expect(await where({ all: [web, few] })).toEqual(["nine"]);
    expect(await where({ any: [few, { field: "source", op: "isnull", value: true }] })).toEqual([
      "nine",
      "none",
    ]);
    // what has no seats has not few
    expect(await where({ not: few })).toEqual(["ten", "many", "none"]);
    expect(await where({ all: [{ not: { any: [web, few] } }] })).toEqual(["many", "none"]);
    expect(await where({ field: "tags", op: "contains", value: ["hot", "a,b"] })).toEqual(["nine"]);
    expect(await found(`filter[source]=Web&where=${JSON.stringify({ not: few })}`)).toEqual([]);
  });

  test("binds the cursor, which holds for no other", async () => {
    const ask = async (condition: object, cursor = "") =>
      admin.get(
        `/leads?limit=1&where=${encodeURIComponent(JSON.stringify(condition))}${cursor && `&cursor=${cursor}`}`,
      );
    const web = { field: "source", op: "like", value: "web" };
    const { nextCursor } = ((await ask(web)).body as { page: { nextCursor: string } }).page;
    expect((await ask(web, nextCursor)).status).toBe(200);
    for (const other of [{ ...web, value: "fair" }, { not: web }, { all: [web] }])
      expect(await ask(other, nextCursor)).toMatchObject({ status: 400, body: { code: "INVALID_CURSOR" } });
    expect((await admin.get(`/leads?limit=1&cursor=${nextCursor}`)).status).toBe(400);
  });

  test("chooses what is exported and counted", async () => {
    const condition = encodeURIComponent(
      JSON.stringify({ field: "customFields.seats", op: "gte", value: 10 }),
    );
    const { body } = await admin.get(`/leads?count=true&limit=1&where=${condition}`);
    expect(body).toMatchObject({ page: { total: 2 } });
    for (const count of ["true", "exact"])
      expect(
        await admin.get(`/leads?count=${count}&limit=1&q=asha&filter[tags][contains]=hot`),
      ).toMatchObject({
        status: 200,
        body: { page: { total: 1 } },
      });
    const csv = await admin.get(`/leads/export?fields=firstName&where=${condition}`);
    expect(String(csv.body).trim().split("\n")).toHaveLength(3);
  });

  test("of scoring rules and pools is the same language, and a 422 where it is wrong", async () => {
    const rules = (condition: unknown) => ({
      rules: [{ factor: "size", points: 7, detail: "Is large", conditions: [condition] }],
    });
    const large = {
      any: [
        { field: "customFields.seats", op: "gte", value: 10 },
        { not: { field: "source", op: "ne", value: "huge" } },
      ],
    };
    expect(
      await admin.send(
        "PUT",
        "/scoring/rules",
        rules({ field: "customFields.seats", op: "gte", value: "x" }),
      ),
    ).toMatchObject({
      status: 422,
      body: { errors: [{ path: "rules.0.conditions.0.value", code: "invalid_value" }] },
    });
    expect(
      await admin.send(
        "PUT",
        "/scoring/rules",
        rules({ any: [{ field: "status", op: "eq", value: "bogus" }] }),
      ),
    ).toMatchObject({
      status: 422,
      body: {
        errors: [
          {
            path: "rules.0.conditions.0.any.0.value",
            code: "invalid_value",
            allowed: expect.arrayContaining(["new"]),
          },
        ],
      },
    });
    expect(await admin.send("PUT", "/scoring/rules", rules(large))).toMatchObject({
      status: 200,
      body: rules(large),
    });
    const scoreOf = async (input: object) =>
      ((await admin.post("/leads/score", { leads: [input] })).body as { scores: { score: number }[] })
        .scores[0]?.score;
    expect(await scoreOf({ firstName: "A", customFields: { seats: "9" } })).toBe(0);
    expect(await scoreOf({ firstName: "A", customFields: { seats: "10.5" } })).toBe(7);
    expect(await scoreOf({ firstName: "A", source: "Huge" })).toBe(0);
    expect(await scoreOf({ firstName: "A", source: "huge" })).toBe(7);
    const pool = { name: "Large", strategy: "round_robin", members: [], criteria: [large] };
    expect(await admin.post("/assignment-pools", pool)).toMatchObject({
      status: 201,
      body: { criteria: [large] },
    });
    expect(
      await admin.post("/assignment-pools", {
        ...pool,
        name: "B",
        criteria: [{ field: "score", op: "gt", value: "x" }],
      }),
    ).toMatchObject({
      status: 422,
      body: { errors: [{ path: "criteria.0.value" }] },
    });
  });
});
