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

test("sensitive values lie sealed while an operation waits", async () => {
  const admin = await visitor.register("Sealed");
  const { id } = bodyOf(
    await admin.post("/custom-fields", { kind: "contact", key: "secret", type: "text", isSensitive: true }),
  );
  expect(id).toBeTruthy();
  const { id: contact } = bodyOf(
    await admin.post("/contacts", { firstName: "A", customFields: { secret: "before-9481" } }),
  );
  // every version of its row that was ever written
  const url = shardUrl(node, admin.organizationId);
  await inspect(
    url,
    `CREATE TABLE IF NOT EXISTS public.seen_operations AS SELECT * FROM operations WHERE false`,
  );
  await inspect(
    url,
    `CREATE OR REPLACE FUNCTION public.see_operation() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN INSERT INTO public.seen_operations SELECT NEW.*; RETURN NULL; END $$`,
  );
  await inspect(
    url,
    `CREATE OR REPLACE TRIGGER see AFTER INSERT OR UPDATE ON operations FOR EACH ROW EXECUTE FUNCTION public.see_operation()`,
  );
  try {
    const where = { field: "customFields.secret", op: "eq", value: "before-9481" };
    const changes = { customFields: { secret: "after-5572" } };
    const begun = await admin.send("PATCH", "/contacts/bulk", { where, changes });
    expect(await endOf(admin, begun)).toMatchObject({ status: "completed", processed: 1, failed: 0 });
    expect((await admin.get(`/contacts/${contact}`)).body).toMatchObject({
      customFields: { secret: "after-5572" },
    });
    const seen = await inspect<{ row: string; is_sealed: boolean }>(
      url,
      `SELECT s::text AS row, sealed IS NOT NULL AS is_sealed FROM seen_operations s WHERE id = '${bodyOf(begun).id}' ORDER BY version`,
    );
    expect(seen.map(({ is_sealed: is }) => is)).toEqual([true, false]);
    for (const { row } of seen) expect(row).not.toMatch(/before-9481|after-5572/);
  } finally {
    await inspect(url, "DROP FUNCTION public.see_operation CASCADE; DROP TABLE public.seen_operations");
  }
});

test("an operation ends at what there was when it began, however many are made meanwhile", async () => {
  const admin = await visitor.register("Meanwhile");
  const items = Array.from({ length: 450 }, (_, at) => ({ firstName: `M ${at}`, tags: ["m"] }));
  const more = () => admin.post("/contacts/bulk", { items });
  await more();
  const where = { field: "tags", op: "contains", value: "m" };
  const begun = await admin.send("PATCH", "/contacts/bulk", { where, changes: { title: "Seen" } });
  let isOver = false;
  const writers = Promise.all(
    [1, 2].map(async () => {
      for (let round = 0; round < 5 && !isOver; round++) await more();
    }),
  );
  expect(await endOf(admin, begun)).toMatchObject({ status: "completed", processed: 450, total: 450 });
  isOver = true;
  await writers;
  const changed = await admin.get("/contacts?filter[title]=Seen&count=true&limit=1");
  expect(changed.body).toMatchObject({ page: { total: 450 } });
});

test("a step of an operation writes its records in few statements", async () => {
  const admin = await visitor.register("Few");
  const items = Array.from({ length: 150 }, (_, at) => ({ firstName: `F ${at}` }));
  await admin.post("/contacts/bulk", { items });
  const where = { field: "firstName", op: "isnull", value: false };
  const url = shardUrl(node, admin.organizationId);
  await inspect(url, "CREATE TABLE IF NOT EXISTS public.seen_statements (n integer)");
  await inspect(url, "GRANT INSERT ON public.seen_statements TO PUBLIC");
  await inspect(
    url,
    `CREATE OR REPLACE FUNCTION public.see_statement() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN INSERT INTO public.seen_statements VALUES (1); RETURN NULL; END $$`,
  );
  await inspect(
    url,
    `CREATE OR REPLACE TRIGGER see AFTER UPDATE ON contacts FOR EACH STATEMENT EXECUTE FUNCTION public.see_statement()`,
  );
  try {
    const begun = await admin.send("PATCH", "/contacts/bulk", { where, changes: { title: "x" } });
    expect(await endOf(admin, begun)).toMatchObject({ processed: 150, failed: 0 });
    const [seen] = await inspect<{ count: string }>(url, "SELECT count(*) FROM seen_statements");
    expect(Number(seen?.count)).toBeLessThanOrEqual(2);
  } finally {
    await inspect(url, "DROP FUNCTION public.see_statement CASCADE; DROP TABLE public.seen_statements");
  }
});
