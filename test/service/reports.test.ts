import { beforeAll, describe, expect, test } from "@jest/globals";
import { Client } from "../support/client.ts";
import { inspect } from "../support/database.ts";
import { shardUrl } from "../support/leads.ts";
import { originOf, startTestNode } from "../support/node.ts";
import { eventually } from "../support/eventually.ts";
import { bodyOf, made, recordWorld, unique } from "../support/records.ts";

let admin: Client;
let rep: Client;
let stranger: Client;
let companies: Record<string, string>;
const closed = [
  { name: "A", company: "Looms", amount: "100.10", closedAt: "2026-03-31T20:00:00.000Z" },
  { name: "B", company: "Looms", amount: "200.20", closedAt: "2026-04-01T10:00:00.000Z" },
  { name: "C", company: "Banks", amount: "50.00", closedAt: "2026-04-02T10:00:00.000Z" },
  { name: "D", company: null, amount: null, closedAt: "2026-12-31T18:29:59.999Z" },
];

interface Answer {
  columns: { key: string; type: string }[];
  rows: unknown[][];
}
const preview = async (body: object, client = admin): Promise<unknown[][]> => {
  const answer = await client.post("/reports/preview", body);
  expect(answer).toMatchObject({ status: 200 });
  return (answer.body as Answer).rows;
};

beforeAll(async () => {
  ({ admin, rep, stranger } = await recordWorld("Reports"));
  await admin.send("PATCH", "/organization", { timezone: "Asia/Kolkata" });
  companies = {};
  for (const [name, industry] of [
    ["Looms", "Textiles"],
    ["Banks", "Finance"],
  ] as const)
    companies[name] = (await made(admin, "/companies", { name, industry })).id;
  const pipelines = (await admin.get("/pipelines")).body as {
    data: { stages: { id: string; kind: string }[] }[];
  };
  const won = pipelines.data[0]?.stages.find(({ kind }) => kind === "won")?.id;
  for (const { company, amount, ...deal } of closed)
    await made(admin, "/deals", {
      ...{ ...deal, stageId: won, tags: ["report"] },
      ...(company && { companyId: companies[company] }),
      ...(amount && { amount: { amount, currency: "INR" } }),
    });
  await made(rep, "/deals", {
    name: "Mine",
    ownerId: rep.userId,
    amount: { amount: "7.00", currency: "INR" },
  });
}, 60_000);

const inr = (amount: string) => ({ amount, currency: "INR" });
const won = { field: "status", op: "eq", value: "won" };

