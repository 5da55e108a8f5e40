import { text } from "node:stream/consumers";
import type { Readable } from "node:stream";
import { beforeAll, beforeEach, expect, test } from "@jest/globals";
import type { LeadView } from "../../entities/lead.ts";
import { inspect } from "../support/database.ts";
import { makeOrganization, shardUrl, type TestOrganization } from "../support/leads.ts";
import { shareNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let organization: TestOrganization<"manager" | "rep" | "viewer">;
beforeAll(async () => {
  node = await shareNode();
});
beforeEach(async () => {
  organization = await makeOrganization(node, { manager: "manager", rep: "sales_rep", viewer: "viewer" });
  await define({ key: "passport", isSensitive: true, isUnique: true });
  await define({ key: "salary", type: "number", isSensitive: true });
});

const as = (name: "admin" | "manager" | "rep" | "viewer") => organization.as(name);
const define = (field: {
  key: string;
  type?: "text" | "number";
  isSensitive?: boolean;
  isUnique?: boolean;
}) => node.call("custom-fields.create", field, as("admin"));
const passport = "K1234567";
const create = (customFields: Record<string, string | number>, more = {}) =>
  node.call(
    "leads.create",
    { firstName: "Asha", customFields: { city: "Pune", ...customFields }, ...more },
    as("admin"),
  );
const get = ({ id }: { id: string }, name: "admin" | "manager" | "rep" | "viewer" = "admin") =>
  node.call("leads.get", { id }, as(name));
const list = (filter: Record<string, unknown>, name: "admin" | "viewer" = "admin") =>
  node.call("leads.list", { filter: filter, count: true }, as(name));
const stored = (sql: string, values: unknown[] = []) =>
  inspect<{ all: string }>(shardUrl(node, organization.id), sql, values);

test("a sensitive value is shown to admins and managers, and to others that it is there", async () => {
  const lead = await create({ passport, salary: 90_000 }, { assignedTo: organization.userId("rep") });
  const whole = { city: "Pune", passport, salary: 90_000 };
  expect(lead).toMatchObject({ customFields: whole });
  for (const name of ["admin", "manager"] as const) {
    expect(await get(lead, name)).toMatchObject({ customFields: whole, sensitive: ["passport", "salary"] });
  }
  for (const name of ["rep", "viewer"] as const)
    expect(await get(lead, name)).toMatchObject({
      customFields: { city: "Pune", passport: null, salary: null },
      sensitive: ["passport", "salary"],
    });
});

test("nothing that is stored holds the value: no row, no event, no kept answer", async () => {
  const lead = await create({ passport });
  const keyed = { ...as("admin"), idempotency: { key: "k1", fingerprint: "f" } };
  const change = { id: lead.id, customFields: { passport: "K7654321" } };
  for (const value of ["K7654321", null])
    expect((await node.call("leads.update", change, { ...keyed })).customFields).toMatchObject({
      passport: value,
    });
  const tables = await stored(
    `SELECT c.oid::regclass::text AS all FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname IN ('public', 'graphile_worker') AND c.relkind = 'r'`,
  );
  for (const { all: table } of tables) {
    const found = await stored(`SELECT t::text AS all FROM ${table} t WHERE t::text ~ 'K1234567|K7654321'`);
    expect([table, found]).toEqual([table, []]);
  }
  const { data } = await node.call("events.list", { types: "lead.*" }, as("admin"));
  expect(JSON.stringify(data)).not.toContain(passport);
  const { data: history } = await node.call("leads.timeline", { id: lead.id }, as("admin"));
  expect(history.map(({ type }) => type)).toEqual(["lead.updated", "lead.created"]);
  expect(history[0]).toMatchObject({
    entityVersion: 2,
    data: { changes: { "customFields.passport": [null, null] } },
  });
});

test("it is changed and taken away like other fields, and those who may not see it may not write it", async () => {
  const lead = await create({ passport, salary: 1 });
  const change = (customFields: Record<string, string | number | null>, name: "admin" | "rep" = "admin") =>
    node.call("leads.update", { id: lead.id, customFields }, as(name));
  expect((await change({ salary: 2, passport: null })).customFields).toEqual({ city: "Pune", salary: 2 });
  expect((await get(lead)).customFields).toEqual({ city: "Pune", salary: 2 });
  await expect(change({ salary: "much" })).rejects.toMatchObject({ code: 422 });
  const theirs = await node.call("leads.create", { firstName: "R" }, as("rep"));
  const attempt = node.call("leads.update", { id: theirs.id, customFields: { salary: 9 } }, as("rep"));
  await expect(attempt).rejects.toMatchObject({ code: 403 });
  // the null that they were shown says nothing
  const mine = await create({ salary: 3 }, { assignedTo: organization.as("rep").userId });
  const back = { ...(await get(mine, "rep")).customFields, city: "Delhi" };
  expect(back).toMatchObject({ salary: null });
  await node.call("leads.update", { id: mine.id, customFields: back }, as("rep"));
  expect((await get(mine)).customFields).toEqual({ city: "Delhi", salary: 3 });
  const upserted = await node.call(
    "leads.upsert",
    { externalId: "x1", firstName: "U", customFields: { passport } },
    as("admin"),
  );
  expect(upserted.customFields).toEqual({ passport });
});

test("a list opens a page of them, and finds by equal value only, for those who may see it", async () => {
  for (let index = 0; index < 100; index++) await create({ passport: `P${index}`, salary: index % 10 });
  const page = await node.call("leads.list", { limit: 100 }, as("admin"));
  expect(new Set(page.data.map(({ customFields }) => customFields?.passport)).size).toBe(100);
  const one = await list({ "customFields.passport": "P42" });
  expect(one.data.map(({ customFields }) => customFields)).toEqual([
    { city: "Pune", passport: "P42", salary: 2 },
  ]);
  expect(one.page.total).toBe(1);
  expect((await list({ "customFields.passport": { in: ["P1", "P2", "nobody"] } })).page.total).toBe(2);
  expect((await list({ "customFields.salary": "3", "customFields.city": "Pune" })).page.total).toBe(10);
  const passport = { field: "customFields.passport", op: "eq", value: "P42" };
  const where = (condition: unknown, name: "admin" | "viewer" = "admin") =>
    node.call("leads.list", { where: condition, count: true }, as(name));
  expect((await where({ any: [passport, { ...passport, op: "in", value: ["P1"] }] })).page.total).toBe(2);
  const all = (await list({})).page.total as number;
  expect((await where({ not: passport })).page.total).toBe(all - 1);
  await expect(where({ not: { ...passport, op: "like" } })).rejects.toMatchObject({ code: 400 });
  await expect(where({ not: passport }, "viewer")).rejects.toMatchObject({ code: 403 });
  await expect(list({ "customFields.passport": { like: "P" } })).rejects.toMatchObject({
    code: 400,
    type: "INVALID_FILTER",
  });
  await expect(list({ "customFields.passport": "P42" }, "viewer")).rejects.toMatchObject({ code: 403 });
  await expect(node.call("leads.list", { sort: "customFields.passport" }, as("admin"))).rejects.toMatchObject(
    { code: 400 },
  );
});

test("a unique one is no other lead's, also when many come at once or in a batch", async () => {
  const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => create({ passport })));
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  for (const outcome of outcomes)
    if (outcome.status === "rejected")
      expect(outcome.reason).toMatchObject({ code: 409, type: "VALUE_TAKEN" });
  const item = (value: string) => ({ firstName: "B", customFields: { passport: value } });
  const { results } = await node.call(
    "leads.bulkCreate",
    { items: [item(passport), item("N1"), item("N1"), item("N2")] },
    as("admin"),
  );
  expect(results.map(({ status }) => status)).toEqual([409, 201, 409, 201]);
  expect((await list({ "customFields.passport": "N2" })).page.total).toBe(1);
  await Promise.all([create({ salary: 5 }), create({ salary: 5 })]);
});

