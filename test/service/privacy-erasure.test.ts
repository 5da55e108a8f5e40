import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { Meta } from "../../mixins/contract/meta.ts";
import { inspect } from "../support/database.ts";
import { ended, rejectedRows, upload } from "../support/imports.ts";
import { makeOrganization, shardUrl } from "../support/leads.ts";
import { eventually } from "../support/eventually.ts";
import { startTestNode, type TestNode } from "../support/node.ts";
import { completed, countsOf, erase, findTraces } from "../support/privacy.ts";

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode({ SERVICES: "core" });
});
afterAll(() => node.stop());

const zebulon = {
  firstName: "Zebulon",
  lastName: "Quackenbush",
  email: "zebulon.quackenbush@example.org",
  phone: "+919812345670",
  title: "Keeper of zebulons",
  companyName: "Acme",
  customFields: { note: "Zebulon likes tea" },
};
const traces = ["zebulon", "quackenbush", "9812345670"];

/** Everything the product can come to hold of somebody. */
async function leaveTraces(meta: Meta): Promise<{ leadId: string; dealId: string; importId: string }> {
  const idempotency = { key: `key-${Math.random()}`, fingerprint: "f" };
  const lead = await node.call("leads.create", zebulon, { ...meta, idempotency });
  const remindAt = new Date(Date.now() + 3_600_000).toISOString();
  await node.call("leads.createReminder", { id: lead.id, remindAt, note: "Call Zebulon" }, { ...meta });
  await node.call("leads.update", { id: lead.id, title: "Zebulon in chief", companyName: null }, { ...meta });
  const { deal } = await node.call(
    "leads.convert",
    { id: lead.id, createDeal: true, amount: { amount: "1200.00", currency: "EUR" } },
    { ...meta },
  );
  await node.call("deals.update", { id: deal?.id ?? "", name: "Zebulon's own" }, { ...meta });
  const csv =
    `email,phone,firstName,lastName\n${zebulon.email},${zebulon.phone},Zeb,Quackenbush\nnot-an-email,,Zebulon,Quackenbush,too many\n`
    + `${zebulon.email.toUpperCase()},98123 45670 99999 1,Zebulon,Q\nother@example.org,,Other,Person\n`;
  const { id: importId } = await upload(node, meta, csv, { onDuplicate: "create" });
  await ended(node, meta, importId);
  return { leadId: lead.id, dealId: deal?.id ?? "", importId };
}