describe("an answer", () => {
  test("parts by a relation and by quarters of the organization's days, and adds up money exactly", async () => {
    expect(
      await preview({
        kind: "deal",
        measures: [{ op: "count" }, { op: "sum", field: "amount" }, { op: "avg", field: "amount" }],
        groupBy: [{ field: "company.industry" }, { field: "closedAt", per: "quarter" }],
        where: won,
      }),
    ).toEqual([
      ["Finance", "2026-Q2", 1, inr("50.00"), inr("50.00")],
      // 20:00 UTC is the next day in Kolkata
      ["Textiles", "2026-Q2", 2, inr("300.30"), inr("150.15")],
      [null, "2026-Q4", 1, null, null],
    ]);
  });

  test.each([
    ["day", "2026-04-01"],
    ["week", "2026-W14"],
    ["month", "2026-04"],
    ["year", "2026"],
  ])("parts by the %s", async (per, first) => {
    const [row] = await preview({ kind: "deal", groupBy: [{ field: "closedAt", per }], where: won });
    expect(row?.[0]).toBe(first);
  });

  test("is of a period whose days are the organization's, whole", async () => {
    const count = async (period: object) => (await preview({ kind: "deal", period }))[0]?.[0];
    expect(await count({ field: "closedAt", from: "2026-04-01", to: "2026-04-01" })).toBe(2);
    expect(await count({ field: "closedAt", to: "2026-03-31" })).toBe(0);
    expect(await count({ field: "closedAt", from: "2026-12-31", to: "2026-12-31" })).toBe(1);
    expect(await count({ field: "createdAt", relative: "today" })).toBe(5);
    expect(await count({ field: "createdAt", relative: "lastYear" })).toBe(0);
  });

  test("knows custom fields by their types, and teams of owners", async () => {
    const key = unique();
    await admin.post("/custom-fields", { kind: "company", key, type: "number" });
    for (const [name, value] of [
      ["Looms", 2.5],
      ["Banks", 4],
    ] as const)
      await admin.send("PATCH", `/companies/${companies[name]}`, { customFields: { [key]: value } });
    await admin.post("/teams", { name: "North", memberIds: [rep.userId] });
    expect(
      await preview({
        kind: "company",
        measures: [
          { op: "sum", field: `customFields.${key}` },
          { op: "max", field: `customFields.${key}` },
        ],
      }),
    ).toEqual([[6.5, 4]]);
    expect(await preview({ kind: "deal", groupBy: [{ field: "owner.team" }] })).toEqual([
      ["North", 1],
      [null, 4],
    ]);
  });

  test("is about what one sees, also of what it refers to", async () => {
    expect(await rep.post("/reports/preview", { kind: "deal" })).toMatchObject({ status: 403 });
    const role = await made(admin, "/roles", {
      ...{ name: unique(), sees: "own" },
      permissions: ["reports:view", "deals:read", "companies:read"],
    });
    const seer = await admin.addUser(role.id);
    await made(admin, "/deals", { name: "Theirs", ownerId: seer.userId, companyId: companies.Looms });
    expect(await preview({ kind: "deal", groupBy: [{ field: "company.name" }] }, seer)).toEqual([[null, 1]]);
    const hidden = await seer.post("/reports/preview", {
      kind: "deal",
      groupBy: [{ field: "contact.title" }],
    });
    expect(hidden).toMatchObject({ status: 403 });
    expect(await preview({ kind: "deal" }, stranger)).toEqual([[0]]);
  });

  test("never adds up amounts of several currencies", async () => {
    const tag = unique();
    for (const currency of ["INR", "USD"])
      await made(admin, "/deals", { name: tag, tags: [tag], amount: { amount: "1.00", currency } });
    const asked = {
      kind: "deal",
      measures: [{ op: "sum", field: "amount" }],
      where: { field: "tags", op: "contains", value: tag },
    };
    expect(await admin.post("/reports/preview", asked)).toMatchObject({
      status: 422,
      body: { errors: [{ path: "measures.0", code: "several_currencies" }] },
    });
    expect(await preview({ ...asked, groupBy: [{ field: "amount.currency" }] })).toEqual([
      ["INR", inr("1.00")],
      ["USD", { amount: "1.00", currency: "USD" }],
    ]);
  });

  test.each([
    [{ kind: "nosuch" }, "kind", "invalid_value"],
    [{ kind: "deal", measures: [{ op: "sum", field: "name" }] }, "measures.0.field", "not_allowed"],
    [{ kind: "deal", measures: [{ op: "sum" }] }, "measures.0.field", "custom"],
    [{ kind: "deal", groupBy: [{ field: "nosuch" }] }, "groupBy.0.field", "unknown_field"],
    [{ kind: "deal", groupBy: [{ field: "amount" }] }, "groupBy.0.field", "not_allowed"],
    [{ kind: "deal", groupBy: [{ field: "name", per: "day" }] }, "groupBy.0.per", "not_allowed"],
    [{ kind: "deal", period: { field: "name", relative: "today" } }, "period.field", "not_allowed"],
    [{ kind: "deal", period: { field: "closedAt" } }, "period.relative", "custom"],
    [{ kind: "deal", where: { field: "nosuch", op: "eq", value: 1 } }, "where.field", "unknown_field"],
  ])("of %j is refused at %s", async (body, path, _code) => {
    const answer = await admin.post("/reports/preview", body);
    expect(answer).toMatchObject({ status: 422, body: { errors: [{ path }] } });
  });
});

