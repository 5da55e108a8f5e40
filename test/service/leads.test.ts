/** @jest-environment ./test/support/environment.mjs */
import { AsyncLocalStorage } from "node:async_hooks";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { v7 as uuidv7 } from "uuid";
import { inspect } from "../support/database.ts";
import { makeOrganization, shardUrl, type TestOrganization } from "../support/leads.ts";
import { startTestNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let org: TestOrganization<"rep" | "other" | "manager">;
beforeAll(async () => {
  node = await startTestNode({ SERVICES: "identity,leads" });
  org = await makeOrganization(node, { rep: "sales_rep", other: "sales_rep", manager: "manager" });
});
afterAll(() => node.stop());

const eventsOf = (leadId: string) =>
  inspect<{ type: string; audience: string[]; entity_version: number; data: Record<string, unknown> }>(
    shardUrl(node, org.id),
    "SELECT type, audience, entity_version, data FROM events WHERE entity_id = $1 ORDER BY position",
    [leadId],
  );
const create = (input: Record<string, unknown>) => node.call("leads.create", input, org.as("admin"));

describe("capturing a lead", () => {
  test("normalises, scores and stores it, and records the event, in one round trip", async () => {
    await create({ firstName: "Warm", lastName: "Up" });
    const pool = node.runtime.database.shardOf(org.id).pool;
    let exchanges = 0;
    // whatever else this node does meanwhile, such as its pollers, does not count
    const ours = new AsyncLocalStorage<true>();
    const connect = pool.connect.bind(pool);
    const spied = async () => {
      const client = await connect();
      const query = client.query.bind(client);
      client.query = ((...args: never[]) => {
        if (ours.getStore()) exchanges++;
        return (query as (...args: unknown[]) => unknown)(...args);
      }) as never;
      return client;
    };
    pool.connect = spied as never;
    const lead = await ours.run(true, () =>
      create({
        email: " Ada@Example.org ",
        phone: "098765 43210",
        companyName: "Acme",
        title: "CTO",
        tags: ["hot", "hot"],
        customFields: { plan: "pro", empty: null },
      }),
    );
    pool.connect = connect as never;
    expect(lead).toMatchObject({
      email: "ada@example.org",
      phone: "+919876543210",
      tags: ["hot"],
      customFields: { plan: "pro" },
      status: "new",
      version: 1,
    });
    expect(lead.scoreReasons.reduce((sum, reason) => sum + reason.points, 0)).toBe(lead.score);
    expect(lead.score).toBeGreaterThan(0);
    expect(exchanges).toBe(1);
    expect(await node.call("leads.get", { id: lead.id }, org.as("admin"))).toEqual(lead);
    expect(await eventsOf(lead.id)).toMatchObject([
      { type: "lead.created", audience: [], entity_version: 1, data: { record: lead } },
    ]);
  });

  test("refuses a phone that cannot be one, a lead that is nobody and an unknown field", async () => {
    await expect(create({ phone: "12" })).rejects.toMatchObject({
      code: 422,
      data: { errors: [{ path: "phone", code: "invalid_phone" }] },
    });
    await expect(create({ tags: ["x"] })).rejects.toMatchObject({ code: 422 });
    await expect(create({ firstName: "A", nonsense: 1 })).rejects.toMatchObject({
      data: { errors: [{ path: "nonsense", code: "unknown_field" }] },
    });
  });

  test("refuses an external id that another lead has, unless that one was deleted", async () => {
    const first = await create({ externalId: "crm-1" });
    await expect(create({ externalId: "crm-1" })).rejects.toMatchObject({
      code: 409,
      type: "EXTERNAL_ID_TAKEN",
    });
    await node.call("leads.remove", { id: first.id }, org.as("admin"));
    const second = await create({ externalId: "crm-1" });
    await expect(node.call("leads.restore", { id: first.id }, org.as("admin"))).rejects.toMatchObject({
      code: 409,
      type: "EXTERNAL_ID_TAKEN",
    });
    expect((await node.call("leads.get", { id: second.id }, org.as("admin"))).externalId).toBe("crm-1");
  });

  test("gives a sales rep their own lead, and refuses to give it to somebody else", async () => {
    const lead = await node.call("leads.create", { email: "r@example.org" }, org.as("rep"));
    expect(lead.assignedTo).toBe(org.userId("rep"));
    await expect(
      node.call("leads.create", { email: "r2@example.org", assignedTo: org.userId("other") }, org.as("rep")),
    ).rejects.toMatchObject({ code: 403 });
  });

  test("refuses an assignee who is no active user of the organization", async () => {
    const stranger = await makeOrganization(node);
    for (const assignedTo of [uuidv7(), stranger.userId("admin")])
      await expect(create({ email: "x@example.org", assignedTo })).rejects.toMatchObject({
        code: 422,
        data: { errors: [{ path: "assignedTo" }] },
      });
  });
});

describe("reading leads", () => {
  test("pages through all of them, newest first, each once", async () => {
    const own = await makeOrganization(node);
    for (let index = 0; index < 7; index++)
      await node.call("leads.create", { firstName: `L${index}` }, own.as("admin"));
    const names: unknown[] = [];
    let cursor: string | undefined;
    do {
      const page = await node.call("leads.list", { limit: 3, cursor, count: true }, own.as("admin"));
      expect(page.page.total).toBe(7);
      names.push(...page.data.map((lead) => lead.firstName));
      cursor = page.page.nextCursor ?? undefined;
    } while (cursor);
    expect(names).toEqual(["L6", "L5", "L4", "L3", "L2", "L1", "L0"]);
  });

  test("shows only the fields asked for, and the id", async () => {
    const own = await makeOrganization(node);
    await node.call("leads.create", { email: "only@example.org" }, own.as("admin"));
    const { data } = await node.call("leads.list", { fields: "email" }, own.as("admin"));
    expect(data).toEqual([{ id: expect.any(String), email: "only@example.org" }]);
  });

  test("filters by field and custom field and searches by the beginnings of words", async () => {
    const own = await makeOrganization(node);
    const add = (input: Record<string, unknown>) => node.call("leads.create", input, own.as("admin"));
    const wanted = await add({
      firstName: "Grace",
      lastName: "Hopper",
      source: "web",
      customFields: { plan: "pro" },
    });
    await add({ firstName: "Alan", source: "web", customFields: { plan: "free" } });
    const list = async (params: Record<string, unknown>) =>
      (await node.call("leads.list", params, own.as("admin"))).data.map((lead) => lead.id);
    expect(await list({ filter: { source: "web", "customFields.plan": "pro" } })).toEqual([wanted.id]);
    expect(await list({ q: "hop gra" })).toEqual([wanted.id]);
    await expect(list({ filter: { importId: "x" } })).rejects.toMatchObject({ code: 400 });
  });

  test("shows a sales rep only their own leads; another's does not exist for them", async () => {
    const lead = await create({ email: "mine@example.org", assignedTo: org.userId("rep") });
    const ids = async (name: "rep" | "other") =>
      (await node.call("leads.list", {}, org.as(name))).data.map((one) => one.id);
    expect(await ids("rep")).toContain(lead.id);
    expect(await ids("other")).not.toContain(lead.id);
    const asOther = org.as("other");
    for (const attempt of [
      () => node.call("leads.get", { id: lead.id }, asOther),
      () => node.call("leads.update", { id: lead.id, title: "x" }, asOther),
      () => node.call("leads.convert", { id: lead.id }, asOther),
      () => node.call("leads.timeline", { id: lead.id }, asOther),
      () => node.call("leads.duplicates", { id: lead.id }, asOther),
      () => node.call("leads.assign", { id: lead.id, userId: org.userId("other") }, asOther),
    ])
      await expect(attempt()).rejects.toMatchObject({ code: 404, type: "LEAD_NOT_FOUND" });
  });

  test("another organization's lead does not exist", async () => {
    const lead = await create({ email: "far@example.org" });
    const stranger = await makeOrganization(node);
    await expect(node.call("leads.get", { id: lead.id }, stranger.as("admin"))).rejects.toMatchObject({
      code: 404,
    });
    await expect(node.call("leads.remove", { id: lead.id }, stranger.as("admin"))).rejects.toMatchObject({
      code: 404,
    });
  });

  test("tells duplicates and by what they match", async () => {
    const one = await create({ email: "dup@example.org", phone: "+14155550100" });
    const same = await create({ email: "dup@example.org" });
    const phone = await create({ phone: "001 415 555 0100" });
    const { data } = await node.call("leads.duplicates", { id: one.id }, org.as("admin"));
    expect(data.map(({ record, matchedBy }) => [record.id, matchedBy])).toEqual([
      [same.id, ["email"]],
      [phone.id, ["phone"]],
    ]);
  });

  test("the timeline tells what happened, newest first, page by page", async () => {
    const lead = await create({ email: "time@example.org" });
    for (const title of ["one", "two", "three"])
      await node.call("leads.update", { id: lead.id, title }, org.as("admin"));
    const first = await node.call("leads.timeline", { id: lead.id, limit: 3 }, org.as("admin"));
    expect(first.data.map((event) => [event.type, event.entityVersion])).toEqual([
      ["lead.updated", 4],
      ["lead.updated", 3],
      ["lead.updated", 2],
    ]);
    const rest = await node.call(
      "leads.timeline",
      { id: lead.id, limit: 3, cursor: first.page.nextCursor as string },
      org.as("admin"),
    );
    expect(rest).toMatchObject({
      data: [{ type: "lead.created" }],
      page: { nextCursor: null, hasMore: false },
    });
    await expect(
      node.call("leads.timeline", { id: lead.id, cursor: "bm9uc2Vuc2U" }, org.as("admin")),
    ).rejects.toMatchObject({ code: 400, type: "INVALID_CURSOR" });
  });
});

describe("changing a lead", () => {
  test("merges custom fields by key, rescores, and says what changed", async () => {
    const lead = await create({ firstName: "Eve", customFields: { a: 1, b: 2 } });
    const changed = await node.call(
      "leads.update",
      { id: lead.id, email: "eve@acme.test", firstName: null, customFields: { b: null, c: 3 } },
      org.as("admin"),
    );
    expect(changed).toMatchObject({ firstName: null, customFields: { a: 1, c: 3 }, version: 2, score: 20 });
    const [, event] = await eventsOf(lead.id);
    expect(event).toMatchObject({ type: "lead.updated", entity_version: 2 });
    expect(event?.data.changes).toEqual({
      firstName: ["Eve", null],
      email: [null, "eve@acme.test"],
      "customFields.b": [2, null],
      "customFields.c": [null, 3],
      score: [lead.score, 20],
    });
  });

  test("what changes nothing makes no version and no event", async () => {
    const lead = await create({ firstName: "Same", tags: ["a"], customFields: { x: 1 } });
    const again = await node.call(
      "leads.update",
      { id: lead.id, firstName: "Same", tags: ["a"], customFields: { x: 1, y: null } },
      org.as("admin"),
    );
    expect(again).toEqual(lead);
    expect(await eventsOf(lead.id)).toHaveLength(1);
  });

  test("is refused when the caller saw another version", async () => {
    const lead = await create({ firstName: "V" });
    await node.call("leads.update", { id: lead.id, expectedVersion: 1, title: "t" }, org.as("admin"));
    for (const attempt of [
      () => node.call("leads.update", { id: lead.id, expectedVersion: 1, title: "u" }, org.as("admin")),
      () => node.call("leads.remove", { id: lead.id, expectedVersion: 1 }, org.as("admin")),
    ])
      await expect(attempt()).rejects.toMatchObject({
        code: 412,
        type: "VERSION_MISMATCH",
        data: { version: 2 },
      });
  });

  test("of many at once none is lost", async () => {
    const lead = await create({ firstName: "Busy" });
    await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        node.call("leads.update", { id: lead.id, customFields: { [`k${index}`]: index } }, org.as("admin")),
      ),
    );
    const after = await node.call("leads.get", { id: lead.id }, org.as("admin"));
    expect(Object.keys(after.customFields)).toHaveLength(20);
    expect(after.version).toBe(21);
  });

  test("an external id that another lead has is refused", async () => {
    await create({ externalId: "taken" });
    const lead = await create({ externalId: "free" });
    await expect(
      node.call("leads.update", { id: lead.id, externalId: "taken" }, org.as("admin")),
    ).rejects.toMatchObject({ type: "EXTERNAL_ID_TAKEN" });
  });

  test("a deleted lead is gone until it is restored", async () => {
    const lead = await create({ email: "gone@example.org" });
    expect(await node.call("leads.remove", { id: lead.id }, org.as("admin"))).toBeNull();
    await expect(node.call("leads.get", { id: lead.id }, org.as("admin"))).rejects.toMatchObject({
      code: 404,
    });
    await expect(node.call("leads.timeline", { id: lead.id }, org.as("admin"))).rejects.toMatchObject({
      code: 404,
    });
    const restored = await node.call("leads.restore", { id: lead.id }, org.as("admin"));
    expect(restored).toEqual({ ...lead, version: 3, updatedAt: restored.updatedAt });
    expect((await eventsOf(lead.id)).map((event) => event.type)).toEqual([
      "lead.created",
      "lead.deleted",
      "lead.restored",
    ]);
  });

  test("a reassignment is told to the assignee and to the one before", async () => {
    const lead = await create({ email: "as@example.org", assignedTo: org.userId("rep") });
    const assigned = await node.call(
      "leads.assign",
      { id: lead.id, userId: org.userId("other") },
      org.as("manager"),
    );
    expect(assigned).toMatchObject({ assignedTo: org.userId("other"), version: 2 });
    const [, event] = await eventsOf(lead.id);
    expect(event).toMatchObject({
      type: "lead.assigned",
      audience: [org.userId("other"), org.userId("rep")],
    });
    await expect(
      node.call("leads.assign", { id: lead.id, userId: org.userId("rep") }, org.as("other")),
    ).rejects.toMatchObject({ code: 403 });
  });
});

