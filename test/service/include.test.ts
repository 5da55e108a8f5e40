import { beforeAll, expect, test } from "@jest/globals";
import type { Answer, Client } from "../support/client.ts";
import { made, recordWorld, type Body } from "../support/records.ts";

let admin: Client;
let rep: Client;
const included = (answer: Answer) => (answer.body as { included: Record<string, Body[]> }).included;
let parent: Body;
let company: Body;
let hidden: Body;
let one: Body;

beforeAll(async () => {
  ({ admin, rep } = await recordWorld("Include"));
  parent = await made(admin, "/companies", { name: "Parent" });
  company = await made(admin, "/companies", {
    name: "Rao Textiles",
    parentId: parent.id,
    assignedTo: rep.userId,
  });
  hidden = await made(admin, "/companies", { name: "Hidden" });
  one = await made(admin, "/contacts", { firstName: "One", companyId: company.id, assignedTo: rep.userId });
  await made(admin, "/contacts", { firstName: "Two", companyId: company.id, assignedTo: rep.userId });
  await made(admin, "/contacts", { firstName: "Three", companyId: hidden.id, assignedTo: rep.userId });
});

test("what the records of a page refer to comes along, each once", async () => {
  const answer = await admin.get("/contacts?include=company,assignedTo&sort=createdAt");
  expect(answer).toMatchObject({ status: 200 });
  expect(
    included(answer)
      .company?.map(({ id }) => id)
      .sort(),
  ).toEqual([company.id, hidden.id].sort());
  expect(included(answer).company).toContainEqual((await admin.get(`/companies/${company.id}`)).body);
  expect(included(answer).user).toMatchObject([{ id: rep.userId }]);
});

test("one record brings it too, without the ETag of the record alone; a relation to its own kind is called as its field", async () => {
  const answer = await admin.get(`/companies/${company.id}?include=parent&fields=name`);
  expect(answer.body).toEqual({ id: company.id, name: "Rao Textiles", included: { company: [parent] } });
  expect(answer.headers.get("etag")).toBeNull();
  expect((await admin.get(`/contacts/${one.id}?include=lead`)).body).toMatchObject({
    included: { lead: [] },
  });
});

test("fields that are only needed to find it are not shown", async () => {
  const answer = await admin.get("/contacts?include=company&fields=firstName&filter[firstName]=One");
  expect(answer.body).toMatchObject({
    data: [{ id: one.id, firstName: "One" }],
    included: { company: [{ id: company.id }] },
  });
  expect(Object.keys((answer.body as { data: Body[] }).data[0] as Body).sort()).toEqual(["firstName", "id"]);
});

test("who may not see a record does not get it along, nor who may not read its kind", async () => {
  const answer = await rep.get("/contacts?include=company");
  expect(included(answer).company?.map(({ id }) => id)).toEqual([company.id]);
  const { key } = (await admin.post("/api-keys", { name: "narrow", scopes: ["contacts:read"] })).body as {
    key: string;
  };
  const narrow = admin.withApiKey(key);
  for (const [relation, permission] of [
    ["company", "companies:read"],
    ["assignedTo", "users:read"],
  ])
    expect(await narrow.get(`/contacts?include=${relation}`)).toMatchObject({
      status: 403,
      body: { detail: expect.stringContaining(permission as string) as unknown },
    });
});

test("what is deleted is not there; an unknown relation is a 400 that names those that there are", async () => {
  const gone = await made(admin, "/companies", { name: "Gone" });
  const contact = await made(admin, "/contacts", { firstName: "Left", companyId: gone.id });
  expect(await admin.send("DELETE", `/companies/${gone.id}`)).toMatchObject({ status: 204 });
  expect((await admin.get(`/contacts/${contact.id}?include=company`)).body).toMatchObject({
    companyId: gone.id,
    included: { company: [] },
  });
  expect(await admin.get("/contacts?include=nosuch")).toMatchObject({
    status: 400,
    body: {
      errors: [
        {
          path: expect.stringMatching(/^include/) as unknown,
          allowed: ["company", "companies", "lead", "assignedTo"],
        },
      ],
    },
  });
});
