import { beforeAll, describe, expect, test } from "@jest/globals";
import { kinds } from "../../entities/kinds.ts";
import { Client, type Answer } from "../support/client.ts";
import { inspect } from "../support/database.ts";
import { shardUrl } from "../support/leads.ts";
import { originOf, shareNode, type TestNode } from "../support/node.ts";

type Body = Record<string, unknown> & { id: string; version: number };
let node: TestNode;
let admin: Client;
let rep: Client;
let stranger: Client;

beforeAll(async () => {
  node = await shareNode();
  const visitor = new Client(originOf(node));
  admin = await visitor.register("Records");
  rep = await admin.addUser("sales_rep");
  stranger = await visitor.register("Strangers");
});

const bodyOf = (answer: Answer) => answer.body as Body;
const listOf = (answer: Answer) => (answer.body as { data: Body[] }).data;
let count = 0;
const unique = () => `x${++count}-${Math.random().toString(36).slice(2, 8)}`;

describe.each([...kinds.values()].map((kind) => [kind.plural, kind] as const))("%s", (plural, kind) => {
  const path = `/${plural}`;
  const [main = ""] = kind.title;
  const input = (more: Record<string, unknown> = {}) => ({ [main]: `Name ${unique()}`, ...more });
  const make = async (more: Record<string, unknown> = {}, by = admin): Promise<Body> => {
    const answer = await by.post(path, input(more));
    expect(answer).toMatchObject({ status: 201 });
    return bodyOf(answer);
  };

  test("come back as they were given, at the address that the answer names", async () => {
    const given = {
      ...kind.example,
      externalId: unique(),
      tags: ["a, b", "hot"],
      customFields: { city: "पुणे" },
    };
    const made = await admin.post(path, given);
    expect(made).toMatchObject({ status: 201, body: given });
    expect(bodyOf(made)).toMatchObject({ version: 1, createdAt: bodyOf(made).updatedAt });
    const found = await admin.get(`${made.headers.get("location")?.replace(/.*\/api\/v1/, "")}`);
    expect(found.body).toEqual(made.body);
    expect(found.headers.get("etag")).toBe('"1"');
  });

  test("are somebody: what says nothing of whom is refused, with the names of what would", async () => {
    const answer = await admin.post(path, { tags: ["lonely"] });
    expect(answer).toMatchObject({ status: 422, body: { code: "VALIDATION_FAILED" } });
    expect(JSON.stringify(answer.body)).toContain(kind.identifiedBy.join(", "));
  });

  test("are changed field by field; custom fields key by key; what changes nothing makes no version", async () => {
    const made = await make({ tags: ["one"], customFields: { a: 1, b: "two" } });
    const changed = await admin.send("PATCH", `${path}/${made.id}`, {
      tags: ["one", "two"],
      customFields: { a: null, c: true },
    });
    expect(changed).toMatchObject({ status: 200, body: { version: 2, tags: ["one", "two"] } });
    expect(bodyOf(changed).customFields).toEqual({ b: "two", c: true });
    const same = await admin.send("PATCH", `${path}/${made.id}`, { tags: ["one", "two"] });
    expect(same.body).toEqual(changed.body);
    const stale = await admin.send("PATCH", `${path}/${made.id}`, { tags: [] }, { "if-match": '"1"' });
    expect(stale).toMatchObject({ status: 412 });
  });

  test("are filtered, sorted and counted", async () => {
    const tag = unique();
    const names = ["Bela", "Anna", "Cora"].map((name) => `${name} ${tag}`);
    for (const name of names) await make({ [main]: name, tags: [tag] });
    const page = await admin.get(`${path}?filter[tags][contains]=${tag}&sort=createdAt&limit=2&count=true`);
    expect(page).toMatchObject({ status: 200, body: { page: { hasMore: true, total: 3 } } });
    const { nextCursor } = (page.body as { page: { nextCursor: string } }).page;
    const rest = await admin.get(
      `${path}?filter[tags][contains]=${tag}&sort=createdAt&limit=2&cursor=${encodeURIComponent(nextCursor)}`,
    );
    expect([...listOf(page), ...listOf(rest)].map((one) => one[main])).toEqual(names);
    const one = await admin.get(
      `${path}?filter[${main}]=${encodeURIComponent(`Anna ${tag}`)}&fields=id,tags`,
    );
    expect(listOf(one)).toEqual([{ id: expect.any(String), tags: [tag] }]);
    expect(await admin.get(`${path}?filter[nosuch]=1`)).toMatchObject({ status: 400 });
  });

  test("are found by another case of an email or a domain, and another form of a phone", async () => {
    const [key, value] =
      "email" in kind.fields ? ["email", `${unique()}@example.com`] : ["domain", `${unique()}.example`];
    const made = await make({ [key]: value.toUpperCase(), phone: "098765 43210" });
    expect(
      listOf(await admin.get(`${path}?filter[${key}]=${encodeURIComponent(value.toUpperCase())}`)),
    ).toMatchObject([{ id: made.id, [key]: value, phone: "+919876543210" }]);
    const byPhone = listOf(await admin.get(`${path}?filter[phone]=${encodeURIComponent("+91 98765-43210")}`));
    expect(byPhone.map(({ id }) => id)).toContain(made.id);
    expect(await admin.get(`${path}?filter[phone]=nobody`)).toMatchObject({ status: 400 });
  });

  test("are deleted and brought back, but not over another that took their external id", async () => {
    const externalId = unique();
    const made = await make({ externalId });
    expect(await admin.send("DELETE", `${path}/${made.id}`)).toMatchObject({ status: 204 });
    expect(await admin.get(`${path}/${made.id}`)).toMatchObject({
      status: 404,
      body: { code: `${kind.name.toUpperCase()}_NOT_FOUND` },
    });
    const other = await make({ externalId });
    const refused = await admin.post(`${path}/${made.id}/restore`);
    expect(refused).toMatchObject({ status: 409, body: { code: "EXTERNAL_ID_TAKEN" } });
    expect(JSON.stringify(refused.body)).toContain(other.id);
    await admin.send("DELETE", `${path}/${other.id}`);
    const restored = await admin.post(`${path}/${made.id}/restore`);
    expect(restored).toMatchObject({ status: 200, body: { externalId, version: 3 } });
    expect(bodyOf(await admin.get(`${path}/${made.id}`))).toEqual(restored.body);
  });

  test("are made or changed by their external id, and found by it", async () => {
    const externalId = unique();
    const at = `${path}/by-external-id/${externalId}`;
    const made = await admin.send("PUT", at, input());
    expect(made).toMatchObject({ status: 201, body: { externalId, version: 1 } });
    expect(made.headers.get("location")).toContain(`${path}/${bodyOf(made).id}`);
    const changed = await admin.send("PUT", at, { tags: ["again"] });
    expect(changed).toMatchObject({ status: 200, body: { id: bodyOf(made).id, version: 2 } });
    expect((await admin.get(at)).body).toEqual(changed.body);
    expect(await admin.post(path, input({ externalId }))).toMatchObject({
      status: 409,
      body: { code: "EXTERNAL_ID_TAKEN" },
    });
  });

  test("of two that make the same external id at once one makes it, the other changes it", async () => {
    const at = `${path}/by-external-id/${unique()}`;
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) => admin.send("PUT", at, input({ tags: [`t${index}`] }))),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([
      ...Array.from({ length: 7 }, () => 200),
      201,
    ]);
    expect(new Set(answers.map((answer) => bodyOf(answer).id)).size).toBe(1);
    expect(bodyOf(await admin.get(at)).version).toBe(8);
  });

  test("come in bulk, each judged by itself", async () => {
    const externalId = unique();
    const answer = await admin.post(`${path}/bulk`, {
      items: [
        input({ externalId }),
        { tags: 7 },
        input({ externalId }),
        input({ assignedTo: stranger.userId }),
      ],
    });
    const { results } = answer.body as { results: { status: number; error?: { code: string } }[] };
    expect(results.map(({ status }) => status)).toEqual([201, 422, 409, 422]);
    expect(results[2]?.error?.code).toBe("EXTERNAL_ID_TAKEN");
  });

  test("tell who changed what, from what to what, and go back to what they were", async () => {
    const made = await make({ tags: ["old"], customFields: { a: 1 } });
    await admin.send("PATCH", `${path}/${made.id}`, { tags: ["new"], customFields: { a: 2, b: 3 } });
    const history = await admin.get(`${path}/${made.id}/history`);
    expect(listOf(history)).toMatchObject([
      {
        version: 2,
        actorId: admin.userId,
        changes: { tags: [["old"], ["new"]], "customFields.a": [1, 2], "customFields.b": [null, 3] },
      },
      { version: 1, type: `${kind.name}.created` },
    ]);
    const reverted = await admin.post(`${path}/${made.id}/revert`, { version: 1 });
    expect(reverted).toMatchObject({
      status: 200,
      body: { version: 3, tags: ["old"], customFields: { a: 1 } },
    });
    expect(await admin.post(`${path}/${made.id}/revert`, { version: 77 })).toMatchObject({
      status: 409,
      body: { code: "VERSION_NOT_KEPT" },
    });
    expect(listOf(await admin.get(`${path}/${made.id}/timeline?limit=1`))).toMatchObject([
      { type: `${kind.name}.updated`, entityVersion: 3 },
    ]);
  });

  test("go back without asking for what stays as it is: an owner who has left stays the owner", async () => {
    const leaver = await admin.addUser("sales_rep");
    await admin.send("PATCH", `/users/${leaver.userId}`, { isActive: false });
    const made = await make({ tags: ["old"] });
    await admin.send("PATCH", `${path}/${made.id}`, { tags: ["new"] });
    // as if it had been theirs from the beginning: a process remembers for a while who is active
    const url = shardUrl(node, admin.organizationId);
    await inspect(url, `UPDATE ${plural} SET assigned_to = $2 WHERE id = $1`, [made.id, leaver.userId]);
    await inspect(
      url,
      "UPDATE events SET data = jsonb_set(data, '{record,assignedTo}', to_jsonb($2::text)) WHERE entity_id = $1",
      [made.id, leaver.userId],
    );
    const reverted = await admin.post(`${path}/${made.id}/revert`, { version: 1 });
    expect(reverted).toMatchObject({ status: 200, body: { assignedTo: leaver.userId, tags: ["old"] } });
  });

  test("show who they may be else, and by what", async () => {
    const [key] = Object.entries(kind.fields).flatMap(([name, { matches }]) => (matches ? [name] : []));
    const value = key === "email" ? `${unique()}@example.com` : `${unique()}.example.com`;
    const one = await make({ [key ?? ""]: value });
    const other = await make({ [key ?? ""]: value.toUpperCase() });
    const { data } = (await admin.get(`${path}/${one.id}/duplicates`)).body as {
      data: { record: Body; matchedBy: string[] }[];
    };
    expect(data).toMatchObject([{ record: { id: other.id }, matchedBy: [key] }]);
  });

  test("belong to somebody: a rep sees its own, gives none away and owns what it makes", async () => {
    const hidden = await make();
    const own = await make({}, rep);
    expect(own.assignedTo).toBe(rep.userId);
    expect(await rep.get(`${path}/${hidden.id}`)).toMatchObject({ status: 404 });
    expect(await rep.send("PATCH", `${path}/${hidden.id}`, { tags: ["mine"] })).toMatchObject({
      status: 404,
    });
    expect(await rep.get(`${path}/${hidden.id}/history`)).toMatchObject({ status: 404 });
    expect(listOf(await rep.get(path)).every(({ assignedTo }) => assignedTo === rep.userId)).toBe(true);
    expect(await rep.send("PATCH", `${path}/${own.id}`, { assignedTo: admin.userId })).toMatchObject({
      status: 403,
    });
    expect(await stranger.get(`${path}/${own.id}`)).toMatchObject({ status: 404 });
    expect(await admin.send("PATCH", `${path}/${own.id}`, { assignedTo: stranger.userId })).toMatchObject({
      status: 422,
    });
  });

  test("are merged: what the winner lacks it gets, what referred to the losers refers to it; and all that is undone", async () => {
    const keyed = Object.entries(kind.fields).find(([, { matches }]) => matches)?.[0] ?? "";
    const winner = await make({ tags: ["a"], customFields: { a: 1 } });
    const loser = await make({
      ...{ externalId: unique(), tags: ["b"], customFields: { a: 2, b: 2 } },
      [keyed]: keyed === "email" ? `${unique()}@example.com` : "merged.example",
    });
    const other = await make({ tags: ["c"] });
    const merged = await admin.post(`${path}/${winner.id}/merge`, {
      // ids are ids in upper case too
      loserIds: [loser.id.toUpperCase(), other.id],
      take: { [main]: other.id.toUpperCase() },
    });
    const { mergeId, record } = merged.body as { mergeId: string; record: Body };
    expect(record).toMatchObject({
      ...{ id: winner.id, version: 2, externalId: loser.externalId, [keyed]: loser[keyed] },
      ...{ tags: ["a", "b", "c"], customFields: { a: 1, b: 2 }, [main]: other[main] },
    });
    expect(await admin.get(`${path}/${loser.id}`)).toMatchObject({
      status: 410,
      body: { code: "MERGED", mergedInto: winner.id },
    });
    expect(await admin.post(`${path}/${loser.id}/restore`)).toMatchObject({ status: 409 });
    expect(listOf(await admin.get(`${path}/${winner.id}/history`))[0]).toMatchObject({
      type: `${kind.name}.merged`,
      changes: { externalId: [null, loser.externalId] },
    });
    await admin.send("PATCH", `${path}/${winner.id}`, { tags: ["mine"] });
    const undone = await admin.post(`/merges/${mergeId}/undo`);
    expect(undone).toMatchObject({ status: 200 });
    const { version: _loser, updatedAt: _at, ...wasLoser } = loser;
    expect((await admin.get(`${path}/${loser.id}`)).body).toMatchObject(wasLoser);
    expect(bodyOf(await admin.get(`${path}/${winner.id}`))).toMatchObject({
      ...{ externalId: null, [keyed]: null, customFields: { a: 1 }, tags: ["mine"], [main]: winner[main] },
    });
    expect(await admin.post(`/merges/${mergeId}/undo`)).toMatchObject({
      status: 409,
      body: { code: "ALREADY_UNDONE" },
    });
  });

  test("that are merged keep no consent that either has withdrawn", async () => {
    if (!("consent" in kind.fields)) return;
    const winner = await make({ consent: { email: true, sms: false } });
    const loser = await make({ consent: { email: false, sms: true, whatsapp: true } });
    expect(await admin.post(`${path}/${winner.id}/merge`, { loserIds: [loser.id] })).toMatchObject({
      status: 200,
      body: { record: { consent: { email: false, sms: false, whatsapp: true } } },
    });
  });

  test("cannot be merged into what is larger than a record may be", async () => {
    const full = { tags: Array.from({ length: 40 }, (_, at) => `${unique()}-${at}`) };
    const [one, two] = [await make(full), await make({ tags: full.tags.map((tag) => `${tag}+`) })];
    expect(await admin.post(`${path}/${one.id}/merge`, { loserIds: [two.id] })).toMatchObject({
      status: 422,
      body: { errors: [{ path: "tags", code: "too_many" }] },
    });
    expect(await admin.get(`${path}/${two.id}`)).toMatchObject({ status: 200, body: { version: 1 } });
  });

  test("that are part of another are found by their external id as that", async () => {
    const [winner, loser] = [await make({ externalId: unique() }), await make({ externalId: unique() })];
    expect(await admin.post(`${path}/${winner.id}/merge`, { loserIds: [loser.id] })).toMatchObject({
      status: 200,
    });
    const address = `${path}/by-external-id/${String(loser.externalId)}`;
    const isMerged = { status: 410, body: { code: "MERGED", mergedInto: winner.id } };
    expect(await admin.get(address)).toMatchObject(isMerged);
    expect(await admin.send("PUT", address, input())).toMatchObject(isMerged);
    // who says that it is another record makes one
    expect(await admin.post(path, input({ externalId: loser.externalId }))).toMatchObject({ status: 201 });
    expect(await admin.send("PUT", address, input())).toMatchObject({ status: 200 });
  });

  test("of two merges of one record one is done; a chain of them leads to its end", async () => {
    const [one, two, three] = (await Promise.all([make(), make(), make()])) as [Body, Body, Body];
    const answers = await Promise.all(
      [one, two].map((winner) => admin.post(`${path}/${winner.id}/merge`, { loserIds: [three.id] })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 410]);
    const [end, middle] = answers[0]?.status === 200 ? [two, one] : [one, two];
    expect(await admin.post(`${path}/${end.id}/merge`, { loserIds: [middle.id] })).toMatchObject({
      status: 200,
    });
    expect(await admin.get(`${path}/${three.id}`)).toMatchObject({
      status: 410,
      body: { mergedInto: end.id },
    });
    expect(await admin.post(`${path}/${end.id}/merge`, { loserIds: [end.id] })).toMatchObject({
      status: 422,
    });
    expect(await rep.post(`${path}/${end.id}/merge`, { loserIds: [one.id] })).toMatchObject({ status: 403 });
    const theirs = bodyOf(await stranger.post(path, input()));
    expect(await admin.post(`${path}/${end.id}/merge`, { loserIds: [theirs.id] })).toMatchObject({
      status: 404,
    });
  });

  const references = Object.entries(kind.fields).flatMap(([key, { refersTo = "", setBy }]) =>
    setBy === "caller" && kinds.has(refersTo) ? [[key, kinds.get(refersTo)?.plural ?? ""]] : [],
  );
  if (references.length === 0) return;
  test.each(references)(
    "refer by %s to %s that are there and seen, and to no others",
    async (key, others) => {
      const [theirs, ours, gone] = await Promise.all(
        [stranger, admin, admin].map(
          async (by) => bodyOf(await by.post(`/${others}`, { name: unique() })).id,
        ),
      );
      await admin.send("DELETE", `/${others}/${gone}`);
      expect((await make({ [key]: ours }))[key]).toBe(ours);
      for (const wrong of [theirs, gone, "01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f"])
        expect(await admin.post(path, input({ [key]: wrong }))).toMatchObject({
          status: 422,
          body: { errors: [{ path: key, code: "not_found" }] },
        });
      expect(await rep.post(path, input({ [key]: ours }))).toMatchObject({ status: 422 });
      const items = [ours, theirs, gone, String(ours).toUpperCase()].map((id) => input({ [key]: id }));
      const { results } = (await admin.post(`${path}/bulk`, { items })).body as {
        results: { status: number; error?: { errors: object[] } }[];
      };
      expect(results.map(({ status }) => status)).toEqual([201, 422, 422, 201]);
      expect(results[1]?.error?.errors).toMatchObject([{ path: key, code: "not_found" }]);
      const moved = await make({ [key]: ours });
      await admin.send("PATCH", `${path}/${moved.id}`, { [key]: null });
      await admin.send("DELETE", `/${others}/${ours}`);
      expect(await admin.post(`${path}/${moved.id}/revert`, { version: 1 })).toMatchObject({
        status: 422,
        body: { errors: [{ path: key, code: "not_found" }] },
      });
    },
  );
});