describe("an erasure by email", () => {
  let meta: Meta;
  let url: string;
  let left: Awaited<ReturnType<typeof leaveTraces>>;
  let request: Awaited<ReturnType<typeof erase>>;
  let heads: number;
  beforeAll(async () => {
    const organization = await makeOrganization(node);
    meta = organization.as("admin");
    url = shardUrl(node, organization.id);
    left = await leaveTraces(meta);
    heads = (await node.call("events.list", { limit: 1000 }, { ...meta })).head;
    // the search sees what is there
    expect(await findTraces(node.databases, traces)).toEqual(
      expect.arrayContaining([
        "contacts",
        "deals",
        "idempotency_keys",
        "import_errors",
        "lead_reminders",
        "leads",
      ]),
    );
    request = await erase(node, meta, { email: zebulon.email });
  });

  test("leaves no trace of email, phone or name in any column of any table", async () => {
    expect(await findTraces(node.databases, traces)).toEqual([]);
  });

  test("has a receipt of what was erased where, when and by whom", () => {
    expect(request).toMatchObject({
      kind: "erasure",
      status: "completed",
      requestedBy: meta.userId,
      reason: "Asked for",
      finishedAt: expect.any(String) as unknown,
    });
    expect(countsOf(request)).toMatchObject({
      "leads.leads": 3,
      "contacts.contacts": 1,
      "deals.deals": 1,
      "imports.rejected-rows": 2,
      "events.answers": 1,
    });
    expect(countsOf(request)["events.events"]).toBeGreaterThan(6);
  });

  test("leaves the amount of the person's deal", async () => {
    const [deal] = await inspect(url, "SELECT amount, amount_currency, status FROM deals WHERE id = $1", [
      left.dealId,
    ]);
    expect(deal).toEqual({ amount: "120000", amount_currency: "EUR", status: "open" });
  });

  test("leaves the history of the deal, with pairs that say nothing", async () => {
    const { data } = await node.call("deals.history", { id: left.dealId, limit: 50 }, { ...meta });
    expect(data.some(({ changes }) => "name" in changes)).toBe(true);
    for (const { changes } of data) for (const pair of Object.values(changes)) expect(pair).toHaveLength(2);
  });

  test("leaves nothing to be restored", async () => {
    await expect(node.call("leads.restore", { id: left.leadId }, { ...meta })).rejects.toMatchObject({
      code: 422,
      data: { errors: [{ code: "unidentified" }] },
    });
  });

  test("leaves tombstones in the feed, in their places", async () => {
    const { data } = await eventually(async () => {
      const page = await node.call("events.list", { limit: 1000 }, { ...meta });
      return page.data.some(({ type }) => type === "person.erased") && page;
    });
    expect(data.slice(0, heads).map(({ seq }) => seq)).toEqual(
      Array.from({ length: heads }, (_, at) => at + 1),
    );
    expect(data.find(({ type }) => type === "lead.created")?.data).toMatchObject({
      erased: true,
      record: { id: left.leadId, email: null, firstName: null, customFields: {}, source: null },
    });
    expect(data.filter(({ type }) => type === "person.erased")).toMatchObject([
      {
        entity: { id: request.id },
        data: { subjects: expect.arrayContaining([{ kind: "lead", id: left.leadId }]) as unknown },
      },
    ]);
  });

  test("is told in the audit log without whom it was about", async () => {
    const entries = await eventually(async () => {
      const { data } = await node.call("identity.listAuditLog", {}, { ...meta });
      return data.some(({ type }) => type === "privacy.person_erased") && data;
    });
    expect(entries.filter(({ subjectId }) => subjectId === request.id).map(({ type }) => type)).toEqual([
      "privacy.person_erased",
      "privacy.erasure_requested",
    ]);
  });

  test("keeps a later import of the same person out, and its row too", async () => {
    const csv = `email,firstName\n${zebulon.email},Zebulon\nother2@example.org,Other\n`;
    const { id } = await upload(node, meta, csv);
    expect(await ended(node, meta, id)).toMatchObject({ created: 1, failed: 1 });
    const rows = await rejectedRows(node, meta, id);
    expect(rows).toContain("erased_person");
    expect(rows.toLowerCase()).not.toContain("zebulon");
    expect(await findTraces(node.databases, traces)).toEqual([]);
  });
});

test("what contacts are known by besides is erased, and what companies keep of a person", async () => {
  const organization = await makeOrganization(node);
  const meta = organization.as("admin");
  for (const field of [{ key: "owner" }, { key: "mail", type: "email", isSensitive: true }])
    await node.call(
      "custom-fields.create",
      { kind: "company", label: field.key, type: "text", ...field } as never,
      { ...meta },
    );
  const [email, second] = ["yolanda@first.example", "yolanda@second.example"];
  const company = await node.call(
    "companies.create",
    {
      ...{ name: "Corner shop", phone: "+919812399990", tags: ["asked by yolanda@first.example", "shop"] },
      customFields: { owner: "Yolanda Quux", mail: second, size: "L" },
    },
    { ...meta },
  );
  const other = await node.call("companies.create", { name: "Other", tags: ["shop"] }, { ...meta });
  const role = "Yolanda's own";
  const contact = await node.call(
    "contacts.create",
    {
      ...{ firstName: "Yolanda", lastName: "Quux", email, companies: [{ companyId: company.id, role }] },
      identities: [
        { kind: "email", value: second },
        { kind: "wa_id", value: "919812399990" },
      ],
    },
    { ...meta },
  );
  const gone = await node.call(
    "contacts.create",
    {
      firstName: "Deleted",
      identities: [
        { kind: "email", value: email },
        { kind: "email", value: second },
      ],
    },
    { ...meta },
  );
  await node.call("contacts.remove", { id: gone.id }, { ...meta });
  await node.call("companies.merge", { id: other.id, loserIds: [company.id] }, { ...meta });
  const request = await erase(node, meta, { email: second });
  expect(countsOf(request)).toMatchObject({ "contacts.contacts": 2, "companies.companies": 2 });
  const own = ["yolanda", "quux", "9812399990"];
  expect(await findTraces(node.databases, own)).toEqual([]);
  expect(await node.call("companies.get", { id: other.id }, { ...meta })).toMatchObject({
    ...{ name: "Other", phone: null, tags: ["shop"], customFields: { size: "L" } },
  });
  await expect(node.call("contacts.get", { id: contact.id }, { ...meta })).rejects.toMatchObject({
    code: 404,
  });
});

