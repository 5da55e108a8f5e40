import { beforeAll, describe, expect, test } from "@jest/globals";
import { kinds } from "../../entities/kinds.ts";
import type { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { kindsThat, bodyOf, listOf, made, recordWorld, unique } from "../support/records.ts";

let admin: Client;
let rep: Client;
let other: Client;
let stranger: Client;
beforeAll(async () => {
  ({ admin, rep, stranger } = await recordWorld("Views"));
  other = await admin.addUser("sales_rep");
});

const namesOf = async (client: Client, query = "") =>
  listOf(await client.get(`/views?${query}`)).map(({ name }) => name);

describe("a view", () => {
  test("comes back as it was given, at its address, and is changed under its version", async () => {
    const given = {
      ...{ kind: "contact", name: `V ${unique()}`, columns: ["lastName", "email"], sort: "-createdAt" },
      where: {
        any: [
          { field: "lastName", op: "like", value: "rao" },
          { not: { field: "tags", op: "contains", value: "x" } },
        ],
      },
      isShared: false,
    };
    const answer = await rep.post("/views", given, { "idempotency-key": unique() });
    expect(answer).toMatchObject({
      status: 201,
      body: { ...given, ownerId: rep.userId, isBroken: false, problems: [], version: 1 },
    });
    const path = `/views/${bodyOf(answer).id}`;
    expect(answer.headers.get("location")).toContain(path);
    expect((await rep.get(path)).body).toEqual(answer.body);
    const changed = await rep.send("PATCH", path, { where: null, sort: null }, { "if-match": '"1"' });
    expect(changed).toMatchObject({
      status: 200,
      body: { where: null, sort: null, columns: given.columns, version: 2 },
    });
    expect(await rep.send("PATCH", path, { name: "Late" }, { "if-match": '"1"' })).toMatchObject({
      status: 412,
    });
    expect((await rep.send("PATCH", path, { where: null })).body).toEqual(changed.body);
    expect(await rep.send("DELETE", path)).toMatchObject({ status: 204 });
    expect(await rep.get(path)).toMatchObject({ status: 404, body: { code: "VIEW_NOT_FOUND" } });
  });

  test("is its owner's alone until it is shared; then everybody sees it, and an admin may change it too", async () => {
    const name = unique();
    const view = await made(rep, "/views", { name });
    const path = `/views/${view.id}`;
    for (const client of [admin, other, stranger]) {
      expect(await client.get(path)).toMatchObject({ status: 404 });
      expect(await client.send("PATCH", path, { name: "Mine" })).toMatchObject({ status: 404 });
      expect(await client.send("DELETE", path)).toMatchObject({ status: 404 });
      expect(await namesOf(client)).not.toContain(name);
    }
    await rep.send("PATCH", path, { isShared: true });
    expect(await namesOf(other, "filter[isShared]=true")).toContain(name);
    expect(await other.send("PATCH", path, { name: "Mine" })).toMatchObject({
      status: 403,
      body: { code: "NOT_YOUR_VIEW" },
    });
    expect(await other.send("DELETE", path)).toMatchObject({ status: 403 });
    expect(await admin.send("PATCH", path, { name: `${name} too` })).toMatchObject({
      status: 200,
      body: { ownerId: rep.userId },
    });
    expect(await stranger.get(path)).toMatchObject({ status: 404 });
    expect(await namesOf(stranger)).toEqual([]);
  });

  test("is of a kind that one may read, and for who may keep views", async () => {
    const role = await made(admin, "/roles", {
      name: unique(),
      permissions: ["leads:read", "views:create", "views:read"],
    });
    const narrow = await admin.addUser(role.id);
    const shared = await made(admin, "/views", { kind: "company", name: unique(), isShared: true });
    expect(await narrow.get(`/views/${shared.id}`)).toMatchObject({ status: 404 });
    expect(await namesOf(narrow)).not.toContain(shared.name);
    expect(await narrow.post("/views", { kind: "company", name: "C" })).toMatchObject({ status: 403 });
    expect(await narrow.post("/views", { kind: "lead", name: "L" })).toMatchObject({ status: 201 });
    const viewer = await admin.addUser("viewer");
    expect(await viewer.post("/views", { name: "L" })).toMatchObject({ status: 403 });
    expect(await viewer.get(`/views/${shared.id}`)).toMatchObject({ status: 200 });
  });

  test("says nothing that its kind does not have: all that is wrong is named, with what would be right", async () => {
    const key = `f${Date.now()}`;
    await made(admin, "/custom-fields", { kind: "company", key, type: "number" });
    const sealed = await made(admin, "/custom-fields", {
      kind: "company",
      key: `${key}s`,
      isSensitive: true,
    });
    const answer = await admin.post("/views", {
      ...{
        kind: "company",
        name: "Wrong",
        columns: ["name", "firstName", "customFields.nosuch"],
        sort: "industry",
      },
      where: {
        all: [
          { field: "industri", op: "eq", value: "Steel" },
          { field: `customFields.${key}`, op: "gte", value: "many" },
          { field: `customFields.${String(sealed.key)}`, op: "eq", value: "secret" },
          { field: "customFields.nosuch", op: "eq", value: "x" },
        ],
      },
    });
    expect(answer).toMatchObject({ status: 422, body: { code: "VALIDATION_FAILED" } });
    const { errors } = answer.body as { errors: { path: string; code: string; allowed?: string[] }[] };
    expect(errors.map(({ path, code }) => [path, code])).toEqual([
      ["where.all.0.field", "unknown_field"],
      ["where.all.1.value", "invalid_value"],
      ["where.all.2.field", "sensitive"],
      ["where.all.3.field", "unknown_field"],
      ["columns.1", "unknown_field"],
      ["columns.2", "unknown_field"],
      ["sort", "unknown_field"],
    ]);
    expect(errors.at(-1)?.allowed).toContain("-employees");
    expect(errors[0]?.allowed).toContain(`customFields.${key}`);
    expect(await admin.post("/views", { kind: "companies", name: "X" })).toMatchObject({
      status: 422,
      body: { errors: [{ path: "kind", allowed: [...kinds.keys()] }] },
    });
    for (const where of [7, [], {}, { all: [] }, { field: "name" }])
      expect(await admin.post("/views", { kind: "company", name: "X", where })).toMatchObject({
        status: 422,
      });
  });

  test("is told of to those who see it, without what it says", async () => {
    const hidden = await made(rep, "/views", { name: unique() });
    const shared = await made(rep, "/views", {
      name: unique(),
      isShared: true,
      where: { field: "email", op: "eq", value: "a@b.example" },
    });
    await rep.send("PATCH", `/views/${shared.id}`, { isShared: false });
    await rep.send("DELETE", `/views/${shared.id}`);
    type Told = { type: string; entity: { id: string }; data: object };
    const told = async (client: Client) =>
      (await client.get("/events?types=view.*&limit=1000")).body as { data: Told[] };
    const of = async (client: Client, id: string) =>
      (await told(client)).data.filter(({ entity }) => entity.id === id).map(({ type }) => type);
    await eventually(async () => (await of(rep, shared.id)).includes("view.deleted"));
    expect(await of(rep, hidden.id)).toEqual(["view.created"]);
    expect(await of(rep, shared.id)).toEqual(["view.created", "view.updated", "view.deleted"]);
    for (const client of [admin, other]) {
      expect(await of(client, hidden.id)).toEqual([]);
      // that it is theirs no more, and nothing of it afterwards
      expect(await of(client, shared.id)).toEqual(["view.created", "view.updated"]);
    }
    expect(await of(stranger, shared.id)).toEqual([]);
    expect(JSON.stringify(await told(rep))).not.toContain("a@b.example");
  });
});

describe.each(kindsThat("upsert"))("GET /%s?view=", (plural, kind) => {
  const [main = ""] = kind.title;

  test("shows what the view asks for and what is asked beside it, in its order and with its columns, unless others are given", async () => {
    const tag = unique();
    for (const [name, more] of [
      ["Bela", ["hot"]],
      ["Anna", []],
      ["Cora", ["hot"]],
    ] as const)
      await made(admin, `/${plural}`, { [main]: `${name} ${tag}`, tags: [tag, ...more] });
    const view = await made(admin, "/views", {
      ...{ kind: kind.name, name: tag, sort: "createdAt", columns: [main], isShared: true },
      where: { field: "tags", op: "contains", value: tag },
    });
    const rows = async (query = "", client = admin) =>
      listOf(await client.get(`/${plural}?view=${view.id}${query}`));
    expect(await rows()).toEqual(
      ["Bela", "Anna", "Cora"].map((name) => ({ id: expect.any(String), [main]: `${name} ${tag}` })),
    );
    const where = encodeURIComponent(JSON.stringify({ field: "tags", op: "contains", value: "hot" }));
    expect((await rows(`&where=${where}&sort=-createdAt`)).map((one) => one[main])).toEqual([
      `Cora ${tag}`,
      `Bela ${tag}`,
    ]);
    expect(await rows(`&filter[${main}]=${encodeURIComponent(`Anna ${tag}`)}&fields=tags`)).toEqual([
      { id: expect.any(String), tags: [tag] },
    ]);
    const first = await admin.get(`/${plural}?view=${view.id}&limit=1&count=true`);
    expect(first.body).toMatchObject({ page: { hasMore: true, total: 3 } });
    const { nextCursor } = (first.body as { page: { nextCursor: string } }).page;
    const cursor = encodeURIComponent(nextCursor);
    expect(listOf(await admin.get(`/${plural}?view=${view.id}&cursor=${cursor}`))).toHaveLength(2);
    expect(await admin.get(`/${plural}?sort=createdAt&cursor=${cursor}`)).toMatchObject({
      status: 400,
      body: { code: "INVALID_CURSOR" },
    });
    // whose records one sees stays as it is
    expect((await rows("", rep)).length).toBe(kind.owner === undefined ? 3 : 0);
  });

  test("is a 400 for a view that is not there, is another's, another organization's, or another kind's", async () => {
    const refused = (code: string) => ({ status: 400, body: { errors: [{ path: "view", code }] } });
    const own = await made(rep, "/views", { kind: kind.name, name: unique() });
    const wrong = [...kinds.keys()].find((name) => name !== kind.name);
    const ofAnother = await made(admin, "/views", { kind: wrong, name: unique() });
    expect(await rep.get(`/${plural}?view=${own.id}`)).toMatchObject({ status: 200 });
    for (const client of [admin, stranger])
      expect(await client.get(`/${plural}?view=${own.id}`)).toMatchObject(refused("not_found"));
    expect(await admin.get(`/${plural}?view=01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f`)).toMatchObject(
      refused("not_found"),
    );
    expect(await admin.get(`/${plural}?view=mine`)).toMatchObject({
      status: 400,
      body: { errors: [{ path: "view" }] },
    });
    expect(await admin.get(`/${plural}?view=${ofAnother.id}`)).toMatchObject(refused("invalid_value"));
  });

  test("does without a deleted custom field in columns, and refuses a condition about it; the view says so until it is back", async () => {
    const key = `gone${Date.now()}`;
    const field = await made(admin, "/custom-fields", { kind: kind.name, key, type: "text" });
    const shows = await made(admin, "/views", {
      kind: kind.name,
      name: unique(),
      columns: [main, `customFields.${key}`],
    });
    const asks = await made(admin, "/views", {
      ...{ kind: kind.name, name: unique() },
      where: { not: { field: `customFields.${key}`, op: "eq", value: "x" } },
    });
    expect(await admin.send("DELETE", `/custom-fields/${field.id}`)).toMatchObject({
      status: 409,
      body: { code: "IN_USE", detail: expect.stringContaining("2 views") },
    });
    expect(await admin.send("DELETE", `/custom-fields/${field.id}?force=true`)).toMatchObject({
      status: 204,
    });
    const get = async (id: string) => bodyOf(await admin.get(`/views/${id}`));
    await eventually(async () => (await get(shows.id)).isBroken === true);
    expect(await get(shows.id)).toMatchObject({ problems: [{ path: "columns.1", code: "unknown_field" }] });
    expect(await get(asks.id)).toMatchObject({ isBroken: true, problems: [{ path: "where.not.field" }] });
    expect(await admin.get(`/${plural}?view=${shows.id}`)).toMatchObject({ status: 200 });
    expect(await admin.get(`/${plural}?view=${asks.id}`)).toMatchObject({
      status: 400,
      body: { errors: [{ path: "view", code: "broken", message: expect.stringContaining(key) }] },
    });
    // what is broken need not be mended to change something else
    expect(await admin.send("PATCH", `/views/${asks.id}`, { name: "Renamed" })).toMatchObject({
      status: 200,
    });
    expect(await admin.send("PATCH", `/views/${asks.id}`, { where: asks.where })).toMatchObject({
      status: 422,
    });
    await admin.post(`/custom-fields/${field.id}/restore`);
    await eventually(async () => (await get(asks.id)).isBroken === false);
    expect(await admin.get(`/${plural}?view=${asks.id}`)).toMatchObject({ status: 200 });
  });
});

test("times without a zone are those of the organization's, in a view as in a filter", async () => {
  const zoned = await stranger.register("Zoned");
  await zoned.send("PATCH", "/organization", { timezone: "Asia/Kolkata" });
  const lead = await made(zoned, "/leads", { lastName: "L" });
  const at = new Date(Date.parse(String(lead.createdAt)) + 5.5 * 3_600_000);
  const local = (ms: number) => new Date(at.getTime() + ms).toISOString().slice(0, 19);
  const where = {
    all: [
      { field: "createdAt", op: "gt", value: local(-60_000) },
      { field: "createdAt", op: "lt", value: local(60_000) },
    ],
  };
  const view = await made(zoned, "/views", { name: "Now", where });
  await eventually(async () => listOf(await zoned.get(`/leads?view=${view.id}`)).length === 1);
});

describe("privacy", () => {
  test("an erasure takes views that name the person, and a user's own; what they shared is nobody's then", async () => {
    const boss = await stranger.register("Boss");
    const user = await boss.addUser("sales_rep");
    const email = `${unique()}@example.com`;
    const names = await made(boss, "/views", {
      name: "One",
      isShared: true,
      where: { field: "email", op: "eq", value: email },
    });
    const kept = await made(boss, "/views", {
      name: "Kept",
      where: { field: "email", op: "eq", value: "x@example.com" },
    });
    const own = await made(user, "/views", { name: "Own" });
    const shared = await made(user, "/views", { name: "Shared", isShared: true });
    const erase = async (whom: object) => {
      const { id } = bodyOf(await boss.post("/privacy/erasures", { ...whom, reason: "asked" }));
      await eventually(
        async () => bodyOf(await boss.get(`/privacy/requests/${id}`)).status === "completed",
        30_000,
      );
    };
    await erase({ email });
    expect(await boss.get(`/views/${names.id}`)).toMatchObject({ status: 404 });
    expect(await boss.get(`/views/${kept.id}`)).toMatchObject({ status: 200 });
    await boss.send("PATCH", `/users/${user.userId}`, { isActive: false });
    expect(await boss.get(`/views/${shared.id}`)).toMatchObject({
      status: 200,
      body: { ownerId: user.userId },
    });
    await erase({ subject: { kind: "user", id: user.userId } });
    expect(await boss.get(`/views/${shared.id}`)).toMatchObject({ status: 200, body: { ownerId: null } });
    expect(await boss.send("PATCH", `/views/${shared.id}`, { isShared: false })).toMatchObject({
      status: 200,
    });
    expect(await boss.get(`/views/${shared.id}`)).toMatchObject({ status: 404 });
    expect(own.ownerId).toBe(user.userId);
  });
});

test.each([
  [
    "scoring rules",
    "PUT",
    "/scoring/rules",
    (condition: object) => ({ rules: [{ factor: "F", points: 1, detail: "D", conditions: [condition] }] }),
    "rules.0.conditions.0.field",
  ],
  [
    "pools",
    "POST",
    "/assignment-pools",
    (condition: object) => ({ name: unique(), strategy: "round_robin", members: [], criteria: [condition] }),
    "criteria.0.field",
  ],
] as const)(
  "%s about a sensitive field are refused, which would never hold",
  async (_name, method, path, body, at) => {
    const key = `sealed${Date.now()}`;
    await made(admin, "/custom-fields", { key, isSensitive: true });
    const answer = await admin.send(
      method,
      path,
      body({ field: `customFields.${key}`, op: "eq", value: "x" }),
    );
    expect(answer).toMatchObject({ status: 422, body: { errors: [{ path: at, code: "sensitive" }] } });
  },
);
