import { beforeAll, describe, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { bodyOf, listOf, made, recordWorld, unique, type Body } from "../support/records.ts";

let admin: Client;
let rep: Client;
let other: Client;
let stranger: Client;
beforeAll(async () => {
  ({ admin, rep, stranger } = await recordWorld("Lists"));
  other = await admin.addUser("sales_rep");
});

const state = { key: "state", type: "select", options: [{ value: "invited" }, { value: "came" }] };
const listOfKind = (body: object = {}, client = admin) =>
  made(client, "/lists", {
    ...{ kind: "contact", name: `L ${unique()}`, fields: [state, { key: "seats", type: "number" }] },
    ...{ isShared: true, ...body },
  });
const contact = (body: object = {}) => made(admin, "/contacts", { lastName: unique(), ...body });
const add = (list: Body, record: Body, values: object = {}, client = admin) =>
  client.post(`/lists/${list.id}/entries`, { recordId: record.id, values });
const entries = async (list: Body, query = "", client = admin) =>
  listOf(await client.get(`/lists/${list.id}/entries?${query}`));
const recordsIn = async (list: Body, query = "", client = admin) =>
  (await entries(list, query, client)).map(({ recordId }) => recordId);

describe("a list", () => {
  test("holds one person in three lists with three states, each its own", async () => {
    const lists = await Promise.all([listOfKind(), listOfKind(), listOfKind()]);
    const person = await contact();
    const values = [{ state: "invited" }, { state: "came", seats: 2 }, {}];
    for (const [index, list] of lists.entries()) {
      const answer = await add(list, person, values[index]);
      expect(answer).toMatchObject({
        status: 201,
        body: { recordId: person.id, values: values[index], addedBy: admin.userId, version: 1 },
      });
      expect((await admin.get(`/lists/${list.id}/entries/${bodyOf(answer).id}`)).body).toEqual(answer.body);
    }
    for (const [index, list] of lists.entries())
      expect(await entries(list)).toMatchObject([{ recordId: person.id, values: values[index] }]);
    expect(await add(lists[0], person)).toMatchObject({
      status: 409,
      body: { code: "ALREADY_IN_LIST" },
    });
  });

  test("is filtered by its own fields as they are typed, brings its records along, and is paged", async () => {
    const list = await listOfKind();
    const people = [await contact(), await contact(), await contact()] as const;
    await add(list, people[0], { state: "came", seats: 10 });
    await add(list, people[1], { state: "invited", seats: 9 });
    await add(list, people[2]);
    expect(await recordsIn(list, "filter[values.state]=came")).toEqual([people[0].id]);
    expect(await recordsIn(list, "filter[values.seats][gte]=9")).toEqual([people[0].id, people[1].id]);
    expect(await recordsIn(list, "filter[values.state][isnull]=true")).toEqual([people[2].id]);
    expect(await admin.get(`/lists/${list.id}/entries?filter[values.state]=bogus`)).toMatchObject({
      status: 400,
    });
    const page = await admin.get(`/lists/${list.id}/entries?limit=2&include=record&count=true`);
    expect(page.body).toMatchObject({
      included: { contact: expect.arrayContaining([expect.objectContaining({ id: people[1].id })]) },
      page: { hasMore: true, total: 3 },
    });
    const { nextCursor } = (page.body as { page: { nextCursor: string } }).page;
    expect(await recordsIn(list, `limit=2&cursor=${nextCursor}`)).toEqual([people[2].id]);
  });

  test("is a filter of its kind's list, which stays within what one sees", async () => {
    const list = await listOfKind();
    const [mine, theirs] = [await contact({ assignedTo: rep.userId }), await contact()];
    await Promise.all([add(list, mine), add(list, theirs)]);
    const found = async (client: Client) =>
      new Set(listOf(await client.get(`/contacts?list=${list.id}`)).map(({ id }) => id));
    expect(await found(admin)).toEqual(new Set([mine.id, theirs.id]));
    expect(await found(rep)).toEqual(new Set([mine.id]));
    expect(await admin.get(`/leads?list=${list.id}`)).toMatchObject({
      status: 400,
      body: { errors: [{ path: "list", code: "invalid_value" }] },
    });
    const own = await listOfKind({ isShared: false });
    for (const client of [rep, stranger])
      expect(await client.get(`/contacts?list=${own.id}`)).toMatchObject({
        status: 400,
        body: { errors: [{ path: "list", code: "not_found" }] },
      });
  });

  test("is its owner's alone until it is shared; then others use it, and an admin may change it too", async () => {
    const list = await listOfKind({ isShared: false }, rep);
    const path = `/lists/${list.id}`;
    for (const client of [admin, other, stranger]) expect((await client.get(path)).status).toBe(404);
    const shared = await rep.send("PATCH", path, { isShared: true }, { "if-match": '"1"' });
    expect(shared).toMatchObject({ status: 200, body: { isShared: true, version: 2 } });
    expect(await other.send("PATCH", path, { name: "Mine" })).toMatchObject({
      status: 403,
      body: { code: "NOT_YOUR_LIST" },
    });
    expect((await stranger.get(path)).status).toBe(404);
    const theirs = await contact({ assignedTo: other.userId });
    expect((await add(list, theirs, {}, other)).status).toBe(201);
    expect(await recordsIn(list, "", rep)).toEqual([]);
    expect(await add(list, theirs, {}, rep)).toMatchObject({
      status: 422,
      body: { errors: [{ path: "recordId", code: "not_found" }] },
    });
    expect((await admin.send("PATCH", path, { name: "Ours" })).status).toBe(200);
    expect((await admin.send("DELETE", path)).status).toBe(204);
    expect((await rep.get(path)).status).toBe(404);
    const viewer = await admin.addUser("viewer");
    expect((await viewer.post("/lists", { name: "L" })).status).toBe(403);
  });

  test.each([
    [{ fields: [{ key: "a b" }] }, "fields.0.key"],
    [{ fields: [{ key: "a" }, { key: "a" }] }, "fields"],
    [{ fields: [{ key: "a", type: "select" }] }, "fields.0.options"],
    [{ fields: [{ key: "a", type: "reference" }] }, "fields.0.type"],
    [{ kind: "nosuch" }, "kind"],
  ])("%j is refused at %s", async (body, path) => {
    expect(await admin.post("/lists", { name: "Bad", ...body })).toMatchObject({
      status: 422,
      body: { errors: expect.arrayContaining([expect.objectContaining({ path })]) },
    });
  });
});

describe("an entry", () => {
  test("is changed by its fields under its version, and taken out; the record stays", async () => {
    const list = await listOfKind();
    const person = await contact();
    const { id } = bodyOf(await add(list, person, { state: "invited", seats: 1 }));
    const path = `/lists/${list.id}/entries/${id}`;
    const changed = await admin.send("PATCH", path, { values: { state: "came", seats: null } });
    expect(changed).toMatchObject({ status: 200, body: { values: { state: "came" }, version: 2 } });
    expect((await admin.send("PATCH", path, { values: { state: "came" } })).body).toEqual(changed.body);
    const late = await admin.send("PATCH", path, { values: {} }, { "if-match": '"1"' });
    expect(late.status).toBe(412);
    expect((await admin.send("DELETE", path)).status).toBe(204);
    expect((await admin.get(path)).status).toBe(404);
    expect((await admin.get(`/contacts/${person.id}`)).status).toBe(200);
  });

  test("says what the list has fields for, as it is typed", async () => {
    const list = await listOfKind({ fields: [state, { key: "at", type: "date", isRequired: true }] });
    const person = await contact();
    expect(await add(list, person, { state: "bogus", nosuch: 1 })).toMatchObject({
      status: 422,
      body: {
        errors: expect.arrayContaining([
          expect.objectContaining({ path: "values.state", code: "not_allowed" }),
          expect.objectContaining({ path: "values.nosuch", allowed: ["state", "at"] }),
          expect.objectContaining({ path: "values.at", code: "required" }),
        ]),
      },
    });
    expect((await add(list, person, { at: "2026-02-28" })).status).toBe(201);
  });

  test("loses the values of a field that is taken out, by force alone", async () => {
    const list = await listOfKind();
    await add(list, await contact(), { state: "came", seats: 3 });
    const path = `/lists/${list.id}`;
    expect(await admin.send("PATCH", path, { fields: [state] })).toMatchObject({
      status: 409,
      body: { code: "IN_USE", uses: 1 },
    });
    expect((await admin.send("PATCH", path, { fields: [state], force: true })).status).toBe(200);
    expect(await entries(list)).toMatchObject([{ values: { state: "came" } }]);
  });

  test("of a deleted record is gone, and there again when it is restored", async () => {
    const list = await listOfKind();
    const person = await contact();
    const { id } = bodyOf(await add(list, person, { state: "came" }));
    await admin.send("DELETE", `/contacts/${person.id}`);
    expect(await entries(list)).toEqual([]);
    expect((await admin.get(`/lists/${list.id}/entries/${id}`)).status).toBe(404);
    await admin.post(`/contacts/${person.id}/restore`);
    expect(await entries(list)).toMatchObject([{ id, values: { state: "came" } }]);
  });

  test("follows its record through a merge and back; where both are in the list, the winner's stays", async () => {
    const [both, moved] = await Promise.all([listOfKind(), listOfKind()]);
    const [winner, loser, third] = [await contact(), await contact(), await contact()];
    await add(both, winner, { state: "came" });
    await add(both, loser, { state: "invited" });
    await add(moved, loser, { state: "invited" });
    await add(moved, third, { state: "came" });
    const merge = await admin.post(`/contacts/${winner.id}/merge`, { loserIds: [loser.id, third.id] });
    expect(merge.status).toBe(200);
    expect(await entries(both)).toMatchObject([{ recordId: winner.id, values: { state: "came" } }]);
    expect(await entries(moved)).toMatchObject([{ recordId: winner.id, values: { state: "invited" } }]);
    expect((await admin.post(`/merges/${String(bodyOf(merge).mergeId)}/undo`)).status).toBe(200);
    expect(new Set(await recordsIn(both))).toEqual(new Set([winner.id, loser.id]));
    expect(new Set(await recordsIn(moved))).toEqual(new Set([loser.id, third.id]));
  });
});

describe("many entries at once", () => {
  test("are put in by a condition or by ids, as an operation; those that are there stay as they are", async () => {
    const list = await listOfKind();
    const tag = unique();
    const people = await Promise.all(Array.from({ length: 5 }, () => contact({ tags: [tag] })));
    const [first] = people;
    await add(list, first as Body, { state: "came" });
    const where = { field: "tags", op: "contains", value: tag };
    const path = `/lists/${list.id}/entries/bulk`;
    expect(await admin.post(path, { where, dryRun: true })).toMatchObject({
      status: 200,
      body: { matched: 5 },
    });
    const begun = await admin.post(path, { where, values: { state: "invited" } });
    expect(begun.status).toBe(202);
    await eventually(async () => {
      const { body } = await admin.get(`/operations/${bodyOf(begun).id}`);
      expect(body).toMatchObject({ verb: "add", status: "completed", processed: 5, total: 5, failed: 0 });
      return true;
    });
    expect(new Set(await recordsIn(list))).toEqual(new Set(people.map(({ id }) => id)));
    expect(await recordsIn(list, "filter[values.state]=came")).toEqual([first?.id]);
    expect(await admin.post(path, { where: { field: "nosuch", op: "eq", value: 1 } })).toMatchObject({
      status: 422,
      body: { errors: [{ path: "where.field" }] },
    });
    expect((await admin.post(path, { ids: [first?.id], where })).status).toBe(422);
  });
});

test("an erasure takes a person out of lists", async () => {
  const list = await listOfKind({ kind: "lead" });
  const person = await made(admin, "/leads", { lastName: unique(), email: `${unique()}@example.com` });
  await add(list, person, { state: "came" });
  const asked = await admin.post("/privacy/erasures", { email: person.email, reason: "asked" });
  await eventually(async () => {
    const { body } = await admin.get(`/privacy/requests/${bodyOf(asked).id}`);
    return (body as { status: string }).status === "completed";
  }, 30_000);
  expect(
    (bodyOf(await admin.get(`/privacy/requests/${bodyOf(asked).id}`)) as unknown as { receipt: unknown })
      .receipt ?? null,
  ).toEqual(expect.anything());
  expect(await entries(list)).toEqual([]);
});
