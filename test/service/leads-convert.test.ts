import { beforeAll, describe, expect, test } from "@jest/globals";
import { v7 as uuidv7 } from "uuid";
import { inspect } from "../support/database.ts";
import { makeOrganization, shardUrl, type TestOrganization } from "../support/leads.ts";
import { shareNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let org: TestOrganization<"rep">;
beforeAll(async () => {
  node = await shareNode();
  org = await makeOrganization(node, { rep: "sales_rep" });
});

const create = (input: Record<string, unknown>) => node.call("leads.create", input, org.as("admin"));
const convert = (id: string, params: Record<string, unknown> = {}) =>
  node.call("leads.convert", { id, ...params }, org.as("admin"));
const count = async (table: string) =>
  (
    await inspect<{ count: number }>(
      shardUrl(node, org.id),
      `SELECT count(*)::int FROM ${table} WHERE organization_id = $1`,
      [org.id],
    )
  )[0]?.count as number;

test("keeps a price with the digits of its currency, to the last of the largest", async () => {
  const url = shardUrl(node, org.id);
  for (const [amount, currency, kept] of [
    ["12.345", "KWD", "12.345"],
    ["999999999999999.999", "KWD", "999999999999999.999"],
    ["0.0001", "CLF", "0.0001"],
    ["1500", "JPY", "1500"],
    ["5", "INR", "5.00"],
  ] as const) {
    const lead = await create({ firstName: "Price" });
    const { deal } = await convert(lead.id, { createDeal: true, amount: { amount, currency } });
    expect(deal?.amount).toEqual({ amount: kept, currency });
    expect(
      await inspect(url, "SELECT amount, amount_currency AS currency FROM deals WHERE id = $1", [deal?.id]),
    ).toEqual([{ amount: kept.replace(".", "").replace(/^0+/, ""), currency }]);
  }
});

test.each([
  ["-5", "INR", "amount.amount", /0 or more/],
  ["5", "ZZZ", "amount.currency", /ISO 4217/],
  ["1.234", "INR", "amount.amount", /INR has 2 digits/],
])("refuses a price of %s %s and says what is allowed", async (amount, currency, path, message) => {
  const lead = await create({ firstName: "Price" });
  await expect(convert(lead.id, { createDeal: true, amount: { amount, currency } })).rejects.toMatchObject({
    code: 422,
    data: { errors: [{ path, message: expect.stringMatching(message) }] },
  });
});

test("makes a contact, a company and a deal of a lead, with their events", async () => {
  const lead = await create({
    firstName: "Ada",
    lastName: "Lovelace",
    email: "ada@engine.example",
    phone: "+442079460958",
    companyName: "Engines Ltd",
    assignedTo: org.userId("rep"),
    tags: ["math"],
  });
  const { contact, company, deal } = await convert(lead.id, {
    createDeal: true,
    amount: { amount: "1234.50", currency: "INR" },
  });
  expect(contact).toMatchObject({
    firstName: "Ada",
    email: "ada@engine.example",
    lifecycleStage: "opportunity",
    companyId: company?.id,
    leadId: lead.id,
    assignedTo: org.userId("rep"),
    version: 1,
  });
  expect(company).toMatchObject({ name: "Engines Ltd", version: 1 });
  expect(deal).toMatchObject({
    name: "Engines Ltd",
    amount: { amount: "1234.50", currency: "INR" },
    ownerId: org.userId("rep"),
    contactId: contact.id,
    companyId: company?.id,
    status: "open",
  });
  const [pipeline] = await inspect<{ id: string; stages: { id: string; name: string }[] }>(
    shardUrl(node, org.id),
    "SELECT id, stages FROM pipelines WHERE organization_id = $1 AND is_default",
    [org.id],
  );
  expect(pipeline?.stages.map(({ name }) => name)).toEqual([
    "Qualification",
    "Proposal",
    "Negotiation",
    "Won",
    "Lost",
  ]);
  expect(deal).toMatchObject({ pipelineId: pipeline?.id, stageId: pipeline?.stages[0]?.id });
  const after = await node.call("leads.get", { id: lead.id }, org.as("admin"));
  expect(after).toMatchObject({ status: "converted", version: 2, convertedAt: expect.any(String) });
  const events = await inspect<{ type: string }>(
    shardUrl(node, org.id),
    "SELECT type FROM events WHERE entity_id = ANY ($1) ORDER BY position",
    [[lead.id, contact.id, company?.id, deal?.id]],
  );
  expect(events.map(({ type }) => type)).toEqual([
    ...["lead.created", "company.created", "contact.created", "deal.created", "lead.converted"],
  ]);
});

test("links the contact that has the lead's email, and moves it only forward", async () => {
  const first = await convert((await create({ email: "same@x.example" })).id, { createDeal: true });
  const second = await convert((await create({ email: "same@x.example", companyName: "X Inc" })).id);
  expect(second.contact).toMatchObject({
    id: first.contact.id,
    lifecycleStage: "opportunity",
    companyId: second.company?.id,
    leadId: first.contact.leadId,
    version: 2,
  });
});

test("finds a company by its name in any case", async () => {
  const first = await convert((await create({ firstName: "1", companyName: "Case Co" })).id);
  const second = await convert((await create({ firstName: "2", companyName: "CASE CO" })).id);
  expect(second.company).toEqual(first.company);
});

test("of two at once one converts the lead and the other is told so", async () => {
  const lead = await create({ email: "race@x.example", companyName: "Race Co" });
  const before = {
    contacts: await count("contacts"),
    companies: await count("companies"),
    deals: await count("deals"),
  };
  const outcomes = await Promise.allSettled([1, 2, 3].map(() => convert(lead.id, { createDeal: true })));
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  for (const outcome of outcomes)
    if (outcome.status === "rejected")
      expect(outcome.reason).toMatchObject({ code: 409, type: "LEAD_ALREADY_CONVERTED" });
  expect({
    contacts: await count("contacts"),
    companies: await count("companies"),
    deals: await count("deals"),
  }).toEqual({ contacts: before.contacts + 1, companies: before.companies + 1, deals: before.deals + 1 });
});

test("leads of one company and one person converted at once make one of each, and one default pipeline", async () => {
  const own = await makeOrganization(node);
  const leads = await Promise.all(
    Array.from({ length: 8 }, () =>
      node.call("leads.create", { email: "crowd@x.example", companyName: "Crowd" }, own.as("admin")),
    ),
  );
  const answers = await Promise.all(
    leads.map(({ id }) => node.call("leads.convert", { id, createDeal: true }, own.as("admin"))),
  );
  expect(new Set(answers.map(({ contact }) => contact.id)).size).toBe(1);
  expect(new Set(answers.map(({ company }) => company?.id)).size).toBe(1);
  expect(new Set(answers.map(({ deal }) => deal?.pipelineId)).size).toBe(1);
  expect(new Set(answers.map(({ deal }) => deal?.id)).size).toBe(8);
});

test("names a pipeline that does not exist, and leaves nothing behind", async () => {
  const lead = await create({ email: "pipe@x.example", companyName: "Pipe Co" });
  const companies = await count("companies");
  await expect(convert(lead.id, { createDeal: true, pipelineId: uuidv7() })).rejects.toMatchObject({
    code: 422,
    data: { errors: [{ path: "pipelineId" }] },
  });
  expect(await count("companies")).toBe(companies);
  expect((await node.call("leads.get", { id: lead.id }, org.as("admin"))).status).toBe("new");
});

test("a converted lead keeps its status", async () => {
  const lead = await create({ email: "done@x.example" });
  await convert(lead.id);
  await expect(
    node.call("leads.update", { id: lead.id, status: "new" }, org.as("admin")),
  ).rejects.toMatchObject({ code: 409, type: "LEAD_ALREADY_CONVERTED" });
  expect(await node.call("leads.update", { id: lead.id, tags: ["won"] }, org.as("admin"))).toMatchObject({
    status: "converted",
    tags: ["won"],
  });
});

test("takes along who is named in custom fields, where contacts have such a field", async () => {
  for (const kind of ["lead", "contact"] as const)
    await node.call(
      "custom-fields.create",
      { kind, key: "advisor", label: "Advisor", type: "user" } as never,
      org.as("admin"),
    );
  const advisor = org.userId("rep");
  const lead = await create({ firstName: "Asha", customFields: { advisor } });
  const { contact } = await convert(lead.id);
  expect(contact.customFields).toEqual({ advisor });
});

describe("a lead whose person is a contact already", () => {
  const known = async (email: string, input: Record<string, unknown>) =>
    node.call("contacts.create", { email, firstName: "Asha", ...input }, org.as("admin"));

  test("finds the contact by any of its emails, and by the phone that it alone has for WhatsApp", async () => {
    const [email, other] = ["first@one.example", "second@one.example"];
    const contact = await known(email, { identities: [{ kind: "email", value: other }] });
    const byOther = await convert((await create({ firstName: "Asha", email: other })).id);
    expect(byOther.contact).toMatchObject({ id: contact.id, email });
    const identities = [{ kind: "wa_id", value: "919812312312" }];
    const onPhone = await node.call("contacts.create", { identities }, org.as("admin"));
    const lead = { firstName: "Asha", phone: "+919812312312" };
    expect((await convert((await create(lead)).id)).contact.id).toBe(onPhone.id);
    // a weaker key never matches against a stronger one
    await node.call("contacts.update", { id: onPhone.id, email: "own@one.example" }, org.as("admin"));
    const another = await create({ ...lead, email: "another@one.example" });
    expect((await convert(another.id)).contact.id).not.toBe(onPhone.id);
  });

  test("gives the contact what that lacks, and a withdrawn consent of either stays withdrawn", async () => {
    const email = "known@x.example";
    const contact = await known(email, {
      tags: ["vip"],
      customFields: { city: "Pune" },
      consent: { email: true, post: false },
    });
    const lead = await create({
      ...{ email, firstName: "A.", lastName: "Rao", phone: "+919876543210", tags: ["fair", "vip"] },
      customFields: { city: "Delhi", size: "L" },
      consent: { email: false, sms: false, post: true },
    });
    const { contact: after } = await convert(lead.id);
    expect(after).toMatchObject({
      ...{ id: contact.id, version: 2, firstName: "Asha", lastName: "Rao", phone: "+919876543210" },
      ...{ leadId: lead.id, tags: ["vip", "fair"], customFields: { city: "Pune", size: "L" } },
      consent: { email: false, sms: false, post: false },
    });
    const [event] = await inspect<{ data: { record: unknown; changes: unknown } }>(
      shardUrl(node, org.id),
      "SELECT data FROM events WHERE entity_id = $1 AND type = 'contact.updated'",
      [contact.id],
    );
    expect(event?.data.record).toEqual(after);
    expect(event?.data.changes).toMatchObject({
      lastName: [null, "Rao"],
      phone: [null, "+919876543210"],
      tags: [["vip"], ["vip", "fair"]],
      "customFields.size": [null, "L"],
      "consent.email": [true, false],
      "consent.sms": [null, false],
    });
  });

  test("stays a lead where both together are larger than a record may be", async () => {
    const email = "large@x.example";
    const tags = (of: string) => Array.from({ length: 30 }, (_, at) => `${of}-${at}`);
    const contact = await known(email, { tags: tags("one") });
    const lead = await create({ email, tags: tags("other") });
    await expect(convert(lead.id)).rejects.toMatchObject({ code: 422 });
    expect(await node.call("leads.get", { id: lead.id }, org.as("admin"))).toMatchObject({ status: "new" });
    expect(await node.call("contacts.get", { id: contact.id }, org.as("admin"))).toMatchObject({
      version: 1,
    });
  });
});