test("what deals say of a person is erased, of those too that are somebody else's; the deals stay", async () => {
  const meta = (await makeOrganization(node)).as("admin");
  for (const field of [{ key: "sponsor" }, { key: "spouse", type: "email", isSensitive: true }])
    await node.call(
      "custom-fields.create",
      { kind: "deal", label: field.key, type: "text", ...field } as never,
      { ...meta },
    );
  const call = <T extends { id: string }>(name: string, params: object) =>
    node.broker.call<T, object>(name, params, { meta: { ...meta } });
  const person = { firstName: "Xanthe", lastName: "Vroom", email: "xanthe@first.example" };
  const [contact, other] = [
    await call("contacts.create", person),
    await call("contacts.create", { firstName: "Ravi" }),
  ];
  const contacts = (...ids: string[]) => ids.map((contactId) => ({ contactId, role: "Xanthe's own" }));
  const theirs = await call<{ id: string }>("deals.create", {
    ...{
      name: "Xanthe's looms",
      contacts: contacts(contact.id),
      amount: { amount: "9.00", currency: "INR" },
    },
  });
  const [item] = [{ name: "For Xanthe Vroom", unitPrice: { amount: "5.00", currency: "INR" } }];
  const others = await call<{ id: string }>("deals.create", {
    ...{
      name: "Mill",
      contacts: [{ contactId: other.id, role: "buys" }, ...contacts(contact.id)],
      lineItems: [item],
    },
    ...{ tags: ["via xanthe@first.example", "mill"] },
    customFields: { sponsor: "Xanthe Vroom", spouse: person.email, note: "stays" },
  });
  const request = await erase(node, meta, { email: person.email });
  expect(countsOf(request)).toMatchObject({ "contacts.contacts": 1, "deals.deals": 2 });
  expect(await findTraces(node.databases, ["xanthe", "vroom"])).toEqual([]);
  expect(await call("deals.get", { id: theirs.id })).toMatchObject({
    ...{
      name: "Erased person",
      amount: { amount: "9.00" },
      contacts: [{ contactId: contact.id, role: null }],
    },
  });
  expect(await call("deals.get", { id: others.id })).toMatchObject({
    ...{ name: "Mill", tags: ["mill"], customFields: { note: "stays" }, amount: { amount: "5.00" } },
    contacts: [
      { contactId: other.id, role: "buys" },
      { contactId: contact.id, role: null },
    ],
  });
});

test("an erasure touches nobody else of the organization, and nobody of another", async () => {
  const [mine, theirs] = [await makeOrganization(node), await makeOrganization(node)];
  const meta = mine.as("admin");
  const office = { phone: "+4930123456", companyName: "Office" };
  await node.call("leads.create", { ...office, email: "one@example.net" }, meta);
  const colleague = await node.call(
    "leads.create",
    { ...office, email: "two@example.net" },
    mine.as("admin"),
  );
  const namesake = await node.call("leads.create", { email: "one@example.net" }, theirs.as("admin"));
  expect(countsOf(await erase(node, meta, { email: "ONE@example.net" }))["leads.leads"]).toBe(1);
  expect(await node.call("leads.get", { id: colleague.id }, mine.as("admin"))).toMatchObject({
    email: "two@example.net",
    phone: "+4930123456",
  });
  expect((await node.call("leads.get", { id: namesake.id }, theirs.as("admin"))).email).toBe(
    "one@example.net",
  );
});

test("an import with pools keeps an erased person out, and takes who shares the phone", async () => {
  const organization = await makeOrganization(node, { rep: "sales_rep" });
  const meta = () => organization.as("admin");
  const members = [{ userId: organization.userId("rep") }];
  await node.call("leads.createPool", { name: "P", strategy: "round_robin", members }, meta());
  await erase(node, meta(), { email: "gone@example.org" });
  const csv = "email,phone\ngone@example.org,+4930123456\nstays@example.org,+4930123456\n";
  const { id } = await upload(node, meta(), csv);
  expect(await ended(node, meta(), id)).toMatchObject({ created: 1, failed: 1, skipped: 0 });
});