test("an export holds them only for those who may see them", async () => {
  await create({ passport });
  const exported = async (name: "admin" | "manager") =>
    text((await node.call("leads.export", {}, { ...as(name) })) as Readable);
  expect(await exported("admin")).toContain(passport);
  const meta = { ...as("admin"), scopes: ["reports:export", "leads:read"] };
  const narrow = await text((await node.call("leads.export", {}, meta)) as Readable);
  expect(narrow).not.toContain(passport);
  expect(narrow).toContain('""passport"":null');
});

test("a row copied to another lead, or another organization's, does not open", async () => {
  const [mine, other] = [await create({ passport }), await create({ salary: 1 })];
  await inspect(
    shardUrl(node, organization.id),
    "UPDATE custom_field_values SET record_id = $2, key = 'passport' WHERE record_id = $1 AND key = 'passport'",
    [mine.id, other.id],
  );
  await expect(get(other)).rejects.toThrow(/does not open/);
});

test("a field whose values stand unsealed cannot be made sensitive, and a definition's end is its values' end", async () => {
  await create({ nickname: "Ash" });
  await expect(define({ key: "nickname", isSensitive: true })).rejects.toMatchObject({
    type: "CUSTOM_FIELD_IN_USE",
  });
  await expect(define({ key: "passport" })).rejects.toMatchObject({ type: "CUSTOM_FIELD_TAKEN" });
  const lead: LeadView = await create({ passport, salary: 7 });
  const { data } = await node.call("custom-fields.list", {}, as("viewer"));
  expect(data.map(({ key }) => key)).toEqual(["passport", "salary"]);
  const field = { id: data[0]?.id ?? "" };
  await expect(node.call("custom-fields.remove", field, as("admin"))).rejects.toMatchObject({
    ...{ code: 409, type: "IN_USE", data: { uses: 1 } },
  });
  await node.call("custom-fields.remove", { ...field, force: true }, as("admin"));
  expect((await get(lead)).customFields).toEqual({ city: "Pune", salary: 7 });
  expect(
    await stored("SELECT key AS all FROM custom_field_values WHERE record_id = $1 AND is_unique", [lead.id]),
  ).toEqual([]);
  await node.call("custom-fields.restore", field, as("admin"));
  expect((await get(lead)).customFields).toEqual({ city: "Pune", passport, salary: 7 });
});
