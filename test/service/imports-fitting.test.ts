import { beforeAll, describe, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { bodyOf, listOf, made, recordWorld, unique, type Body } from "../support/records.ts";

let admin: Client;
let stranger: Client;
beforeAll(async () => {
  ({ admin, stranger } = await recordWorld("Fitting"));
});

/** Imports rows of cells, and answers the view of the end and what the report says. */
async function imported(
  client: Client,
  plural: string,
  columns: Record<string, string>,
  rows: string[][],
  fields: Record<string, string> = {},
): Promise<{ view: Body; report: string }> {
  const cell = (text: string) => `"${text.replaceAll('"', '""')}"`;
  const lines = [Object.keys(columns), ...rows].map((cells) => cells.map(cell).join(","));
  const form = new FormData();
  for (const [name, value] of Object.entries({ mapping: JSON.stringify(columns), ...fields }))
    form.set(name, value);
  form.set("file", new Blob([`${lines.join("\n")}\n`]), "file.csv");
  const begun = await client.post(`/${plural}/import`, form);
  expect(begun).toMatchObject({ status: 202 });
  const { id } = bodyOf(begun);
  const view = await eventually(async () => {
    const now = bodyOf(await client.get(`/imports/${id}`));
    return ["completed", "failed"].includes(String(now.status)) && now;
  }, 30_000);
  return { view, report: String((await client.get(`/imports/${id}/errors`)).body) };
}
const byExternalId = async (plural: string, id: string) =>
  bodyOf(await admin.get(`/${plural}/by-external-id/${id}`));
const contactColumns = { E: "externalId", L: "lastName", C: "companies" };

describe("what a row refers to and is not there", () => {
  test("is left out of a list of parts, the primary one too, and the others stay", async () => {
    const own = await made(admin, "/companies", { name: "Own" });
    const gone = await made(admin, "/companies", { name: "Gone" });
    await admin.send("DELETE", `/companies/${gone.id}`);
    const theirs = await made(stranger, "/companies", { name: "Theirs" });
    const [beside, first, only, both] = [unique(), unique(), unique(), unique()];
    const part = ({ id }: Body, isPrimary: boolean) => ({ companyId: id, role: "r", isPrimary });
    const { view, report } = await imported(admin, "contacts", { ...contactColumns, P: "companyId" }, [
      [beside, "A", JSON.stringify([part(own, true), part(theirs, false)]), ""],
      [first, "B", JSON.stringify([part(theirs, true), part(gone, false), part(own, false)]), ""],
      [only, "C", JSON.stringify([part(theirs, true)]), ""],
      [both, "D", JSON.stringify([part(theirs, true)]), theirs.id],
    ]);
    expect(view).toMatchObject({ status: "completed", created: 4, failed: 0 });
    expect(report).toContain("imported without companies.1.companyId: is not a company");
    for (const id of [beside, first])
      expect(await byExternalId("contacts", id)).toMatchObject({
        companyId: own.id,
        companies: [{ companyId: own.id }],
      });
    for (const id of [only, both])
      expect(await byExternalId("contacts", id)).toMatchObject({ companyId: null, companies: [] });
    const found = await admin.get(`/contacts?filter[companies.companyId]=${theirs.id}`);
    expect(listOf(found)).toEqual([]);
  });

  test("is nothing at all for who sees only their own, and what they make is theirs", async () => {
    const permissions = [
      "imports:create",
      "imports:read",
      "contacts:create",
      "contacts:read",
      "leads:create",
      "leads:read",
    ];
    const { id: roleId } = await made(admin, "/roles", { name: unique(), permissions, sees: "own" });
    const rep = await admin.addUser(roleId);
    const company = await made(admin, "/companies", { name: "Hidden" });
    const hidden = await made(admin, "/contacts", { lastName: "Hidden" });
    await made(admin, "/custom-fields", {
      kind: "lead",
      key: "friend",
      type: "reference",
      references: "contact",
    });
    const form = new FormData();
    form.set("mapping", JSON.stringify(contactColumns));
    form.set("file", new Blob([`E,L,C\n1,A,[]\n`]), "file.csv");
    expect(await rep.post("/contacts/import", form)).toMatchObject({
      status: 422,
      body: { errors: [{ path: "mapping.C", code: "not_permitted" }] },
    });
    const columns = { E: "externalId", L: "lastName", F: "customFields.friend" };
    const external = unique();
    const { view, report } = await imported(rep, "leads", columns, [[external, "Mine", hidden.id]]);
    expect(view).toMatchObject({ created: 1 });
    expect(report).toContain("customFields.friend: only who sees all records");
    const lead = bodyOf(await rep.get(`/leads/by-external-id/${external}`));
    expect(lead).toMatchObject({ assignedTo: rep.userId, customFields: {} });
    expect(company.id).toBeTruthy();
  });
});

test("an external id of what was merged names the record that it is part of now; nobody takes it anew", async () => {
  for (const plural of ["contacts", "leads", "companies"]) {
    const main = plural === "companies" ? "name" : "lastName";
    const [kept, lost] = [unique(), unique()];
    const winner = await made(admin, `/${plural}`, { [main]: "Winner", externalId: kept });
    const loser = await made(admin, `/${plural}`, { [main]: "Loser", externalId: lost });
    expect(await admin.post(`/${plural}/${winner.id}/merge`, { loserIds: [loser.id] })).toMatchObject({
      status: 200,
    });
    const columns = { E: "externalId", N: main };
    const skipped = await imported(admin, plural, columns, [[lost, "Again"]]);
    expect(skipped.view).toMatchObject({ created: 0, skipped: 1 });
    const updated = await imported(admin, plural, columns, [[lost, "Changed"]], { onDuplicate: "update" });
    expect(updated.view).toMatchObject({ created: 0, updated: 1 });
    expect(bodyOf(await admin.get(`/${plural}/${winner.id}`))).toMatchObject({
      [main]: "Changed",
      externalId: kept,
    });
    expect(await admin.post(`/${plural}`, { [main]: "Anew", externalId: lost })).toMatchObject({
      status: 410,
      body: { code: "MERGED" },
    });
    const bulk = await admin.post(`/${plural}/bulk`, { items: [{ [main]: "Anew", externalId: lost }] });
    expect(bulk.body).toMatchObject({ results: [{ status: 409 }] });
  }
});

test("a contact names a company that was merged by the external id that it had", async () => {
  const [kept, lost] = [unique(), unique()];
  const winner = await made(admin, "/companies", { name: "W", externalId: kept });
  const loser = await made(admin, "/companies", { name: "L", externalId: lost });
  await admin.post(`/companies/${winner.id}/merge`, { loserIds: [loser.id] });
  const contact = unique();
  const columns = { E: "externalId", L: "lastName", C: "company.externalId" };
  expect((await imported(admin, "contacts", columns, [[contact, "A", lost]])).view).toMatchObject({
    ...{ created: 1, associated: {} },
  });
  expect(await byExternalId("contacts", contact)).toMatchObject({ companyId: winner.id });
});

test("an address that is none costs a row no more than itself, and one that others write is read", async () => {
  const written = [
    ...[
      "mailto:a1@example.com?subject=x",
      "<a2@example.com>",
      "Five <a3@example.com>",
      "a4@exam\u200bple.com",
    ],
    ...["n/a", "-"],
  ].map((email) => [unique(), "A", email]);
  const columns = { E: "externalId", L: "lastName", M: "email" };
  const { view, report } = await imported(admin, "leads", columns, [...written, ["", "", "n/a"]]);
  expect(view).toMatchObject({ created: 6, failed: 1 });
  const emails = [];
  for (const [id = ""] of written) emails.push((await byExternalId("leads", id)).email);
  expect(emails).toEqual([...[1, 2, 3, 4].map((nth) => `a${nth}@example.com`), null, null]);
  expect(report.match(/imported without email: /g)).toHaveLength(2);
});

test("what is given back as it was is taken, whatever has become of what it refers to", async () => {
  const contact = await made(admin, "/contacts", { lastName: "Gone" });
  const company = await made(admin, "/companies", { name: "Gone" });
  const field = { kind: "contact", key: "knows", type: "reference", references: "contact" };
  await made(admin, "/custom-fields", field);
  const deal = await made(admin, "/deals", { name: "D", contactId: contact.id });
  const other = await made(admin, "/contacts", {
    lastName: "Stays",
    companyId: company.id,
    customFields: { knows: contact.id },
  });
  await admin.send("DELETE", `/contacts/${contact.id}`);
  await admin.send("DELETE", `/companies/${company.id}`);
  const back = { contactId: contact.id, name: "Renamed" };
  expect(await admin.send("PATCH", `/deals/${deal.id}`, back)).toMatchObject({ status: 200, body: back });
  const shown = { companyId: company.id, customFields: { knows: contact.id }, title: "x" };
  expect(await admin.send("PATCH", `/contacts/${other.id}`, shown)).toMatchObject({
    status: 200,
    body: shown,
  });
  const anew = await made(admin, "/deals", { name: "E" });
  expect(await admin.send("PATCH", `/deals/${anew.id}`, back)).toMatchObject({ status: 422 });
});
