import { beforeAll, expect, test } from "@jest/globals";
import type { Meta } from "../../mixins/contract/meta.ts";
import { eventually } from "../support/eventually.ts";
import { exported } from "../support/files-of-kinds.ts";
import { buildMeta, ended, upload } from "../support/imports.ts";
import { Importing } from "../support/importing.ts";
import { makeOrganization } from "../support/leads.ts";
import { shareNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let on: Importing;
beforeAll(async () => {
  node = await shareNode();
  on = new Importing(node);
});

const call = <T = Record<string, unknown>>(name: string, params: object, meta: Meta): Promise<T> =>
  node.broker.call<T, object>(name, params, { meta: { ...meta } });
const bring = (file: string, params = {}, meta: Meta = buildMeta(), plural = "contacts") =>
  on.importFile(file, params, meta, plural);
const make = (plural: string, meta: Meta, input: object) =>
  call<{ id: string }>(`${plural}.create`, input, meta);
/** Names of the companies that contacts have, by last name. */
async function employers(meta: Meta): Promise<Record<string, unknown>> {
  const companies = new Map(
    (await on.recordsOf("companies", meta)).map(({ id, name, domain }) => [id, name ?? domain]),
  );
  return Object.fromEntries<unknown>(
    (await on.recordsOf("contacts", meta)).map(({ lastName, companyId }) => [
      String(lastName),
      companyId === null ? null : companies.get(companyId as string),
    ]),
  );
}
async function rollBack(meta: Meta, id: string): Promise<void> {
  await call("imports.rollback", { id }, meta);
  await eventually(async () => {
    const { status } = await call<{ status: string }>("imports.get", { id }, meta);
    return status === "rolled_back" || null;
  });
}

test("a file of contacts makes the companies that it names, each once, and finds those that there are", async () => {
  const meta = buildMeta();
  await make("companies", meta, { name: "Known by name" });
  await make("companies", meta, { domain: "known.example" });
  await make("companies", meta, { externalId: "c7", name: "Known by id" });
  const { view } = await bring(
    [
      "Last Name,Company,Company Domain,Company ID",
      "A,New Textiles,,",
      "B,New Textiles,new.example,",
      "C,,NEW.example,",
      "D,Known by name,,",
      "E,,known.example,",
      "F,,,c7",
      "G,,,",
    ].join("\n"),
    {},
    meta,
  );
  expect(view).toMatchObject({ created: 7, failed: 0, associated: { company: 1 } });
  expect(view.mapping).toMatchObject({
    Company: "company.name",
    "Company Domain": "company.domain",
    "Company ID": "company.externalId",
  });
  expect(await employers(meta)).toEqual({
    ...{ A: "New Textiles", B: "New Textiles", C: "New Textiles", D: "Known by name" },
    ...{ E: "known.example", F: "Known by id", G: null },
  });
  const types = (await on.rowsOf<{ type: string }>(meta, "events")).map(({ type }) => type);
  expect(types.filter((type) => type === "company.created")).toHaveLength(4);
});

test("companies of one name whom their domains tell apart are two", async () => {
  const { meta, view } = await bring(
    "Last Name,Company,Company Domain\nA,Acme,acme.example\nB,Acme,acme.test\nC,Acme,acme.test\n",
  );
  expect(view.associated).toEqual({ company: 2 });
  const contacts = await on.recordsOf("contacts", meta);
  expect(new Set(contacts.map(({ companyId }) => companyId)).size).toBe(2);
});

test("rows that are refused or skipped, and a dry run, make no company", async () => {
  const meta = buildMeta();
  await make("contacts", meta, { externalId: "1", lastName: "There" });
  const file = "Contact ID,Last Name,Company\n1,There,Skipped\n5.1E+10,Cut,Refused\n2,New,Made\n";
  const dry = await bring(file, { dryRun: true }, meta);
  expect(dry.view).toMatchObject({ created: 1, skipped: 1, failed: 1, associated: { company: 1 } });
  expect(await on.recordsOf("companies", meta)).toEqual([]);
  const { view } = await bring(file, {}, meta);
  expect(view).toMatchObject({ created: 1, skipped: 1, failed: 1, associated: { company: 1 } });
  expect(await on.recordsOf("companies", meta)).toMatchObject([{ name: "Made" }]);
});

test("files of contacts and of companies that come at once make each company once", async () => {
  const meta = buildMeta();
  const rows = Array.from({ length: 1200 }, (_, index) => index);
  const contacts = `Last Name,Company Domain\n${rows.map((n) => `L${n},d${n % 60}.example`).join("\n")}\n`;
  const companies = `Name,Domain\n${rows
    .slice(0, 60)
    .map((n) => `N${n},d${n}.example`)
    .join("\n")}\n`;
  const uploads = await Promise.all([
    upload(node, meta, contacts, {}, "contacts"),
    upload(node, meta, companies, {}, "companies"),
    upload(node, meta, contacts, { onDuplicate: "create" }, "contacts"),
  ]);
  const views = await Promise.all(uploads.map(({ id }) => ended(node, meta, id, 60_000)));
  expect(views.map(({ failed, status }) => [failed, status])).toEqual(views.map(() => [0, "completed"]));
  expect(await on.rowsOf(meta, "companies")).toHaveLength(60);
});

test("a rollback takes the companies back that the import made, but those that others use", async () => {
  const meta = buildMeta();
  const { id } = await bring("Last Name,Company\nA,Only here\nB,Used\nC,Worked on\n", {}, meta);
  const companies = await on.recordsOf("companies", meta);
  const idOf = (name: string) => companies.find((one) => one.name === name)?.id;
  await make("contacts", meta, { lastName: "Other", companyId: idOf("Used") });
  await call("companies.update", { id: idOf("Worked on"), industry: "Textiles" }, meta);
  await rollBack(meta, id);
  expect((await on.recordsOf("contacts", meta)).map(({ lastName }) => lastName)).toEqual(["Other"]);
  expect((await on.recordsOf("companies", meta)).map(({ name }) => name).sort()).toEqual([
    "Used",
    "Worked on",
  ]);
  const told = await on.rowsOf<{ type: string; data: { kept: number } }>(meta, "events");
  expect(told.find(({ type }) => type === "import.rolled_back")?.data.kept).toBe(2);
});

test("a company may be named by its id; one that is not there is left out, and told", async () => {
  const meta = buildMeta();
  const { id } = await make("companies", meta, { name: "Here" });
  const gone = "01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f";
  const { id: importId, view } = await bring(
    `Last Name,Employer\nA,${id}\nB,${gone}\nC,nobody\n`,
    { mapping: { Employer: "companyId" } },
    meta,
  );
  expect(view).toMatchObject({ created: 3, associated: {} });
  expect(await employers(meta)).toEqual({ A: "Here", B: null, C: null });
  expect(await on.reasonsOf(meta, importId)).toEqual([
    "2 imported without companyId: is not a company",
    '3 imported without companyId: "nobody" is no id',
  ]);
});

test("contacts that are exported find their companies elsewhere", async () => {
  const from = (await makeOrganization(node)).as("admin");
  await bring("Last Name,Company,Company Domain\nA,Acme,acme.example\nB,=Sum,\nC,,\n", {}, from);
  const { meta, view } = await bring(await exported(node, { plural: "contacts" }, from));
  expect(view).toMatchObject({ created: 3, associated: { company: 2 } });
  expect(await employers(meta)).toEqual({ A: "Acme", B: "=Sum", C: null });
});

test("a part of an address leaves its other parts as they are", async () => {
  const meta = buildMeta();
  await make("companies", meta, { domain: "a.example", address: { street: "MG Road 1", city: "Pune" } });
  const { view } = await bring(
    'Domain,City,Number of employees,Revenue\na.example,Mumbai,"1,200",INR 5000\n',
    { onDuplicate: "update" },
    meta,
    "companies",
  );
  expect(view).toMatchObject({ updated: 1 });
  expect(await on.recordsOf("companies", meta)).toMatchObject([
    {
      address: { street: "MG Road 1", city: "Mumbai" },
      ...{ employees: 1200, annualRevenue: { amount: "5000.00", currency: "INR" } },
    },
  ]);
});
