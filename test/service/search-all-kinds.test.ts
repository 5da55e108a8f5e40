import { beforeAll, describe, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { bodyOf, made, recordWorld, unique } from "../support/records.ts";

let admin: Client;
let rep: Client;
let stranger: Client;
beforeAll(async () => {
  ({ admin, rep, stranger } = await recordWorld("Search"));
});

interface Hit {
  kind: string;
  id: string;
  title: string;
  snippet: string;
  score: number;
}
interface Found {
  data: Hit[];
  facets: { kind: Record<string, number> };
  didYouMean?: string;
  tookMs: number;
}
const ask = (q: string, query = "", client = admin) =>
  client.get(`/search?q=${encodeURIComponent(q)}${query}`);
const search = async (q: string, query = "", client = admin) => (await ask(q, query, client)).body as Found;
const idsOf = ({ data }: Found) => data.map(({ id }) => id);
/** A word that no other test has: letters alone. */
const word = () => `zq${unique().replaceAll(/[^a-z]/g, "")}xy`;

describe("a search", () => {
  test("finds records of all kinds, the best first, with how many there are of each", async () => {
    const name = word();
    const company = await made(admin, "/companies", { name });
    const lead = await made(admin, "/leads", { firstName: "Asha", lastName: `${name}son` });
    const contact = await made(admin, "/contacts", { lastName: "Other", email: `${name}@example.com` });
    const deal = await made(admin, "/deals", { name: `Looms for ${name}` });
    const found = await search(name);
    expect(found).toMatchObject({
      facets: { kind: { company: 1, lead: 1, contact: 1, deal: 1 } },
      tookMs: expect.any(Number),
    });
    expect(idsOf(found)).toEqual([company.id, deal.id, lead.id, contact.id]);
    expect(found.data).toMatchObject([
      { kind: "company", title: name, score: 1 },
      { kind: "deal", title: `Looms for ${name}` },
      { kind: "lead", title: `Asha ${name}son` },
      { kind: "contact", snippet: `<mark>${name}</mark>@example.com` },
    ]);
    expect(idsOf(await search(name, "&limit=1"))).toEqual([company.id]);
    expect(idsOf(await search(name, "&kinds=lead,contact"))).toEqual([lead.id, contact.id]);
    expect(found.didYouMean).toBeUndefined();
  });

  test("shows snippets that are escaped", async () => {
    const name = word();
    await made(admin, "/leads", { lastName: "Escaped", companyName: `<b>${name}</b> & "Sons"` });
    const [hit] = (await search(name)).data;
    expect(hit?.snippet).toBe(`&lt;b&gt;<mark>${name}</mark>&lt;/b&gt; &amp; &quot;Sons&quot;`);
  });

  test("takes filters among its words, which hold of the kinds that have such a field", async () => {
    const name = word();
    const mine = await made(admin, "/leads", { lastName: name, assignedTo: admin.userId, tags: ["vip"] });
    const theirs = await made(admin, "/leads", { lastName: name, assignedTo: rep.userId });
    const deal = await made(admin, "/deals", { name, ownerId: admin.userId });
    const open = await made(admin, "/deals", { name });
    await admin.post(`/deals/${deal.id}/win`);
    await made(admin, "/companies", { name });
    const found = async (q: string) => new Set(idsOf(await search(q)));
    await eventually(async () => {
      expect(await found(`owner:me ${name}`)).toEqual(new Set([mine.id, deal.id]));
      return true;
    });
    expect(await found(`${name} owner:me stage:won`)).toEqual(new Set([deal.id]));
    expect(await found(`${name} stage:Qualification`)).toEqual(new Set([open.id]));
    expect(await found(`tag:vip ${name}`)).toEqual(new Set([mine.id]));
    expect(await found(`kind:lead lastName:"${name}"`)).toEqual(new Set([mine.id, theirs.id]));
    expect(await found(`status:won ${name}`)).toEqual(new Set([deal.id]));
    expect(await ask(`status:bogus ${name}`)).toMatchObject({
      status: 400,
      body: { errors: [{ path: "q", code: "invalid_value" }] },
    });
    // no field of anything
    expect((await ask(`https://${name}.example`)).status).toBe(200);
  });

  test("shows nobody what they do not see, or may not read", async () => {
    const name = word();
    const mine = await made(rep, "/leads", { lastName: name });
    const theirs = await made(admin, "/leads", { lastName: name });
    const company = await made(admin, "/companies", { name, assignedTo: admin.userId });
    expect(new Set(idsOf(await search(name)))).toEqual(new Set([mine.id, theirs.id, company.id]));
    expect(await search(name, "", rep)).toMatchObject({
      data: [{ id: mine.id }],
      facets: { kind: { lead: 1 } },
    });
    expect(await search(name, "", stranger)).toMatchObject({ data: [], facets: { kind: {} } });
    const role = await made(admin, "/roles", { name, permissions: ["companies:read"], sees: "all" });
    const narrow = await admin.addUser(role.id);
    expect(idsOf(await search(name, "", narrow))).toEqual([company.id]);
    expect(idsOf(await search(name, "&kinds=lead", narrow))).toEqual([]);
  });

  test("says what was meant, of words that are there and that one sees", async () => {
    const name = `${word()}lakshmi`;
    await made(admin, "/contacts", { firstName: "Vijaya", lastName: name });
    const wrong = `${name.slice(0, -2)}im`;
    expect(await search(`vijaya ${wrong}`)).toMatchObject({ data: [], didYouMean: `vijaya ${name}` });
    expect((await search(`vijaya ${wrong}`, "", rep)).didYouMean).toBeUndefined();
    expect((await search("qqqqwwwwzzzz")).didYouMean).toBeUndefined();
  });

  test("that was kept is asked anew when a record has changed", async () => {
    const name = word();
    const first = await made(admin, "/leads", { lastName: name });
    expect(idsOf(await search(name))).toEqual([first.id]);
    expect(idsOf(await search(name))).toEqual([first.id]);
    const second = await made(admin, "/leads", { lastName: name });
    const begun = performance.now();
    await eventually(async () => (await search(name)).data.length === 2);
    expect(performance.now() - begun).toBeLessThan(1_000);
    await admin.send("DELETE", `/leads/${first.id}`);
    await eventually(async () => idsOf(await search(name)).join() === second.id);
  });

  test.each([
    ["", "q"],
    ["?q=", "q"],
    ["?q=a&kinds=nosuch", "kinds.0"],
    ["?q=a&limit=0", "limit"],
    ["?q=a&nosuch=1", "nosuch"],
  ])("%s is refused at %s", async (query, path) => {
    expect(await admin.get(`/search${query}`)).toMatchObject({
      status: 400,
      body: { errors: [expect.objectContaining({ path })] },
    });
  });
});

test("a record is found by its words together, whatever their accents and case", async () => {
  const name = word();
  const lead = await made(admin, "/leads", { firstName: "José", lastName: name, phone: "+919812345678" });
  for (const q of [`jose ${name.toUpperCase()}`, `${name} 98123`, `${name.slice(0, 5)} José`])
    expect(idsOf(await search(q))).toContain(bodyOf({ body: lead } as never).id);
});
