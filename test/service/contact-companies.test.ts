import { beforeAll, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";
import { bodyOf, listOf, made, recordWorld, unique, type Body } from "../support/records.ts";

let admin: Client;
let stranger: Client;
beforeAll(async () => {
  ({ admin, stranger } = await recordWorld("Affiliations"));
});

const company = (by = admin) => made(by, "/companies", { name: unique() });
const contact = (body: object) => made(admin, "/contacts", { firstName: "Asha", ...body });
const patch = (id: string, body: object) => admin.send("PATCH", `/contacts/${id}`, body);
const read = async (id: string) => bodyOf(await admin.get(`/contacts/${id}`));
const link = ({ id }: Body, role: string | null = null, isPrimary = false) => ({
  ...{ companyId: id, role, isPrimary },
});

test("a contact works for companies, with a role in each; companyId is the primary one", async () => {
  const [a, b, c] = [await company(), await company(), await company()];
  const one = await contact({ companyId: a.id });
  expect(one).toMatchObject({ companyId: a.id, companies: [link(a, null, true)] });
  await patch(one.id, {
    companies: [
      { companyId: a.id, role: "Advisor" },
      { companyId: b.id, role: "Owner", isPrimary: true },
    ],
  });
  expect(await read(one.id)).toMatchObject({
    ...{ companyId: b.id, companies: [link(b, "Owner", true), link(a, "Advisor")] },
  });
  // a company in the place of the primary one, whose role was there
  await patch(one.id, { companyId: c.id });
  expect((await read(one.id)).companies).toEqual([link(c, null, true), link(a, "Advisor")]);
  await patch(one.id, { companyId: a.id });
  expect((await read(one.id)).companies).toEqual([link(a, "Advisor", true), link(c)]);
  await patch(one.id, { companyId: null });
  expect(await read(one.id)).toMatchObject({ companyId: c.id, companies: [link(c, null, true)] });
  const many = { companies: [link(a, null, true), link(b, null, true)] };
  expect(await patch(one.id, many)).toMatchObject({
    ...{ status: 422, body: { errors: [{ path: "companies", code: "too_many" }] } },
  });
});

test("companies must be there and seen; those that a contact has may stay whatever became of them", async () => {
  const [kept, gone] = [await company(), await company()];
  const theirs = await company(stranger);
  const one = await contact({ companies: [link(kept), link(gone, "Owner")] });
  await admin.send("DELETE", `/companies/${gone.id}`);
  for (const wrong of [theirs, gone])
    expect(
      await admin.post("/contacts", { firstName: "B", companies: [link(kept), link(wrong)] }),
    ).toMatchObject({
      status: 422,
      body: { errors: [{ path: "companies.1.companyId", code: "not_found" }] },
    });
  // it is deleted, not forgotten: who comes back finds its people
  const { companies } = await read(one.id);
  const next = await company();
  expect(await patch(one.id, { companies: [...(companies as object[]), link(next)] })).toMatchObject({
    status: 200,
  });
  const shown = await admin.get(`/contacts/${one.id}?include=companies`);
  const { included } = shown.body as { included: { company: Body[] } };
  expect(included.company.map(({ id }) => id).sort()).toEqual([kept.id, next.id].sort());
  await admin.post(`/companies/${gone.id}/restore`);
  const again = await admin.get(`/contacts?filter[id]=${one.id}&include=companies`);
  expect((again.body as typeof shown.body & { included: { company: Body[] } }).included.company).toHaveLength(
    3,
  );
});

test("contacts are listed by any company and any identity that they have, in every form of it", async () => {
  const [a, b] = [await company(), await company()];
  const [email, wa] = [`${unique()}@example.com`, `9198${Math.random().toString().slice(2, 10)}`];
  const one = await contact({
    ...{ email: `${unique()}@example.com`, companies: [link(a), link(b, "Owner")] },
    identities: [
      { kind: "email", value: email },
      { kind: "wa_id", value: wa },
    ],
  });
  const other = await contact({ companyId: b.id, phone: `+${wa}` });
  const ids = async (query: string) => {
    const answer = await admin.get(`/contacts?${query}&sort=createdAt`);
    expect(answer).toMatchObject({ status: 200 });
    return listOf(answer).map(({ id }) => id);
  };
  expect(await ids(`filter[companies.companyId]=${a.id}`)).toEqual([one.id]);
  expect(await ids(`filter[companies.companyId][in]=${a.id},${b.id}`)).toEqual([one.id, other.id]);
  expect(await ids(`filter[identities.value]=${email.toUpperCase()}`)).toEqual([one.id]);
  for (const form of [wa, `+${wa}`, `0${wa.slice(2)}`])
    expect(await ids(`filter[identities.value]=${encodeURIComponent(form)}`)).toEqual([one.id, other.id]);
  const where = (condition: object) => ids(`where=${encodeURIComponent(JSON.stringify(condition))}`);
  expect(
    await where({
      all: [
        { field: "identities.value", op: "eq", value: wa },
        { not: { field: "companies.companyId", op: "eq", value: a.id } },
      ],
    }),
  ).toEqual([other.id]);
  expect(
    await where({
      all: [
        { field: "companies.companyId", op: "ne", value: a.id },
        { field: "identities.value", op: "in", value: [email, wa] },
      ],
    }),
  ).toEqual([other.id]);
  await admin.send("DELETE", `/contacts/${one.id}`);
  expect(await ids(`filter[identities.value]=${wa}`)).toEqual([other.id]);
  expect(await admin.get("/contacts?filter[companies.companyId]=x")).toMatchObject({ status: 400 });
});

test("a merge of companies takes their people along, with their roles, and its undoing gives them back", async () => {
  const [winner, loser, other] = [await company(), await company(), await company()];
  const primary = await contact({ companies: [link(loser, "Owner"), link(other)] });
  const second = await contact({ companies: [link(other), link(loser, "Advisor")] });
  const both = await contact({ companies: [link(loser, "Owner"), link(winner, "Advisor")] });
  const plain = await contact({ companyId: loser.id });
  const before = await Promise.all([primary, second, both, plain].map(({ id }) => read(id)));
  const merged = await admin.post(`/companies/${winner.id}/merge`, { loserIds: [loser.id] });
  const { mergeId } = merged.body as { mergeId: string };
  expect(await read(primary.id)).toMatchObject({
    ...{ companyId: winner.id, companies: [link(winner, "Owner", true), link(other)] },
  });
  expect(await read(second.id)).toMatchObject({
    companies: [link(other, null, true), link(winner, "Advisor")],
  });
  expect(await read(both.id)).toMatchObject({ companies: [link(winner, "Owner", true)] });
  expect(await read(plain.id)).toMatchObject({ companyId: winner.id, companies: [link(winner, null, true)] });
  expect(listOf(await admin.get(`/contacts/${plain.id}/history`))[0]).toMatchObject({
    changes: { companyId: [loser.id, winner.id] },
  });
  // who left since stays away
  await patch(second.id, { companies: [link(other)] });
  expect(await admin.post(`/merges/${mergeId}/undo`)).toMatchObject({ status: 200 });
  const after = await Promise.all([primary, second, both, plain].map(({ id }) => read(id)));
  expect(after[1]).toMatchObject({ companies: [link(other, null, true)] });
  for (const index of [0, 2, 3])
    expect(after[index]).toMatchObject({
      ...{ companyId: before[index]?.companyId, companies: before[index]?.companies },
    });
});

test("custom fields that refer to a loser follow the merge too, unique ones as well", async () => {
  const kinds = ["contacts", "leads", "companies"];
  const define = (kind: string, key: string, more: object = {}) =>
    made(admin, "/custom-fields", {
      ...{ kind, key, label: key, type: "reference", references: "company", ...more },
    });
  for (const kind of ["contact", "lead", "company"]) await define(kind, "partner");
  await define("contact", "only", { isUnique: true });
  const [winner, loser] = [await company(), await company()];
  const customFields = { partner: loser.id };
  const records = await Promise.all(
    kinds.map((plural) =>
      made(admin, `/${plural}`, {
        ...{ [plural === "companies" ? "name" : "firstName"]: unique() },
        customFields: plural === "contacts" ? { ...customFields, only: loser.id } : customFields,
      }),
    ),
  );
  await admin.send("PATCH", `/companies/${winner.id}`, { customFields });
  const merged = await admin.post(`/companies/${winner.id}/merge`, { loserIds: [loser.id] });
  const { mergeId, record } = merged.body as { mergeId: string; record: Body };
  expect(record.customFields).toEqual({});
  const fieldsNow = async () =>
    Promise.all(
      records.map(async ({ id }, index) => bodyOf(await admin.get(`/${kinds[index]}/${id}`)).customFields),
    );
  const all = (id: string) => [{ partner: id, only: id }, { partner: id }, { partner: id }];
  expect(await fieldsNow()).toEqual(all(winner.id));
  const taken = await admin.post("/contacts", { firstName: "B", customFields: { only: winner.id } });
  expect(taken).toMatchObject({ status: 409, body: { code: "VALUE_TAKEN" } });
  expect(await admin.post(`/merges/${mergeId}/undo`)).toMatchObject({ status: 200 });
  expect(await fieldsNow()).toEqual(all(loser.id));
  expect(bodyOf(await admin.get(`/companies/${winner.id}`)).customFields).toEqual(customFields);
});
