import { beforeAll, expect, test } from "@jest/globals";
import type { Meta } from "../../mixins/contract/meta.ts";
import { kinds } from "../../entities/kinds.ts";
import type { AnyKind } from "../../mixins/records/kind/kind.ts";
import { eventually } from "../support/eventually.ts";
import { exported } from "../support/files-of-kinds.ts";
import { Importing, countsOf } from "../support/importing.ts";
import { makeOrganization } from "../support/leads.ts";
import { shareNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let on: Importing;
beforeAll(async () => {
  node = await shareNode();
  on = new Importing(node);
});

type Row = Record<string, unknown> & { id: string };
const call = <T>(name: string, params: object, meta: Meta): Promise<T> =>
  node.broker.call<T, object>(name, params, { meta: { ...meta } });
const make = (plural: string, meta: Meta, params: object) => call<Row>(`${plural}.create`, params, meta);
const byExternalId = async (meta: Meta) =>
  new Map((await on.recordsOf("deals", meta)).map((row) => [row.externalId, row as Row]));

test("a file of deals names stage, pipeline, owner, company and contact as people do, and says how they ended", async () => {
  const meta = (await makeOrganization(node)).as("admin");
  const pipeline = await make("pipelines", meta, {
    name: "Renewals",
    stages: [
      { name: "Talks" },
      { name: "Signed", kind: "won", requiredFields: ["amount"] },
      { name: "Gone", kind: "lost" },
    ],
  });
  const company = await make("companies", meta, { name: "Rao Textiles" });
  const file = `Deal Id,Opportunity,Pipeline,Deal Stage,Amount,Close Date,Lost Reason,Company Name,Contact Email,Status
1,Looms,renewals,SIGNED,1200.50,2017-03-01,,Rao Textiles,asha@rao.example,
2,Thread,Renewals,Gone,5 USD,2017-03-02 10:30,Too dear,New Mills,asha@rao.example,lost
3,Needles,Renewals,,,,,,,
4,Won somehow,Renewals,,7,2018-01-01,,,,won
5,Nowhere,Renewals,Elsewhere,,,,,,
6,Unpaid,Renewals,Signed,,2017-03-01,,,,
7,Open,Renewals,Talks,,2017-03-01,,,,
8,Both,Renewals,Talks,,,,,,won
9,Other,Nonsense,Talks,,,,,,
`;
  const { id, view } = await on.importFile(file, { mapping: { "Deal Id": "externalId" } }, meta, "deals");
  expect(countsOf(view)).toMatchObject({ created: 4, failed: 5 });
  expect(view).toMatchObject({ associated: { company: 1, contact: 1 } });
  const reasons = await on.reasonsOf(meta, id);
  expect(reasons).toEqual([
    expect.stringMatching(/^5 stageId: "Elsewhere" is none of Talks, Signed, Gone/),
    expect.stringMatching(/^6 amount: is needed to enter the stage Signed/),
    expect.stringMatching(/^7 closedAt: is of deals that are won or lost/),
    expect.stringMatching(/^8 status: says won, and the stage Talks says open/),
    expect.stringMatching(/^9 pipelineId: "Nonsense" is none of .*Renewals/),
  ]);
  const rows = await byExternalId(meta);
  const stages = pipeline.stages as { id: string }[];
  expect(rows.get("1")).toMatchObject({
    ...{ name: "Looms", pipelineId: pipeline.id, stageId: stages[1]?.id, status: "won" },
    ...{ amount: { amount: "1200.50", currency: "INR" }, closedAt: "2017-03-01T00:00:00.000Z" },
    companyId: company.id,
  });
  expect(rows.get("2")).toMatchObject({
    ...{ status: "lost", lostReason: "Too dear", closedAt: "2017-03-02T10:30:00.000Z" },
    ...{ amount: { amount: "5.00", currency: "USD" }, contactId: rows.get("1")?.contactId },
  });
  expect(rows.get("3")).toMatchObject({ status: "open", stageId: stages[0]?.id, closedAt: null });
  expect(rows.get("4")).toMatchObject({ status: "won", stageId: stages[1]?.id });
});

test("what an export of deals wrote comes back as it was, line items, stages and ends too; a rollback takes it away again", async () => {
  const meta = (await makeOrganization(node)).as("admin");
  const [pipeline] = (await call<{ data: Row[] }>("pipelines.list", {}, meta)).data;
  const stages = pipeline?.stages as { id: string; name: string }[];
  const stageId = stages.find(({ name }) => name === "Lost")?.id;
  const product = await make("products", meta, {
    name: "Loom",
    unitPrice: { amount: "2.00", currency: "INR" },
  });
  const contact = await make("contacts", meta, { firstName: "Asha" });
  await make("deals", meta, {
    ...{ externalId: "a", name: "A", stageId, lostReason: "Late", closedAt: "2020-01-01T00:00:00.000Z" },
    lineItems: [{ productId: product.id, quantity: 1.5, discount: 10 }],
    contacts: [{ contactId: contact.id, role: "decides" }],
  });
  await make("deals", meta, { externalId: "b", name: "B", stageId: stages[1]?.id });
  const file = await exported(node, kinds.get("deal") as AnyKind, meta);
  const before = await byExternalId(meta);
  for (const { id } of before.values()) await call("deals.remove", { id }, meta);
  const { id, view } = await on.importFile(file, {}, meta, "deals");
  expect({ ...countsOf(view), reasons: await on.reasonsOf(meta, id) }).toMatchObject({
    created: 2,
    reasons: [],
  });
  const after = await byExternalId(meta);
  const said = (rows: typeof before, key: string) => {
    const {
      id: _id,
      createdAt: _c,
      updatedAt: _u,
      stageEnteredAt: _s,
      position: _p,
      ...rest
    } = rows.get(key) as Row;
    return rest;
  };
  for (const key of ["a", "b"]) expect(said(after, key)).toEqual(said(before, key));
  // a file that changes one, and is turned back
  const place = after.get("b")?.position;
  const changed = await on.importFile(
    "External Id,Stage\nb,Negotiation\n",
    { onDuplicate: "update" },
    meta,
    "deals",
  );
  expect(changed.view).toMatchObject({ updated: 1 });
  await call("imports.rollback", { id: changed.id }, meta);
  await eventually(async () => (await byExternalId(meta)).get("b")?.stageId === stages[1]?.id);
  expect((await byExternalId(meta)).get("b")).toMatchObject({ position: place });
  await call("imports.rollback", { id }, meta);
  await eventually(async () => {
    // the one that was worked on since stays
    const rows = await on.recordsOf("deals", meta);
    return rows.length === 1 && rows[0]?.externalId === "b";
  });
});

test("a row that names a product has its name and price, and one that does not fit is refused by itself", async () => {
  const meta = (await makeOrganization(node)).as("admin");
  const product = await make("products", meta, {
    name: "Loom",
    unitPrice: { amount: "2.00", currency: "INR" },
  });
  const items = (list: object[]) => `"${JSON.stringify(list).replaceAll('"', '""')}"`;
  const file = `External Id,Name,Items,Amount
1,A,${items([{ productId: product.id, quantity: 3 }])},
2,B,${items([{ name: "x" }])},
3,C,${items([{ productId: product.id }])},5 INR
`;
  const { id, view } = await on.importFile(file, { mapping: { Items: "lineItems" } }, meta, "deals");
  expect(countsOf(view)).toMatchObject({ created: 1, failed: 2 });
  expect(await on.reasonsOf(meta, id)).toEqual([
    expect.stringMatching(/^2 lineItems\.0\.unitPrice: must be given/),
    expect.stringMatching(/^3 amount: must be the sum of the line items/),
  ]);
  expect(await on.recordsOf("deals", meta)).toMatchObject([
    { amount: { amount: "6.00" }, lineItems: [{ name: "Loom", quantity: 3 }] },
  ]);
});