test("no company stands above itself, whatever puts it there, also when two are put above each other at once", async () => {
  const make = async (name: string, parentId?: string) =>
    bodyOf(await admin.post("/companies", { name, ...(parentId ? { parentId } : {}), externalId: unique() }));
  const top = await make("Top");
  const middle = await make("Middle", top.id);
  const low = await make("Low", middle.id);
  const loop = { status: 422, body: { errors: [{ path: "parentId", code: "loop" }] } };
  for (const parentId of [top.id, middle.id, low.id])
    expect(await admin.send("PATCH", `/companies/${top.id}`, { parentId })).toMatchObject(loop);
  expect(
    await admin.send("PUT", `/companies/by-external-id/${String(top.externalId)}`, { parentId: low.id }),
  ).toMatchObject(loop);
  const [one, two] = [await make("One"), await make("Two")];
  const answers = await Promise.all(
    [
      [one, two],
      [two, one],
    ].map(([of, parent]) => admin.send("PATCH", `/companies/${of?.id}`, { parentId: parent?.id })),
  );
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 422]);
  // what is above becomes part of what is below
  const merged = await admin.post(`/companies/${low.id}/merge`, { loserIds: [top.id] });
  expect(merged).toMatchObject({ status: 200, body: { record: { parentId: null } } });
  expect((await admin.get(`/companies/${middle.id}`)).body).toMatchObject({ parentId: low.id });
});