test("refused rows of others stay, however alike", async () => {
  const organization = await makeOrganization(node);
  const meta = () => organization.as("admin");
  const csv =
    "email,externalId,firstName,lastName\nbob@example.org,1E+9,A,A\njakob@example.org,1E+9,B,B\n"
    + "bob@example.org.uk,1E+9,C,C\n,1E+9,Bobby,Builderson\n,1E+9,Bob,Builder\n";
  const { id } = await upload(node, meta(), csv);
  expect(await ended(node, meta(), id)).toMatchObject({ failed: 5 });
  await node.call(
    "leads.create",
    { email: "bob@example.org", firstName: "Bob", lastName: "Builder" },
    meta(),
  );
  expect(countsOf(await erase(node, meta(), { email: "bob@example.org" }))["imports.rejected-rows"]).toBe(2);
  const rows = await rejectedRows(node, meta(), id);
  expect(
    rows
      .trim()
      .split("\n")
      .map((line) => line.split(",")[0]),
  ).toEqual(["row", "2", "3", "4"]);
  // neither of these says who
  for (const phone of ["call me", "1"])
    expect(countsOf(await erase(node, meta(), { phone }))["imports.rejected-rows"]).toBeUndefined();
});

test("an erasure waits for the imports that were begun before it", async () => {
  const organization = await makeOrganization(node);
  const meta = () => organization.as("admin");
  const url = shardUrl(node, organization.id);
  const csv = "email,firstName,lastName\nnobody,Waits,Longer,too many\n";
  const { id: importId } = await upload(node, meta(), csv);
  await ended(node, meta(), importId);
  const lead = { email: "waits@example.org", firstName: "Waits", lastName: "Longer" };
  await node.call("leads.create", lead, meta());
  const setStatus = (status: string) =>
    inspect(url, "UPDATE imports SET status = $2 WHERE id = $1", [importId, status]);
  await setStatus("running");
  const request = await node.call("privacy.createErasure", { email: lead.email, reason: "Asked" }, meta());
  await eventually(async () => (await findTraces([url], ["waits@example.org"])).length === 0);
  expect((await node.call("privacy.getRequest", { id: request.id }, meta())).status).toBe("running");
  // the import refuses another row
  await inspect(
    url,
    `INSERT INTO import_errors (organization_id, import_id, row_number, reason, record)
      VALUES ($1, $2, 2, 'r', '{"name": "Longer, Waits"}')`,
    [organization.id, importId],
  );
  await setStatus("completed");
  expect(countsOf(await completed(node, meta(), request))["imports.rejected-rows"]).toBe(2);
  expect(await findTraces([url], ["Longer"])).toEqual([]);
});

test("a person is erased by a phone as people write it, and by a record", async () => {
  const organization = await makeOrganization(node);
  const meta = () => organization.as("admin");
  await node.call("leads.create", { phone: "+919800000001", firstName: "A" }, meta());
  expect(countsOf(await erase(node, meta(), { phone: "98000 00001" }))["leads.leads"]).toBe(1);
  const { id } = await node.call("leads.create", { firstName: "Only", lastName: "Name" }, meta());
  expect(countsOf(await erase(node, meta(), { subject: { kind: "lead", id } }))["leads.leads"]).toBe(1);
});

test("a record of another organization is none", async () => {
  const [mine, theirs] = [await makeOrganization(node), await makeOrganization(node)];
  const { id } = await node.call("leads.create", { email: "b@example.org" }, theirs.as("admin"));
  const subject = { kind: "lead" as const, id };
  const refused = expect.objectContaining({ code: 422, type: "VALIDATION_FAILED" }) as unknown;
  for (const action of ["privacy.createErasure", "privacy.createExport"] as const)
    await expect(
      node.call(
        action,
        (action === "privacy.createExport" ? { subject } : { subject, reason: "r" }) as never,
        mine.as("admin"),
      ),
    ).rejects.toEqual(refused);
  expect((await node.call("leads.get", { id }, theirs.as("admin"))).email).toBe("b@example.org");
});

test("an active user is kept and told so; a deactivated one loses name, email and sessions", async () => {
  const organization = await makeOrganization(node, { rep: "sales_rep" });
  const meta = () => organization.as("admin");
  const subject = { kind: "user" as const, id: organization.userId("rep") };
  const kept = await erase(node, meta(), { subject });
  expect(kept.receipt?.parts).toContainEqual({ part: "identity.users", count: 0, kept: 1 });
  await node.call("identity.updateUser", { id: subject.id, isActive: false }, meta());
  expect(countsOf(await erase(node, meta(), { subject }))).toMatchObject({ "identity.users": 1 });
  expect(await node.call("identity.getUser", { id: subject.id }, meta())).toMatchObject({
    name: "Erased user",
    email: `${subject.id}@erased.invalid`,
    isActive: false,
  });
});