describe("upserting by external id", () => {
  test("creates once and changes afterwards, also when many come at once", async () => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        node.call(
          "leads.upsert",
          { externalId: "up-1", customFields: { [`k${index}`]: 1 } },
          org.as("admin"),
        ),
      ),
    );
    expect(new Set(answers.map((lead) => lead.id)).size).toBe(1);
    const lead = await node.call("leads.upsert", { externalId: "up-1", title: "CEO" }, org.as("admin"));
    expect(lead).toMatchObject({ title: "CEO", version: 11 });
    expect(Object.keys(lead.customFields)).toHaveLength(10);
  });
});

describe("bulk capture", () => {
  test("judges each item by itself, in order", async () => {
    await create({ externalId: "b-stored" });
    const { results } = await node.call(
      "leads.bulkCreate",
      {
        items: [
          { email: "bulk1@example.org" },
          { email: "not an address" },
          { externalId: "b-stored" },
          { externalId: "b-new" },
          { externalId: "b-new" },
          { phone: "1" },
          { email: "y@example.org", assignedTo: uuidv7() },
          "nonsense",
        ],
      },
      org.as("admin"),
    );
    expect(results.map(({ index, status, error }) => [index, status, error?.code])).toEqual([
      [0, 201, undefined],
      [1, 422, "VALIDATION_FAILED"],
      [2, 409, "EXTERNAL_ID_TAKEN"],
      [3, 201, undefined],
      [4, 409, "EXTERNAL_ID_TAKEN"],
      [5, 422, "VALIDATION_FAILED"],
      [6, 422, "VALIDATION_FAILED"],
      [7, 422, "VALIDATION_FAILED"],
    ]);
    expect(results[5]?.error?.errors).toMatchObject([{ path: "phone", code: "invalid_phone" }]);
    const id = results[0]?.id as string;
    const lead = await node.call("leads.get", { id }, org.as("admin"));
    expect(await eventsOf(id)).toMatchObject([{ type: "lead.created", data: { record: lead } }]);
  });
});