test("what refers to a merged company refers to the one that is left, and back again", async () => {
  const company = async () => bodyOf(await admin.post("/companies", { name: unique() }));
  const [winner, loser] = [await company(), await company()];
  const person = bodyOf(await admin.post("/contacts", { lastName: unique(), companyId: loser.id }));
  const daughter = bodyOf(await admin.post("/companies", { name: unique(), parentId: loser.id }));
  const lead = bodyOf(await admin.post("/leads", { lastName: unique(), companyName: loser.name }));
  const { deal } = (await admin.post(`/leads/${lead.id}/convert`, { createDeal: true })).body as {
    deal: Body;
  };
  expect(deal.companyId).toBe(loser.id);
  await admin.send("PATCH", `/companies/${winner.id}`, { parentId: loser.id });
  const merged = await admin.post(`/companies/${winner.id}/merge`, { loserIds: [loser.id] });
  expect(merged).toMatchObject({ status: 200, body: { record: { parentId: null } } });
  const referring = async () => [
    bodyOf(await admin.get(`/contacts/${person.id}`)).companyId,
    bodyOf(await admin.get(`/companies/${daughter.id}`)).parentId,
  ];
  expect(await referring()).toEqual([winner.id, winner.id]);
  expect(listOf(await admin.get(`/contacts/${person.id}/history`))[0]).toMatchObject({
    version: 2,
    changes: { companyId: [loser.id, winner.id] },
  });
  const { mergeId } = merged.body as { mergeId: string };
  expect(await admin.post(`/merges/${mergeId}/undo`)).toMatchObject({ status: 200 });
  expect(await referring()).toEqual([loser.id, loser.id]);
  expect(bodyOf(await admin.get(`/companies/${winner.id}`)).parentId).toBe(loser.id);
});

