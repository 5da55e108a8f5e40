import { beforeAll, describe, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";

import { bodyOf, kindsThat, listOf, recordWorld, unique, type Body } from "../support/records.ts";

let admin: Client;
let rep: Client;
let stranger: Client;
beforeAll(async () => {
  ({ admin, rep, stranger } = await recordWorld("Merges"));
});

describe.each(kindsThat("merge"))("%s", (plural, kind) => {
  const path = `/${plural}`;
  const [main = ""] = kind.title;
  const input = (more: Record<string, unknown> = {}) => ({ [main]: `Name ${unique()}`, ...more });
  const make = async (more: Record<string, unknown> = {}, by = admin): Promise<Body> => {
    const answer = await by.post(path, input(more));
    expect(answer).toMatchObject({ status: 201 });
    return bodyOf(answer);
  };

  test("are merged: what the winner lacks it gets, what referred to the losers refers to it; and all that is undone", async () => {
    const keyed = Object.entries(kind.fields).find(([, { matches }]) => matches)?.[0] ?? "externalId";
    const winner = await make({ tags: ["a"], customFields: { a: 1 } });
    const loser = await make({
      ...{ externalId: unique(), tags: ["b"], customFields: { a: 2, b: 2 } },
      ...(keyed !== "externalId" && {
        [keyed]: keyed === "email" ? `${unique()}@example.com` : "merged.example",
      }),
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

  if ("consent" in kind.fields)
    test("that are merged keep no consent that either has withdrawn", async () => {
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
    // nobody makes another of it, until a record is said to have it
    expect(await admin.post(path, input({ externalId: loser.externalId }))).toMatchObject(isMerged);
    const other = bodyOf(await admin.post(path, input()));
    const taken = { externalId: loser.externalId };
    expect(await admin.send("PATCH", `${path}/${other.id}`, taken)).toMatchObject({ status: 200 });
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
