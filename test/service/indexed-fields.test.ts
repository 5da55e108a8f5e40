import { beforeAll, describe, expect, test } from "@jest/globals";
import pg from "pg";
import type { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { inspect } from "../support/database.ts";
import { Importing } from "../support/importing.ts";
import { shardUrl } from "../support/leads.ts";
import type { TestNode } from "../support/node.ts";
import { bodyOf, kindsThat, listOf, recordWorld, unique, type Body } from "../support/records.ts";

let node: TestNode;
let admin: Client;
let stranger: Client;
beforeAll(async () => {
  ({ node, admin, stranger } = await recordWorld("Indexed"));
});

const problem = (path: string, code: string) => ({
  status: 422,
  body: { errors: [expect.objectContaining({ path, code })] },
});

describe.each(kindsThat("merge").filter(([, { fields }]) => "customFields" in fields))(
  "%s",
  (plural, kind) => {
    const path = `/${plural}`;
    const title = kind.title[0] ?? "";
    const define = async (says: Record<string, unknown>, by = admin): Promise<Body & { key: string }> => {
      const answer = await by.post("/custom-fields", { kind: kind.name, key: unique(), ...says });
      expect(answer).toMatchObject({ status: 201 });
      return answer.body as Body & { key: string };
    };
    const make = async (customFields: Record<string, unknown>, by = admin): Promise<Body> => {
      const answer = await by.post(path, { [title]: unique(), customFields });
      expect(answer).toMatchObject({ status: 201 });
      return bodyOf(answer);
    };
    const ids = async (query: string, by = admin): Promise<string[]> => {
      const answer = await by.get(`${path}?${query}`);
      expect(answer).toMatchObject({ status: 200 });
      return listOf(answer).map(({ id }) => id);
    };
    /** Until a job has taken up what was there. */
    const sortable = (key: string, by = admin) =>
      eventually(async () => {
        expect((await by.get(`${path}?sort=customFields.${key}`)).body).not.toHaveProperty("errors");
        return true;
      });
    /** What the index holds, by record. */
    const indexed = async (key: string): Promise<Record<string, unknown>> => {
      const rows = await inspect<{ record_id: string; value: unknown }>(
        shardUrl(node, admin.organizationId),
        "SELECT record_id, coalesce(to_jsonb(number), to_jsonb(text)) AS value FROM custom_field_index WHERE kind = $1 AND key = $2",
        [kind.name, key],
      );
      return Object.fromEntries(rows.map(({ record_id: id, value }) => [id, value]));
    };

    test("what was there is taken up, and lists sort by it with and without a value, page by page, either way", async () => {
      const key = unique();
      const given = [5, -2.5, 100, 5, null, 9, null];
      const made: Body[] = [];
      for (const value of given)
        made.push(await make(value === null ? { all: key } : { [key]: value, all: key }));
      const idOf = (at: number) => made[at]?.id ?? "";
      await define({ key, type: "number", isIndexed: true });
      await sortable(key);
      const fives = [idOf(0), idOf(3)].sort();
      const none = [idOf(4), idOf(6)].sort();
      for (const [sort, expected] of [
        [key, [idOf(1), ...fives, idOf(5), idOf(2), ...none]],
        [`-${key}`, [idOf(2), idOf(5), ...fives.toReversed(), idOf(1), ...none.toReversed()]],
      ] as const)
        for (const limit of [1, 3, 50]) {
          const met: string[] = [];
          let cursor: string | null = "";
          while (cursor !== null) {
            const by = `${sort.startsWith("-") ? "-" : ""}customFields.${key}`;
            const answer = await admin.get(
              `${path}?sort=${by}&limit=${limit}&filter[customFields.all]=${key}${cursor && `&cursor=${cursor}`}`,
            );
            met.push(...listOf(answer).map(({ id }) => id));
            cursor = (answer.body as { page: { nextCursor: string | null } }).page.nextCursor;
          }
          expect({ sort, limit, met }).toEqual({ sort, limit, met: expected });
        }
    });

    test("whatever writes a record writes its index: changes, bulk, deletion, restoring, reverting", async () => {
      const { key } = await define({ type: "number", isIndexed: true });
      await sortable(key);
      const one = await make({ [key]: 1 });
      const bulk = await admin.post(`${path}/bulk`, {
        items: [{ [title]: unique(), customFields: { [key]: 2 } }],
      });
      const two = (bulk.body as { results: { id: string }[] }).results[0]?.id ?? "";
      expect(await indexed(key)).toEqual({ [one.id]: 1, [two]: 2 });
      const change = (customFields: object) => admin.send("PATCH", `${path}/${one.id}`, { customFields });
      expect(await change({ [key]: 7 })).toMatchObject({ status: 200 });
      expect(await indexed(key)).toEqual({ [one.id]: 7, [two]: 2 });
      expect(await change({ [key]: null })).toMatchObject({ status: 200 });
      expect(await indexed(key)).toEqual({ [two]: 2 });
      expect(await admin.post(`${path}/${one.id}/revert`, { version: 2 })).toMatchObject({ status: 200 });
      expect(await indexed(key)).toEqual({ [one.id]: 7, [two]: 2 });
      expect(await admin.send("DELETE", `${path}/${one.id}`)).toMatchObject({ status: 204 });
      expect(await indexed(key)).toEqual({ [two]: 2 });
      expect(await admin.post(`${path}/${one.id}/restore`, {})).toMatchObject({ status: 200 });
      expect(await indexed(key)).toEqual({ [one.id]: 7, [two]: 2 });
      const merged = await admin.post(`${path}/${two}/merge`, { loserIds: [one.id], take: {} });
      expect(merged).toMatchObject({ status: 200 });
      expect(await indexed(key)).toEqual({ [two]: 2 });
    });

    const isImported = kindsThat("import").some(([name]) => name === plural);
    if (isImported)
      test("an import writes the index, and its rollback takes it away", async () => {
        const { key } = await define({ type: "number", isIndexed: true });
        await sortable(key);
        const names = [unique(), unique(), unique()];
        const before = await make({ [key]: 40 });
        const meta = { organizationId: admin.organizationId, userId: admin.userId, role: "admin" };
        const mapping = JSON.stringify({ Name: title, Own: `customFields.${key}` });
        const file = `Name,Own\n${names[0]},7\n${names[1]},many\n${names[2]},-2.5\n`;
        const on = new Importing(node);
        const { id, view } = await on.importFile(file, { mapping }, meta, plural);
        expect(view).toMatchObject({ status: "completed", created: 3 });
        const found = Object.values(await indexed(key)).sort();
        expect(found).toEqual([-2.5, 40, 7]);
        expect(await ids(`sort=customFields.${key}&filter[customFields.${key}][gte]=-10`)).toHaveLength(3);
        expect(await admin.post(`/imports/${id}/rollback`, {})).toMatchObject({ status: 202 });
        await eventually(async () => {
          expect(await indexed(key)).toEqual({ [before.id]: 40 });
          return true;
        });
      });

    // what follows is of the index, which is one for all kinds
    if (kind.name !== "lead") return;

    test.each([
      ["number", [1, 10, 9, -3], "gte=9", [1, 2]],
      ["number", [1, 10, 9, -3], "gt=9", [1]],
      ["number", [1, 10, 9, -3], "lt=1", [3]],
      ["number", [1, 10, 9, -3], "lte=1", [0, 3]],
      ["date", ["2026-01-31", "2025-12-31", "2026-02-01T10:00:00Z"], "gte=2026-01-31", [0, 2]],
      ["datetime", ["2026-01-31T10:00:00Z", "2026-01-31T10:00:00.001Z"], "gt=2026-01-31T10:00:00Z", [1]],
    ] as const)(
      "a range of a %s (%j, %s) finds what it finds without an index",
      async (type, given, range, found) => {
        const { key, id } = await define({ type });
        const made: string[] = [];
        for (const value of given) made.push((await make({ [key]: value })).id);
        const expected = found.map((at) => made[at]).sort();
        const asked = `filter[customFields.${key}][${range.replace("=", "]=")}`;
        expect((await ids(asked)).sort()).toEqual(expected);
        expect(await admin.send("PATCH", `/custom-fields/${id}`, { isIndexed: true })).toMatchObject({
          status: 200,
        });
        await sortable(key);
        expect((await ids(asked)).sort()).toEqual(expected);
        expect((await ids(`${asked}&sort=customFields.${key}`)).sort()).toEqual(expected);
      },
    );

    test("texts sort as people sort them", async () => {
      const { key } = await define({ type: "text", isIndexed: true });
      const made = new Map<string, string>();
      for (const value of ["Zed", "de Souza", "\u00c9mile", "emil"])
        made.set((await make({ [key]: value })).id, value);
      await sortable(key);
      const sorted = await ids(`sort=customFields.${key}&filter[customFields.${key}][isnull]=false`);
      expect(sorted.map((id) => made.get(id))).toEqual(["de Souza", "emil", "\u00c9mile", "Zed"]);
    });

    test("what is not indexed is no order, nor is another organization's field", async () => {
      const { key, id } = await define({ type: "number" });
      const refused = {
        status: 400,
        body: { errors: [expect.objectContaining({ path: "sort", code: "not_indexed" })] },
      };
      expect(await admin.get(`${path}?sort=customFields.${key}`)).toMatchObject(refused);
      await admin.send("PATCH", `/custom-fields/${id}`, { isIndexed: true });
      await sortable(key);
      expect(await stranger.get(`${path}?sort=customFields.${key}`)).toMatchObject(refused);
      expect(await admin.send("PATCH", `/custom-fields/${id}`, { isIndexed: false })).toMatchObject({
        status: 200,
      });
      await eventually(async () => {
        expect(await admin.get(`${path}?sort=customFields.${key}`)).toMatchObject(refused);
        return true;
      });
    });
  },
);

test("a field whose values have no one order, or are sealed, is not indexed", async () => {
  const define = (says: object) =>
    admin.post("/custom-fields", { kind: "lead", key: unique(), isIndexed: true, ...says });
  for (const type of ["boolean", "money", "longText"])
    expect(await define({ type })).toMatchObject(problem("isIndexed", "not_allowed"));
  expect(await define({ type: "text", isSensitive: true })).toMatchObject(
    problem("isIndexed", "not_allowed"),
  );
});

test("a kind has 20 indexed fields, and the next is refused", async () => {
  const answers = [];
  for (let n = 0; n < 21; n++)
    answers.push(
      await stranger.post("/custom-fields", { kind: "lead", key: unique(), type: "number", isIndexed: true }),
    );
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(20);
  expect(answers[20]).toMatchObject(problem("isIndexed", "too_many"));
});

test("orders and ranges are asked by an index under the policy", async () => {
  const client = new pg.Client({ connectionString: shardUrl(node, admin.organizationId) });
  await client.connect();
  try {
    await client.query("BEGIN");
    await client.query(
      `INSERT INTO custom_field_index (organization_id, kind, key, record_id, number)
       SELECT $1::uuid, 'lead', 'plan', gen_random_uuid(), n FROM generate_series(1, 20000) AS n`,
      [admin.organizationId],
    );
    await client.query("SET LOCAL ROLE sangam_app");
    await client.query("SELECT set_config('app.organization_id', $1, true)", [admin.organizationId]);
    const { rows } = await client.query<{ "QUERY PLAN": string }>(
      `EXPLAIN SELECT record_id FROM custom_field_index WHERE kind = 'lead' AND key = 'plan' AND number >= 19000::double precision
       ORDER BY number, record_id LIMIT 51`,
    );
    expect(rows.map((row) => row["QUERY PLAN"]).join("\n")).toMatch(/Index Cond: .*number >= /);
  } finally {
    await client.query("ROLLBACK");
    await client.end();
  }
});