describe("a report", () => {
  test("is kept, run as work that goes on, and answered as JSON, CSV and XLSX to whoever ran it", async () => {
    const report = await made(admin, "/reports", {
      ...{ name: "Won", kind: "deal", where: won, groupBy: [{ field: "company.name" }] },
      measures: [{ op: "sum", field: "amount" }],
    });
    const begun = await admin.post(`/reports/${report.id}/run`);
    expect(begun).toMatchObject({ status: 202, body: { status: "pending" } });
    const path = `/reports/runs/${bodyOf(begun).id}`;
    expect(begun.headers.get("location")).toContain(path);
    const run = await eventually(async () => {
      const { body } = await admin.get(path);
      return (body as { status: string }).status === "completed" && (body as Answer);
    });
    expect(run).toMatchObject({
      columns: [
        { key: "company.name", type: "text" },
        { key: "sum.amount", op: "sum", type: "money" },
      ],
      rows: [
        ["Banks", inr("50.00")],
        ["Looms", inr("300.30")],
        [null, null],
      ],
    });
    const csv = await admin.get(`${path}/download?format=csv`);
    expect(String(csv.body)).toBe(
      "company.name,sum.amount,sum.amount.currency\nBanks,50.00,INR\nLooms,300.30,INR\n,,\n",
    );
    expect((await admin.get(`${path}/download?format=xlsx`)).status).toBe(200);
    const colleague = await admin.addUser("admin");
    for (const other of [colleague, stranger]) expect(await other.get(path)).toMatchObject({ status: 404 });
    const told = await admin.get("/events?types=report.*&limit=1000");
    expect(JSON.stringify(told.body)).toContain(bodyOf(begun).id);
    expect((await rep.get("/events?types=report.answered&limit=1000")).body).toMatchObject({ data: [] });
  });

  test("is changed under its version, and refused where it would ask for what is not there", async () => {
    const report = await made(admin, "/reports", { name: unique(), kind: "lead" });
    expect(report).toMatchObject({ measures: [{ op: "count" }], groupBy: [], where: null, schedule: null });
    const path = `/reports/${report.id}`;
    expect(await admin.send("PATCH", path, { groupBy: [{ field: "source" }] })).toMatchObject({
      status: 200,
      body: { version: 2, groupBy: [{ field: "source" }] },
    });
    expect(await admin.send("PATCH", path, { kind: "deal" })).toMatchObject({
      status: 422,
      body: { errors: [{ path: "groupBy.0.field", code: "unknown_field" }] },
    });
    expect(await admin.post("/reports", { name: "Nothing" })).toMatchObject({
      status: 422,
      body: { errors: [{ path: "kind", code: "required" }] },
    });
    expect(await rep.post("/reports", { name: "x", kind: "lead" })).toMatchObject({ status: 403 });
    expect(await stranger.get(path)).toMatchObject({ status: 404 });
  });

  test("is sent when its time comes, to each what they may see", async () => {
    const schedule = { every: "day", at: "08:00", to: [admin.userId] };
    const report = await made(admin, "/reports", { name: unique(), kind: "deal", schedule });
    expect(Date.parse(String(report.nextRunAt))).toBeGreaterThan(Date.now());
    // 08:00 in Kolkata
    expect(String(report.nextRunAt)).toContain("T02:30:00.000Z");
    expect(await admin.send("PATCH", `/reports/${report.id}`, { schedule: null })).toMatchObject({
      body: { nextRunAt: null },
    });
    expect(
      await admin.post("/reports", {
        name: "x",
        kind: "deal",
        schedule: { ...schedule, to: [stranger.userId] },
      }),
    ).toMatchObject({ status: 422, body: { errors: [{ path: "schedule.to.0", code: "not_found" }] } });
  });
});

test("is mailed once each time, to each about what they see, however many nodes look", async () => {
  const node = await startTestNode({ DEV_OUTBOX: "true" });
  try {
    const boss = await new Client(originOf(node)).register("Mailed");
    const role = await made(boss, "/roles", {
      ...{ name: "Seer", sees: "own", permissions: ["reports:view", "deals:read"] },
    });
    const seer = await boss.addUser(role.id);
    for (const ownerId of [boss.userId, boss.userId, seer.userId])
      await made(boss, "/deals", { name: "D", ownerId });
    const report = await made(boss, "/reports", {
      ...{ name: "Every day", kind: "deal", groupBy: [{ field: "name" }] },
      schedule: { every: "day", to: [boss.userId, seer.userId] },
    });
    const shard = shardUrl(node, boss.organizationId);
    await inspect(shard, "UPDATE reports SET next_run_at = now() - interval '2 days'");
    const scheduledFor = new Date().toISOString();
    const look = () => node.broker.call("reports.findDue", { scheduledFor }, { meta: { role: "system" } });
    await Promise.all([look(), look(), look()]);
    const mails = async () =>
      (
        (await boss.get(`${boss.origin}/dev/outbox`)).body as { data: { subject: string; text: string }[] }
      ).data
        .filter(({ subject }) => subject === "Every day")
        .map(({ text }) => /D,\d+/.exec(text)?.[0])
        .sort();
    await eventually(async () => (await mails()).length >= 2);
    await look();
    expect(await mails()).toEqual(["D,1", "D,3"]);
    const { nextRunAt } = bodyOf(await boss.get(`/reports/${report.id}`));
    expect(Date.parse(String(nextRunAt))).toBeGreaterThan(Date.now());
    expect(await inspect(shard, "SELECT 1 FROM report_runs")).toHaveLength(2);
  } finally {
    await node.stop();
  }
});
