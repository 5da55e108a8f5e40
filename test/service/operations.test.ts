import { beforeAll, describe, expect, test } from "@jest/globals";
import { Client, type Answer } from "../support/client.ts";
import { inspect } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { shardUrl } from "../support/leads.ts";
import { bodyOf, kindsThat, listOf, type Body } from "../support/records.ts";
import { originOf, shareNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let visitor: Client;
beforeAll(async () => {
  node = await shareNode();
  visitor = new Client(originOf(node));
});

/** The operation that an answer has begun, when it is over. */
async function endOf(client: Client, begun: Answer): Promise<Body> {
  expect(begun).toMatchObject({ status: 202, body: { status: "pending" } });
  expect(begun.headers.get("location")).toMatch(`/operations/${bodyOf(begun).id}`);
  return eventually(async () => {
    const { body } = await client.get(`/operations/${bodyOf(begun).id}`);
    return ["completed", "failed"].includes(String((body as Body).status)) && (body as Body);
  }, 30_000);
}

describe.each(kindsThat("bulkUpdate"))("many %s at once", (plural, kind) => {
  const path = `/${plural}`;
  const [main = ""] = kind.title;
  let admin: Client;
  const fill = async (many: number, more: Record<string, unknown> = {}) => {
    for (let from = 0; from < many; from += 1000) {
      const items = Array.from({ length: Math.min(1000, many - from) }, (_, at) => ({
        [main]: `Many ${from + at}`,
        ...more,
      }));
      expect(await admin.post(`${path}/bulk`, { items })).toMatchObject({ status: 200 });
    }
  };
  beforeAll(async () => {
    admin = await visitor.register(`Many-${plural}`);
  });

  test("are changed by a condition, each once, with an event and what was before", async () => {
    await fill(450, { tags: ["old", "kept"] });
    await fill(3, { tags: ["other"] });
    const where = { field: "tags", op: "contains", value: "old" };
    const dry = await admin.send("PATCH", `${path}/bulk`, {
      where,
      changes: { tags: { add: ["x"] } },
      dryRun: true,
    });
    expect(dry).toMatchObject({ status: 200, body: { matched: 450 } });
    const changes = { [main]: "Renamed", tags: { add: ["new"], remove: ["old"] } };
    const begun = await admin.send("PATCH", `${path}/bulk`, { where, changes });
    // the records that were changed match no more, and those behind them are found all the same
    expect(await endOf(admin, begun)).toMatchObject({
      ...{ kind: kind.name, verb: "update", status: "completed", processed: 450, total: 450, failed: 0 },
    });
    const changed = await admin.get(`${path}?filter[tags][contains]=new&limit=200&count=true`);
    expect(changed.body).toMatchObject({ page: { total: 450 } });
    expect(listOf(changed)[0]).toMatchObject({ [main]: "Renamed", tags: ["kept", "new"], version: 2 });
    expect((await admin.get(`${path}?filter[tags][contains]=other&count=true`)).body).toMatchObject({
      page: { total: 3 },
    });
    const history = await admin.get(`${path}/${listOf(changed)[0]?.id}/history`);
    expect(listOf(history)[0]).toMatchObject({
      changes: {
        tags: [
          ["old", "kept"],
          ["kept", "new"],
        ],
      },
    });
  });

  test("are deleted by their ids, and nobody else's", async () => {
    const stranger = await visitor.register("Strangers");
    const foreign = bodyOf(await stranger.post(path, { [main]: "Foreign" }));
    const own = [];
    for (const name of ["a", "b"]) own.push(bodyOf(await admin.post(path, { [main]: name })).id);
    const ids = [...own, foreign.id];
    expect(await admin.post(`${path}/bulk-delete`, { ids, dryRun: true })).toMatchObject({
      body: { matched: 2 },
    });
    const begun = await admin.post(`${path}/bulk-delete`, { ids });
    expect(await endOf(admin, begun)).toMatchObject({ status: "completed", processed: 2, failed: 0 });
    for (const id of own) expect(await admin.get(`${path}/${id}`)).toMatchObject({ status: 404 });
    expect(await stranger.get(`${path}/${foreign.id}`)).toMatchObject({ status: 200 });
    expect(await stranger.get(`/operations/${bodyOf(begun).id}`)).toMatchObject({ status: 404 });
    expect(listOf(await stranger.get("/operations"))).toEqual([]);
  });

  test("refuse a record that would be too large by itself, and say which", async () => {
    const many = Array.from({ length: 50 }, (_, at) => `tag-${at}`);
    const full = bodyOf(await admin.post(path, { [main]: "Full", tags: many }));
    const free = bodyOf(await admin.post(path, { [main]: "Free" }));
    const begun = await admin.send("PATCH", `${path}/bulk`, {
      ids: [full.id, free.id],
      changes: { tags: { add: ["one more"] } },
    });
    const end = await endOf(admin, begun);
    expect(end).toMatchObject({ status: "completed", processed: 2, failed: 1 });
    expect(end.errors).toMatchObject([{ id: full.id, code: "VALIDATION_FAILED" }]);
    expect((await admin.get(`${path}/${free.id}`)).body).toMatchObject({ tags: ["one more"] });
  });

  test("say at once what is wrong: both or no selection, nothing to change, unknown fields, references to nothing", async () => {
    const ids = ["01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f"];
    const where = { field: "id", op: "isnull", value: false };
    for (const body of [
      { changes: { [main]: "x" } },
      { ids, where, changes: { [main]: "x" } },
      { ids, changes: {} },
      { ids, changes: { nosuch: 1 } },
      { ids, changes: { externalId: "one" } },
      { where: { field: "nosuch", op: "eq", value: 1 }, changes: { [main]: "x" } },
    ])
      expect(await admin.send("PATCH", `${path}/bulk`, body)).toMatchObject({
        status: 422,
        body: { errors: [expect.anything()] },
      });
    const [reference] =
      Object.entries(kind.fields).find(([, { refersTo, setBy }]) => refersTo && setBy === "caller") ?? [];
    if (reference !== undefined) {
      const unknown = { field: "customFields.nosuch", op: "eq", value: "x" };
      for (const dryRun of [true, false])
        expect(
          await admin.send("PATCH", `${path}/bulk`, {
            where: unknown,
            changes: { [reference]: ids[0] },
            dryRun,
          }),
        ).toMatchObject({ status: 400, body: { errors: [expect.anything()] } });
      expect(
        await admin.send("PATCH", `${path}/bulk`, { where, changes: { [reference]: ids[0] } }),
      ).toMatchObject({
        status: 422,
        body: { errors: [{ path: reference, code: "not_found" }] },
      });
    }
    const viewer = await admin.addUser("viewer");
    expect(await viewer.send("PATCH", `${path}/bulk`, { ids, changes: { [main]: "x" } })).toMatchObject({
      status: 403,
    });
    const rep = await admin.addUser("sales_rep");
    expect(await rep.post(`${path}/bulk-delete`, { ids })).toMatchObject({ status: 403 });
  });
});

test("an operation does what its starter may see and change by then, and keeps nothing of whom it was about", async () => {
  const admin = await visitor.register("Starters");
  const rep = await admin.addUser("sales_rep");
  const mine = bodyOf(await rep.post("/contacts", { firstName: "Mine" }));
  const theirs = bodyOf(await admin.post("/contacts", { firstName: "Theirs" }));
  const where = { field: "firstName", op: "in", value: ["Mine", "Theirs"] };
  const begun = await rep.send("PATCH", "/contacts/bulk", { where, changes: { title: "Head" } });
  expect(await endOf(rep, begun)).toMatchObject({ processed: 1, total: 1 });
  expect((await admin.get(`/contacts/${mine.id}`)).body).toMatchObject({ title: "Head" });
  expect((await admin.get(`/contacts/${theirs.id}`)).body).toMatchObject({ title: null });
  const [kept] = await inspect(
    shardUrl(node, admin.organizationId),
    `SELECT selection, changes FROM operations WHERE id = '${bodyOf(begun).id}'`,
  );
  expect(kept).toEqual({ selection: { timeZone: "UTC" }, changes: {} });
  const other = await admin.addUser("sales_rep");
  expect(await other.get(`/operations/${bodyOf(begun).id}`)).toMatchObject({ status: 404 });
  expect(await admin.get(`/operations/${bodyOf(begun).id}`)).toMatchObject({ status: 200 });
});
