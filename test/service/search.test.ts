import { beforeAll, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";
import { listOf, made, recordWorld } from "../support/records.ts";

let admin: Client;
let rep: Client;
let stranger: Client;
beforeAll(async () => {
  ({ admin, rep, stranger } = await recordWorld("Searching"));
});

const lead = (lastName: string, more: object = {}) => made(admin, "/leads", { lastName, ...more });
interface Page {
  data: { lastName: string }[];
  page: { nextCursor: string | null; hasMore: boolean; total?: number };
}
async function ask(path: string, by = admin): Promise<Page> {
  const answer = await by.get(path);
  expect(answer).toMatchObject({ status: 200 });
  return answer.body as Page;
}
const names = async (path: string, by = admin) => (await ask(path, by)).data.map(({ lastName }) => lastName);

/** All pages of a list, two records each. */
async function walk(path: string): Promise<string[]> {
  const seen: string[] = [];
  for (let cursor: string | null = ""; cursor !== null;) {
    const { data, page } = await ask(`${path}&limit=2${cursor && `&cursor=${cursor}`}`);
    seen.push(...data.map(({ lastName }) => lastName));
    cursor = page.nextCursor;
  }
  return seen;
}

const wrong = [
  ["another letter", "Krishnomurthy"],
  ["a letter more", "Krishnammurthy"],
  ["a letter less", "Krishnmurthy"],
  ["another first letter", "Crishnamurthy"],
  ["another last letter", "Krishnamurthi"],
  ["two letters at the end that have changed places", "Krishnamurtyh"],
  ["another word beside it", "padmanabhan Krishnomurthy"],
] as const;
test.each(wrong)("a name is found with %s", async (_what, q) => {
  if ((await names("/leads?q=Krishnamurthy")).length === 0)
    await lead("Krishnamurthy", { firstName: "Padmanabhan" });
  expect(await names(`/leads?q=${q}`)).toEqual(["Krishnamurthy"]);
});

test("what has two wrong letters is not found, nor what has a digit or is short", async () => {
  await lead("Venkataraman", { externalId: "venk-1001" });
  await lead("Oza");
  for (const q of ["Venkotaramon", "venk-1002", "Ozo", "Venk7taraman"])
    expect(await names(`/leads?q=${q}`)).toEqual([]);
});

test("whole words come before what begins so, and that before what has a wrong letter, whatever is newer", async () => {
  for (const name of ["Iyengara", "Iyengir", "Iyengar", "Iyengaran", "Iyengar", "Iyengor"]) await lead(name);
  const ranked = ["Iyengar", "Iyengar", "Iyengaran", "Iyengara", "Iyengor", "Iyengir"];
  expect(await names("/leads?q=iyengar")).toEqual(ranked);
  expect(await walk("/leads?q=iyengar")).toEqual(ranked);
  for (const limit of [1, 3, 5]) {
    const { data, page } = await ask(`/leads?q=iyengar&limit=${limit}&count=true`);
    expect({ names: data.map(({ lastName }) => lastName), ...page }).toMatchObject({
      names: ranked.slice(0, limit),
      ...{ hasMore: true, total: 6 },
    });
  }
});

test("in an order that is asked for stands what begins so, and what has a wrong letter only where nothing else is", async () => {
  for (const name of ["Chaturvedi", "Chaturvedin", "Chaturvedo"]) await lead(name);
  expect(await walk("/leads?q=chaturvedi&sort=-lastName")).toEqual(["Chaturvedin", "Chaturvedi"]);
  expect(await walk("/leads?q=chaturvedu&sort=lastName")).toEqual(["Chaturvedi", "Chaturvedo"]);
  expect((await ask("/leads?q=chaturvedi&sort=lastName&count=true")).page.total).toBe(2);
  expect((await ask("/leads?q=chaturvedu&sort=lastName&count=true")).page.total).toBe(2);
});

test("a cursor of a search holds for this search alone", async () => {
  for (const name of ["Deshmukh", "Deshmukha", "Deshmokh"]) await lead(name);
  const { page } = await ask("/leads?q=deshmukh&limit=1");
  for (const other of ["q=deshmukha", "q=deshmukh&sort=lastName", "sort=-createdAt"])
    expect(await admin.get(`/leads?${other}&cursor=${page.nextCursor}`)).toMatchObject({
      status: 400,
      body: { errors: [{ path: "cursor", code: "invalid_cursor" }] },
    });
});

test("a filter and the sight of who asks hold for what has a wrong letter too", async () => {
  await lead("Bhattacharya", { source: "fair", assignedTo: rep.userId });
  await lead("Bhattacharyo", { source: "web" });
  expect(await names("/leads?q=Bhattacharyu&filter[source]=fair")).toEqual(["Bhattacharya"]);
  expect(await names("/leads?q=Bhattacharyu", rep)).toEqual(["Bhattacharya"]);
  expect(await names("/leads?q=Bhattacharyu", stranger)).toEqual([]);
});

test("a deleted record is not near to anything", async () => {
  const { id } = await lead("Mukherjee");
  expect(await names("/leads?q=Mukherjea")).toEqual(["Mukherjee"]);
  await admin.send("DELETE", `/leads/${id}`);
  expect(await names("/leads?q=Mukherjea")).toEqual([]);
});

test("contacts are found by each of their identities, and by a part of each number", async () => {
  const { id } = await made(admin, "/contacts", {
    ...{ firstName: "Lakshmi", email: "first@example.com" },
    identities: [
      { kind: "email", value: "second.mail@elsewhere.example" },
      { kind: "phone", value: "+919811122233" },
      { kind: "wa_id", value: "919844455566" },
      { kind: "username", value: "lakshmi.writes" },
    ],
  });
  const found = async (q: string) => listOf(await admin.get(`/contacts?q=${q}`)).map((one) => one.id);
  for (const q of [
    "second.mail@elsewhere.example",
    "elsewhere",
    "98111 22233",
    "44455566",
    "writes",
    "first@",
  ])
    expect([q, await found(q)]).toEqual([q, [id]]);
  await admin.send("PATCH", `/contacts/${id}`, { identities: [] });
  expect(await found("44455566")).toEqual([]);
  expect(await found("lakshmi")).toEqual([id]);
});
