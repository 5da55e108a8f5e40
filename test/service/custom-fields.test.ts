import { beforeAll, describe, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";
import { inspect } from "../support/database.ts";
import { shardUrl } from "../support/leads.ts";
import type { TestNode } from "../support/node.ts";

import { bodyOf, kindsThat, listOf, recordWorld, unique, type Body } from "../support/records.ts";

let node: TestNode;
let admin: Client;
let rep: Client;
let stranger: Client;
beforeAll(async () => {
  ({ node, admin, rep, stranger } = await recordWorld("Fields"));
});

const problem = (path: string, code: string) => ({
  status: 422,
  body: { errors: [expect.objectContaining({ path, code })] },
});

describe.each(kindsThat("upsert"))("%s", (plural, kind) => {
  const path = `/${plural}`;
  const title = kind.title[0] ?? "lastName";
  const post = (customFields: Record<string, unknown>, by = admin) =>
    by.post(path, { [title]: unique(), customFields });
  const make = async (customFields: Record<string, unknown> = {}): Promise<Body> => {
    const answer = await post(customFields);
    expect(answer).toMatchObject({ status: 201 });
    return bodyOf(answer);
  };
  const patch = (id: string, customFields: Record<string, unknown>, by = admin) =>
    by.send("PATCH", `${path}/${id}`, { customFields });
  const get = async (id: string, by = admin) => bodyOf(await by.get(`${path}/${id}`));
  const define = async (says: Record<string, unknown>): Promise<Body & { key: string }> => {
    const answer = await admin.post("/custom-fields", { kind: kind.name, key: unique(), ...says });
    expect(answer).toMatchObject({ status: 201 });
    return answer.body as Body & { key: string };
  };
  /** Of one test alone: what is required would be asked of every other. */
  const forget = (field: { id: string }) => admin.send("DELETE", `/custom-fields/${field.id}?force=true`);
  const titles = async (query: string) => {
    const answer = await admin.get(`${path}?${query}`);
    expect(answer).toMatchObject({ status: 200 });
    return listOf(answer).map(({ id }) => id);
  };

  describe("values are kept in the form of their type", () => {
    const options = [{ value: "free", label: "Free" }, { value: "pro" }];
    test.each<[string, Record<string, unknown>, unknown, unknown, unknown]>([
      ["text", {}, "Pune", "Pune", 7],
      ["longText", {}, "x".repeat(20_000), "x".repeat(20_000), true],
      ["number", {}, 12.5, 12.5, "12.5"],
      ["boolean", {}, false, false, "no"],
      ["date", {}, "2026-02-28", "2026-02-28", "2026-02-30"],
      ["datetime", {}, "2026-02-28T10:30:00+05:30", "2026-02-28T05:00:00.000Z", "2026-02-28"],
      [
        "money",
        {},
        { amount: "5", currency: "INR" },
        { amount: "5.00", currency: "INR" },
        { amount: "5.001", currency: "INR" },
      ],
      ["select", { options }, "pro", "pro", "gold"],
      ["multiSelect", { options }, ["pro", "free", "pro"], ["pro", "free"], ["pro", "gold"]],
      ["url", {}, "https://example.com/a?b=1", "https://example.com/a?b=1", "javascript:alert(1)"],
      ["email", {}, "Asha.Rao@Example.com", "asha.rao@example.com", "nobody"],
      ["phone", {}, "+91 98765 43210", "+919876543210", "call me"],
    ])("%s", async (type, more, given, stored, wrong) => {
      const { key, id } = await define({ type, ...more });
      const made = await make({ [key]: given });
      expect(made.customFields).toEqual({ [key]: stored });
      expect((await get(made.id)).customFields).toEqual({ [key]: stored });
      for (const answer of [await post({ [key]: wrong }), await patch(made.id, { [key]: wrong })])
        expect(answer).toMatchObject({
          status: 422,
          body: { errors: [{ path: expect.stringMatching(`^customFields.${key}`) }] },
        });
      const bulk = await admin.post(`${path}/bulk`, {
        items: [wrong, given].map((value) => ({ [title]: unique(), customFields: { [key]: value } })),
      });
      const { results } = bulk.body as { results: { status: number }[] };
      expect(results.map(({ status }) => status)).toEqual([422, 201]);
      expect(bodyOf(await patch(made.id, { [key]: null })).customFields).toEqual({});
      await forget({ id });
    });

    test("what is chosen is named where it is none of the options", async () => {
      const field = await define({ type: "select", options });
      const answer = await post({ [field.key]: "gold" });
      expect(JSON.stringify(answer.body)).toContain("must be one of free, pro");
      const filtered = await admin.get(`${path}?filter[customFields.${field.key}]=gold`);
      expect(filtered).toMatchObject({ status: 400, body: { errors: [{ allowed: ["free", "pro"] }] } });
    });

    test("a user is an active one, and a reference a record that the caller sees and that is there", async () => {
      const user = await define({ type: "user" });
      const reference = await define({ type: "reference", references: "contact" });
      const contact = bodyOf(await admin.post("/contacts", { lastName: unique() }));
      const foreign = bodyOf(await stranger.post("/contacts", { lastName: unique() }));
      const made = await make({ [user.key]: rep.userId, [reference.key]: contact.id });
      expect(made.customFields).toEqual({ [user.key]: rep.userId, [reference.key]: contact.id });
      expect(await post({ [user.key]: stranger.userId })).toMatchObject(
        problem(`customFields.${user.key}`, "not_found"),
      );
      const wrong = problem(`customFields.${reference.key}`, "not_found");
      expect(await post({ [reference.key]: foreign.id })).toMatchObject(wrong);
      // who only reads such records makes none
      if (!kind.isSetting) expect(await post({ [reference.key]: contact.id }, rep)).toMatchObject(wrong);
      const other = await make({});
      await admin.send("DELETE", `/contacts/${contact.id}`);
      expect(await patch(other.id, { [reference.key]: contact.id })).toMatchObject(wrong);
      // what is given back as it was stays
      expect(await patch(made.id, { [reference.key]: contact.id })).toMatchObject({ status: 200 });
    });
  });

  test("what is required is asked of new records, and nobody takes it away; a default is given", async () => {
    const before = await make();
    const [plan, city] = [await define({ isRequired: true }), await define({ default: "Pune" })];
    const missing = problem(`customFields.${plan.key}`, "required");
    for (const given of [{}, { [plan.key]: null }]) expect(await post(given)).toMatchObject(missing);
    const made = await make({ [plan.key]: "pro" });
    expect(made.customFields).toEqual({ [plan.key]: "pro", [city.key]: "Pune" });
    expect(await patch(made.id, { [plan.key]: null })).toMatchObject(missing);
    // what was there before stays as it is, and may be changed
    expect(await patch(before.id, { other: "x" })).toMatchObject({ status: 200 });
    const upsert = (customFields: Record<string, unknown>, externalId = unique()) =>
      admin.send("PUT", `${path}/by-external-id/${externalId}`, { [title]: unique(), customFields });
    expect(await upsert({})).toMatchObject(missing);
    const externalId = unique();
    const upserted = await upsert({ [plan.key]: "pro" }, externalId);
    expect(upserted).toMatchObject({ status: 201, body: { customFields: { [city.key]: "Pune" } } });
    expect(await upsert({ [city.key]: null }, externalId)).toMatchObject({
      status: 200,
      body: { customFields: { [plan.key]: "pro" } },
    });
    await Promise.all([plan, city].map(forget));
  });

  test.each([false, true])(
    "of 50 who take a unique value at once one wins (sealed: %s)",
    async (isSensitive) => {
      const { key } = await define({ isUnique: true, isSensitive });
      const answers = await Promise.all(Array.from({ length: 50 }, () => post({ [key]: "one" })));
      expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
      for (const answer of answers)
        if (answer.status !== 201)
          expect(answer).toMatchObject({ status: 409, body: { code: "VALUE_TAKEN" } });
      const [first] = answers.filter(({ status }) => status === 201).map(bodyOf) as [Body];
      // it may be written again by who has it, is free when that is deleted, and is taken again with it
      expect(await patch(first.id, { [key]: "one", other: "x" })).toMatchObject({ status: 200 });
      await admin.send("DELETE", `${path}/${first.id}`);
      const second = await make({ [key]: "one" });
      expect(await admin.post(`${path}/${first.id}/restore`, {})).toMatchObject({
        ...{ status: 409, body: { code: "VALUE_TAKEN", detail: expect.stringContaining(second.id) } },
      });
      await patch(second.id, { [key]: "two" });
      expect(await admin.post(`${path}/${first.id}/restore`, {})).toMatchObject({ status: 200 });
      expect(await patch(second.id, { [key]: "one" })).toMatchObject({ status: 409 });
      const other = await stranger.post("/custom-fields", { kind: kind.name, key, isUnique: true });
      expect(other).toMatchObject({ status: 201 });
      expect(await post({ [key]: "one" }, stranger)).toMatchObject({ status: 201 });
    },
  );

  test("sealed values are shown to who may see them, and are in no row, event or kept answer", async () => {
    const { key } = await define({ isSensitive: true });
    const secret = `secret-${unique()}`;
    const body = {
      [title]: unique(),
      customFields: { [key]: secret },
      ...(kind.owner && { [kind.owner]: rep.userId }),
    };
    const headers = { "idempotency-key": unique() };
    const made = bodyOf(await admin.send("POST", path, body, headers));
    expect(made).toMatchObject({ customFields: { [key]: secret }, sensitive: [key] });
    const again = bodyOf(await admin.send("POST", path, body, headers));
    expect(again).toMatchObject({ id: made.id, customFields: { [key]: null } });
    expect(await get(made.id)).toMatchObject({ customFields: { [key]: secret }, sensitive: [key] });
    expect(await get(made.id, rep)).toMatchObject({ customFields: { [key]: null }, sensitive: [key] });
    expect(await titles(`filter[customFields.${key}]=${secret}`)).toEqual([made.id]);
    expect(await rep.get(`${path}?filter[customFields.${key}]=${secret}`)).toMatchObject({ status: 403 });
    expect(await patch(made.id, { [key]: "x" }, rep)).toMatchObject({ status: 403 });
    const changed = await patch(made.id, { [key]: `${secret}-2` });
    expect(changed).toMatchObject({ body: { version: 2, customFields: { [key]: `${secret}-2` } } });
    const tables = await inspect<{ name: string }>(
      shardUrl(node, admin.organizationId),
      `SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname IN ('public', 'graphile_worker') AND c.relkind = 'r'`,
    );
    for (const { name } of tables) {
      const found = await inspect(
        shardUrl(node, admin.organizationId),
        `SELECT 1 FROM ${name} t WHERE t::text LIKE $1`,
        [`%${secret}%`],
      );
      expect([name, found]).toEqual([name, []]);
    }
  });

  test("filters compare numbers, money, days, times and choices as what they are", async () => {
    const [seats, fee, day, vip, plans] = [
      await define({ type: "number" }),
      await define({ type: "money" }),
      await define({ type: "datetime" }),
      await define({ type: "boolean" }),
      await define({ type: "multiSelect", options: [{ value: "a" }, { value: "b" }] }),
    ];
    const nine = await make({
      ...{ [seats.key]: 9, [fee.key]: { amount: "9", currency: "INR" }, [vip.key]: true },
      ...{ [day.key]: "2026-01-09T00:00:00Z", [plans.key]: ["a"] },
    });
    const ten = await make({
      ...{ [seats.key]: 10, [fee.key]: { amount: "10", currency: "INR" }, [vip.key]: false },
      ...{ [day.key]: "2026-01-10T00:00:00Z", [plans.key]: ["a", "b"] },
    });
    const found = (key: string, test: string) => titles(`filter[customFields.${key}]${test}&sort=createdAt`);
    expect(await found(seats.key, "[gte]=10")).toEqual([ten.id]);
    expect(await found(fee.key, "[lt]=10.00 INR")).toEqual([nine.id]);
    expect(await found(fee.key, "[lt]=10.00 USD")).toEqual([]);
    expect(await found(day.key, "[gt]=2026-01-09T12:00:00%2B05:30")).toEqual([ten.id]);
    expect(await found(vip.key, "=true")).toEqual([nine.id]);
    expect(await found(plans.key, "[contains]=b")).toEqual([ten.id]);
    for (const [key, test] of [
      [seats.key, "=many"],
      [day.key, "=tomorrow"],
      [vip.key, "=perhaps"],
      [unique(), "=1"],
    ] as const)
      expect(await admin.get(`${path}?filter[customFields.${key}]${test}`)).toMatchObject({ status: 400 });
  });

  test("a definition is changed, and what records have stays fit for it", async () => {
    const field = await define({ type: "select", options: [{ value: "free" }, { value: "pro" }] });
    const change = (says: Record<string, unknown>, headers = {}) =>
      admin.send("PATCH", `/custom-fields/${field.id}`, says, headers);
    const made = await make({ [field.key]: "pro" });
    expect(await change({ label: "Plan" }, { "if-match": '"7"' })).toMatchObject({ status: 412 });
    expect(await change({ label: "Plan" })).toMatchObject({
      status: 200,
      body: { label: "Plan", version: 2 },
    });
    expect(await change({ key: "other" })).toMatchObject(problem("key", "immutable"));
    expect(await change({ isSensitive: true })).toMatchObject(problem("isSensitive", "immutable"));
    expect(await change({ options: [{ value: "free" }] })).toMatchObject({
      status: 409,
      body: { code: "IN_USE", detail: expect.stringContaining("pro (1)") },
    });
    const forced = await change({ options: [{ value: "free" }], force: true });
    expect(forced).toMatchObject({ status: 200, body: { options: [{ value: "free", label: "free" }] } });
    expect((await get(made.id)).customFields).toEqual({ [field.key]: "pro" });
    expect(await post({ [field.key]: "pro" })).toMatchObject({ status: 422 });
    expect(await change({ type: "number" })).toMatchObject({
      ...{ status: 409, body: { code: "VALUES_DO_NOT_FIT", detail: expect.stringContaining(made.id) } },
    });
    expect(await change({ type: "text" })).toMatchObject({
      status: 200,
      body: { type: "text", options: [] },
    });
    await make({ [field.key]: "pro" });
    expect(await change({ isUnique: true })).toMatchObject({
      ...{ status: 409, body: { code: "VALUES_REPEAT", detail: expect.stringMatching(/^1 /) } },
    });
    await patch(made.id, { [field.key]: "basic" });
    expect(await change({ isUnique: true, isIndexed: true })).toMatchObject({
      ...{ status: 200, body: { isUnique: true, isIndexed: true } },
    });
    expect(await post({ [field.key]: "basic" })).toMatchObject({
      status: 409,
      body: { code: "VALUE_TAKEN" },
    });
    expect(await change({ isUnique: false })).toMatchObject({ status: 200 });
    expect(await post({ [field.key]: "basic" })).toMatchObject({ status: 201 });
  });

  test.each([false, true])(
    "a definition in use is deleted by force, hides its values, and is restored with them (sealed: %s)",
    async (isSensitive) => {
      const field = await define({ isSensitive });
      const path1 = `/custom-fields/${field.id}`;
      const made = await make({ [field.key]: "kept", other: "x" });
      expect(await admin.send("DELETE", path1)).toMatchObject({
        ...{ status: 409, body: { code: "IN_USE", detail: expect.stringMatching(/^1 /) } },
      });
      expect(await admin.send("DELETE", `${path1}?force=true`)).toMatchObject({ status: 204 });
      expect(await admin.get(path1)).toMatchObject({ status: 404 });
      expect((await get(made.id)).customFields).toEqual({ other: "x" });
      const filter = `${path}?filter[customFields.${field.key}]=kept`;
      expect(await admin.get(filter)).toMatchObject({ status: 400 });
      expect(await patch(made.id, { [field.key]: "new" })).toMatchObject(
        problem(`customFields.${field.key}`, "deleted"),
      );
      expect(await patch(made.id, { other: "y" })).toMatchObject({ body: { customFields: { other: "y" } } });
      expect(await admin.post("/custom-fields", { kind: kind.name, key: field.key })).toMatchObject({
        ...{ status: 409, body: { code: "CUSTOM_FIELD_TAKEN", detail: expect.stringContaining(field.id) } },
      });
      expect(await stranger.post(`${path1}/restore`, {})).toMatchObject({ status: 404 });
      expect(await admin.post(`${path1}/restore`, {})).toMatchObject({
        status: 200,
        body: { key: field.key },
      });
      expect((await get(made.id)).customFields).toEqual({ [field.key]: "kept", other: "y" });
      expect(await titles(`filter[customFields.${field.key}]=kept`)).toEqual([made.id]);
    },
  );

  test("after 30 days what a deleted definition hid is gone, and its key is free", async () => {
    const field = await define({ isUnique: true });
    const made = await make({ [field.key]: "gone", other: "x" });
    await forget(field);
    const url = shardUrl(node, admin.organizationId);
    const meta = { organizationId: admin.organizationId, role: "system" };
    const purge = () => node.broker.call("custom-fields.purge", { fieldId: field.id }, { meta });
    const stored = async () => {
      const [row] = await inspect<{ custom_fields: unknown }>(
        url,
        `SELECT custom_fields FROM ${plural} WHERE id = $1`,
        [made.id],
      );
      return row?.custom_fields;
    };
    await purge();
    expect(await stored()).toEqual({ [field.key]: "gone", other: "x" });
    await inspect(url, "UPDATE custom_fields SET deleted_at = now() - interval '31 days' WHERE id = $1", [
      field.id,
    ]);
    expect(await admin.post(`/custom-fields/${field.id}/restore`, {})).toMatchObject({ status: 404 });
    await purge();
    await purge();
    expect(await stored()).toEqual({ other: "x" });
    await define({ key: field.key });
  });

  test("definitions that make no sense are refused, with what is wrong", async () => {
    const refused = (says: Record<string, unknown>) =>
      admin.post("/custom-fields", { kind: kind.name, key: unique(), ...says });
    expect(await refused({ type: "select" })).toMatchObject(problem("options", "required"));
    expect(await refused({ type: "reference" })).toMatchObject(problem("references", "required"));
    expect(await refused({ type: "number", default: "x" })).toMatchObject(problem("default", "wrong_type"));
    expect(await refused({ isUnique: true, default: "x" })).toMatchObject(problem("default", "not_allowed"));
    expect(await refused({ type: "boolean", isUnique: true })).toMatchObject(
      problem("isUnique", "not_allowed"),
    );
    expect(await rep.post("/custom-fields", { kind: kind.name, key: unique() })).toMatchObject({
      status: 403,
    });
  });
});

describe.each(kindsThat("upsert"))("%s", (plural, kind) => {
  const path = `/${plural}`;
  const title = kind.title[0] ?? "";

  test("that are merged take over unique and sealed values, and give them back", async () => {
    // an organization may have 20 sensitive fields
    const admin = await stranger.register("Merged");
    const define = async (says: object) =>
      (await admin.post("/custom-fields", { kind: kind.name, key: unique(), ...says })).body as {
        key: string;
      };
    const [code, pan] = [
      await define({ isUnique: true }),
      await define({ isUnique: true, isSensitive: true }),
    ];
    const make = async (customFields: object) =>
      bodyOf(await admin.post(path, { [title]: unique(), customFields }));
    const winner = await make({});
    const loser = await make({ [code.key]: "c1", [pan.key]: "p1" });
    const merged = await admin.post(`${path}/${winner.id}/merge`, { loserIds: [loser.id] });
    const whole = { [code.key]: "c1", [pan.key]: "p1" };
    expect(merged).toMatchObject({ status: 200, body: { record: { customFields: whole } } });
    expect(bodyOf(await admin.get(`${path}/${winner.id}`)).customFields).toEqual(whole);
    const another = await admin.post(path, { [title]: unique(), customFields: { [code.key]: "c1" } });
    expect(another).toMatchObject({ status: 409 });
    const { mergeId } = merged.body as { mergeId: string };
    const undone = await admin.post(`/merges/${mergeId}/undo`, {});
    expect(undone).toMatchObject({ status: 200 });
    expect(bodyOf(await admin.get(`${path}/${winner.id}`)).customFields).toEqual({});
    expect(bodyOf(await admin.get(`${path}/${loser.id}`)).customFields).toEqual(whole);
    for (const customFields of [{ [code.key]: "c1" }, { [pan.key]: "p1" }])
      expect(await admin.post(path, { [title]: unique(), customFields })).toMatchObject({ status: 409 });
  });

  test("go back to what they were where that still fits, and leave sealed values alone", async () => {
    const key = unique();
    await admin.post("/custom-fields", { kind: kind.name, key, type: "number" });
    const made = bodyOf(await admin.post(path, { [title]: unique(), customFields: { [key]: 1 } }));
    await admin.send("PATCH", `${path}/${made.id}`, { customFields: { [key]: 2 } });
    const reverted = await admin.post(`${path}/${made.id}/revert`, { version: 1 });
    expect(reverted).toMatchObject({ status: 200, body: { version: 3, customFields: { [key]: 1 } } });
  });
});