test("money comes back to the last digit, of currencies with none, two and three", async () => {
  const amounts = { JPY: ["0", "1234567890123456"], INR: ["0.05", "1234567890123456.78"], KWD: ["12.345"] };
  for (const [currency, texts] of Object.entries(amounts))
    for (const amount of texts) {
      const annualRevenue = { amount, currency };
      const made = await admin.post("/companies", { name: "Rich", annualRevenue });
      expect(made).toMatchObject({ status: 201, body: { annualRevenue } });
      const [listed] = listOf(await admin.get("/companies?sort=-createdAt&limit=1&fields=annualRevenue"));
      expect(listed).toEqual({ id: bodyOf(made).id, annualRevenue });
    }
  const annualRevenue = { amount: "1234567890123456.789", currency: "KWD" };
  const tooLong = await admin.post("/companies", { name: "Rich", annualRevenue });
  expect(tooLong).toMatchObject({ status: 422, body: { errors: [{ path: "annualRevenue.amount" }] } });
});

test("what referred to a merged lead refers to the winner, which is converted where the loser was; undone, neither", async () => {
  const lead = async () => bodyOf(await admin.post("/leads", { lastName: unique() }));
  const [winner, loser] = [await lead(), await lead()];
  const { contact } = (await admin.post(`/leads/${loser.id}/convert`, {})).body as { contact: Body };
  const remindAt = new Date(Date.now() + 86_400_000).toISOString();
  expect(await admin.post(`/leads/${loser.id}/reminders`, { remindAt, note: "Call" })).toMatchObject({
    status: 201,
  });
  const referring = async () => [
    bodyOf(await admin.get(`/contacts/${contact.id}`)).leadId,
    listOf(await admin.get(`/leads/${winner.id}/reminders`)).length,
    bodyOf(await admin.get(`/leads/${winner.id}`)).status,
  ];
  const merged = await admin.post(`/leads/${winner.id}/merge`, { loserIds: [loser.id] });
  expect(merged).toMatchObject({ status: 200, body: { record: { status: "converted" } } });
  expect(await referring()).toEqual([winner.id, 1, "converted"]);
  const { mergeId } = merged.body as { mergeId: string };
  expect(await admin.post(`/merges/${mergeId}/undo`)).toMatchObject({ status: 200 });
  expect(await referring()).toEqual([loser.id, 0, "new"]);
  expect(await admin.post(`/leads/${winner.id}/convert`, {})).toMatchObject({ status: 200 });
  expect(await admin.post(`/leads/${winner.id}/merge`, { loserIds: [loser.id] })).toMatchObject({
    status: 409,
    body: { code: "BOTH_CONVERTED" },
  });
});
