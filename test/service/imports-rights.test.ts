import { beforeAll, describe, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { kindsThat, bodyOf, made, recordWorld, unique, type Body } from "../support/records.ts";

let admin: Client;
let stranger: Client;
beforeAll(async () => {
  ({ admin, stranger } = await recordWorld("Files"));
});

const role = async (permissions: string[], sees = "own") =>
  admin.addUser((await made(admin, "/roles", { name: unique(), permissions, sees })).id);
const formOf = (file: string, fields: Record<string, string> = {}) => {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  form.set("file", new Blob([file]), "file.csv");
  return form;
};
const ended = (client: Client, id: string): Promise<Body> =>
  eventually(async () => {
    const view = bodyOf(await client.get(`/imports/${id}`));
    return view.status === "completed" ? view : null;
  }, 20_000);

describe.each(kindsThat("import"))("files of %s", (plural, kind) => {
  const [main = ""] = kind.title;
  const file = `External Id,${main}\n${unique()},Asha\n`;

  test("are taken from who may import and make such records, under an address that tells how far it is", async () => {
    const answer = await admin.post(`/${plural}/import`, formOf(file));
    expect(answer).toMatchObject({ status: 202, body: { status: "pending" } });
    const { id } = bodyOf(answer);
    expect(answer.headers.get("location")).toMatch(new RegExp(`/imports/${id}$`));
    expect(await ended(admin, id)).toMatchObject({ kind: kind.name, created: 1 });
    expect(await stranger.get(`/imports/${id}`)).toMatchObject({ status: 404 });
    for (const [permissions, allowed] of [
      [["imports:create", "imports:read"], false],
      [[`${plural}:create`], false],
      [["imports:create", "imports:read", `${plural}:create`], true],
    ] as const) {
      const { status } = await (await role([...permissions])).post(`/${plural}/import`, formOf(file));
      expect([permissions, status]).toEqual([permissions, allowed ? 202 : 403]);
    }
  });

  test("change what is there only for who may change it and sees all", async () => {
    const all = ["imports:create", "imports:read", `${plural}:create`];
    const update = formOf(file, { onDuplicate: "update" });
    expect(await (await role(all, "all")).post(`/${plural}/import`, update)).toMatchObject({ status: 403 });
    expect(await (await role([...all, `${plural}:update`])).post(`/${plural}/import`, update)).toMatchObject({
      status: 403,
    });
    expect(
      await (await role([...all, `${plural}:update`], "all")).post(`/${plural}/import`, update),
    ).toMatchObject({ status: 202 });
  });
});

const owned = kindsThat("import").filter(([, kind]) => kind.owner !== undefined);
describe.each(owned)("files of %s, which have owners,", (plural, kind) => {
  const [main = ""] = kind.title;
  const owner = kind.owner ?? "";

  test("give nobody away for who sees only their own: neither told to, nor by an export's heading", async () => {
    const client = await role(["imports:create", "imports:read", `${plural}:create`]);
    const mapped = await client.post(
      `/${plural}/import`,
      formOf(`${main},Owner\nA,${admin.userId}\n`, { mapping: JSON.stringify({ Owner: owner }) }),
    );
    expect(mapped).toMatchObject({ status: 422, body: { errors: [{ code: "not_permitted" }] } });
    const begun = await client.post(
      `/${plural}/import`,
      formOf(`externalId,${main},${owner},customFields\n${unique()},A,${admin.userId},{}\n`),
    );
    const view = await ended(client, bodyOf(begun).id);
    expect(view.mapping).toMatchObject({ [owner]: null });
  });

  test("are written for who may export and read, of what they see", async () => {
    const tag = unique();
    const seer = await role(["reports:export", `${plural}:read`, `${plural}:create`]);
    await made(seer, `/${plural}`, { [main]: "Mine", tags: [tag] });
    await made(admin, `/${plural}`, { [main]: "Hidden", tags: [tag] });
    const where = `filter[tags][contains]=${tag}`;
    const text = async (client: Client, query: string) =>
      String((await client.get(`/${plural}/export?${query}`)).body);
    expect(await text(seer, `${where}&fields=${main}`)).toBe(`${main}\nMine\n`);
    expect((await text(admin, `${where}&fields=${main}&sort=createdAt`)).split("\n").slice(0, 3)).toEqual([
      main,
      "Mine",
      "Hidden",
    ]);
    const tree = encodeURIComponent(JSON.stringify({ field: "tags", op: "contains", value: tag }));
    expect(await text(admin, `where=${tree}&fields=${main}`)).toContain("Hidden");
    for (const permissions of [["reports:export"], [`${plural}:read`]])
      expect(await (await role(permissions, "all")).get(`/${plural}/export`)).toMatchObject({
        status: 403,
      });
    for (const name of ["viewer", "sales_rep"])
      expect(await (await admin.addUser(name)).get(`/${plural}/export`)).toMatchObject({ status: 403 });
    expect(await admin.get(`/audit-log?filter[type]=${plural}.exported&limit=1`)).toMatchObject({
      status: 200,
      body: { data: [{ details: { format: "csv" } }] },
    });
    expect(await admin.get(`/${plural}/export?filter[nosuch]=1`)).toMatchObject({ status: 400 });
  });
});

test("a file of contacts makes companies only for who may make them", async () => {
  const client = await role(["imports:create", "imports:read", "contacts:create"], "all");
  const file = `Contact ID,Last Name,Company\n${unique()},A,Acme\n`;
  const guessed = await ended(client, bodyOf(await client.post("/contacts/import", formOf(file))).id);
  expect(guessed).toMatchObject({
    mapping: { Company: "customFields.company" },
    ...{ created: 1, associated: {} },
  });
  const told = await client.post(
    "/contacts/import",
    formOf(file, { mapping: JSON.stringify({ Company: "company.name" }) }),
  );
  expect(told).toMatchObject({ status: 422, body: { errors: [{ code: "not_permitted" }] } });
});

test("an organization's country is that of phones without one, of imports and of what is written", async () => {
  const { admin: british } = await recordWorld("British");
  expect(await british.get("/organization")).toMatchObject({ body: { country: "IN" } });
  const changed = await british.send("PATCH", "/organization", { country: "gb" });
  expect(changed).toMatchObject({ status: 200, body: { country: "GB" } });
  expect(await british.send("PATCH", "/organization", { country: "XX" })).toMatchObject({ status: 422 });
  await eventually(async () => {
    const lead = await made(british, "/leads", { lastName: unique(), phone: "020 7946 0958" }).catch(
      () => null,
    );
    return lead?.phone === "+442079460958" ? true : null;
  });
  await made(british, "/custom-fields", { kind: "contact", key: "fax", type: "phone" });
  const contact = await made(british, "/contacts", {
    ...{ lastName: "A", phone: "020 7946 0958" },
    customFields: { fax: "020 7946 0959" },
  });
  expect(contact).toMatchObject({ phone: "+442079460958", customFields: { fax: "+442079460959" } });
  const { body } = await british.post("/contacts/bulk", {
    items: [{ lastName: "B", phone: "020 7946 0957" }],
  });
  const [{ id = "" } = {}] = (body as { results: { id?: string }[] }).results;
  expect(await british.get(`/contacts/${id}`)).toMatchObject({ body: { phone: "+442079460957" } });
  const bring = async (fields: Record<string, string>, phone: string) => {
    const form = formOf(`Contact ID,Last Name,Phone\n${unique()},${phone},${phone}\n`, fields);
    const view = await ended(british, bodyOf(await british.post("/contacts/import", form)).id);
    const { country } = view.options as { country: string };
    const found = await british.get(`/contacts?filter[lastName]=${encodeURIComponent(phone)}`);
    return [country, (found.body as { data: Body[] }).data[0]?.phone];
  };
  expect(await bring({}, "020 7946 0956")).toEqual(["GB", "+442079460956"]);
  expect(await bring({ country: "IN" }, "98765 43210")).toEqual(["IN", "+919876543210"]);
});
