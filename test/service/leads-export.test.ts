import { text } from "node:stream/consumers";
import type { Readable } from "node:stream";
import { beforeAll, expect, test } from "@jest/globals";
import { parse } from "csv-parse/sync";
import type { Meta } from "../../mixins/contract/meta.ts";
import { makeOrganization, type TestOrganization } from "../support/leads.ts";
import { readWorkbook } from "../support/workbook.ts";
import { eventually } from "../support/eventually.ts";
import { shareNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let org: TestOrganization;
beforeAll(async () => {
  node = await shareNode();
  org = await makeOrganization(node);
  const items = Array.from({ length: 1000 }, (_, index) => ({
    firstName: `N${index}`,
    source: index % 2 ? "odd" : "even",
  }));
  await node.call("leads.bulkCreate", { items }, org.as("admin"));
  await node.call(
    "leads.create",
    {
      firstName: "=1+1",
      lastName: 'a "quoted", name',
      phone: "+14155550100",
      tags: ["x"],
      customFields: { k: "-v" },
    },
    org.as("admin"),
  );
});

const open = (params: Record<string, unknown>, meta: Meta = org.as("admin")): Promise<Readable> =>
  node.call("leads.export", params, meta) as Promise<Readable>;

test("CSV has every lead once, with formulas disarmed and the rest as JSON", async () => {
  const rows = parse<Record<string, string>>(await text(await open({})), { columns: true });
  expect(rows).toHaveLength(1001);
  expect(new Set(rows.map(({ id }) => id)).size).toBe(1001);
  expect(rows[0]).toMatchObject({
    firstName: "'=1+1",
    lastName: 'a "quoted", name',
    phone: "+14155550100",
    tags: '["x"]',
    customFields: '{"k":"-v"}',
    score: "15",
    version: "1",
  });
});

test("takes filters, order and fields like the list", async () => {
  const csv = await text(
    await open({ filter: { source: "odd" }, sort: "createdAt", fields: "firstName,source" }),
  );
  const rows = parse<Record<string, string>>(csv, { columns: true });
  expect(rows).toHaveLength(500);
  expect(rows[0]).toEqual({ firstName: expect.stringMatching(/^N\d+$/), source: "odd" });
});

test("takes a view like the list: its condition, its order and its columns", async () => {
  const view = {
    ...{ kind: "lead", name: "Even ones", sort: "createdAt", columns: ["firstName"] },
    where: { field: "source", op: "eq" as const, value: "even" },
  };
  const { id } = (await node.call("views.create", view, org.as("admin"))) as { id: string };
  const rows = parse<Record<string, string>>(await text(await open({ view: id })), { columns: true });
  expect(rows).toHaveLength(500);
  expect(rows[0]).toEqual({ firstName: expect.stringMatching(/^N\d+$/) });
});

test("finds by q what the list does, with what has a wrong letter", async () => {
  const rows = parse<Record<string, string>>(await text(await open({ q: "quotad", fields: "lastName" })), {
    columns: true,
  });
  expect(rows).toEqual([{ lastName: 'a "quoted", name' }]);
});

test("XLSX has every lead once, with numbers and times as what they are", async () => {
  const stream = await open({ format: "xlsx", fields: "id,score,firstName,createdAt", sort: "-createdAt" });
  const [sheet, ...others] = await readWorkbook(stream);
  expect(others).toEqual([]);
  expect(sheet).toMatchObject({ name: "Leads" });
  expect(sheet?.rows).toHaveLength(1002);
  expect(sheet?.rows[0]).toEqual(["id", "score", "firstName", "createdAt"]);
  expect(sheet?.rows[1]).toEqual([expect.any(String), 15, "=1+1", expect.any(Date)]);
  expect(new Set(sheet?.rows.map(([id]) => id)).size).toBe(1002);
});

test("of an organization without leads has only the heading", async () => {
  const empty = await makeOrganization(node);
  expect(await text(await open({ fields: "email,phone" }, empty.as("admin")))).toBe("email,phone\n");
});

test("that nobody reads to its end lets go of the database", async () => {
  for (const format of ["csv", "xlsx"]) {
    const stream = await open({ format });
    stream.once("data", () => stream.destroy());
    await new Promise((done) => stream.once("close", done));
  }
  const { pool } = node.runtime.database.shardOf(org.id);
  await eventually(() => pool.totalCount === pool.idleCount);
});

test("needs the right to export", async () => {
  const reps = await makeOrganization(node, { rep: "sales_rep" });
  await expect(open({}, reps.as("rep"))).rejects.toMatchObject({ code: 403 });
});
