import { beforeAll, describe, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { bodyOf, kindsThat, listOf, made, recordWorld, type Body } from "../support/records.ts";

let admin: Client;
let rep: Client;
let other: Client;
let stranger: Client;
beforeAll(async () => {
  ({ admin, rep, stranger } = await recordWorld("Comments"));
  other = await admin.addUser("sales_rep");
});

type Event = { type: string; entity: { kind: string; id: string }; data: { comment: Body } };
const toldTo = async (client: Client, id: string) =>
  (listOf(await client.get("/events?limit=200&types=comment.*")) as unknown as Event[]).flatMap((event) =>
    event.entity.id === id ? [event.type] : [],
  );

describe.each(kindsThat("createComment"))("comments on %s", (plural, kind) => {
  test("are kept, listed, changed and deleted by whoever wrote them", async () => {
    const { id } = await made(admin, `/${plural}`, kind.example);
    const path = `/${plural}/${id}/comments`;
    const first = await made(admin, path, { body: "First" });
    expect(first).toMatchObject({
      ...{ kind: kind.name, recordId: id, authorId: admin.userId, body: "First", mentions: [], version: 1 },
    });
    const second = await made(admin, path, { body: "Second" });
    const page = await admin.get(`${path}?limit=1`);
    expect(listOf(page)).toEqual([first]);
    const { nextCursor } = (page.body as { page: { nextCursor: string } }).page;
    expect(listOf(await admin.get(`${path}?limit=1&cursor=${nextCursor}`))).toEqual([second]);

    const stale = await admin.send("PATCH", `${path}/${first.id}`, { body: "x" }, { "If-Match": '"7"' });
    expect(stale.status).toBe(412);
    expect(await admin.send("PATCH", `${path}/${first.id}`, { body: "Changed" })).toMatchObject({
      status: 200,
      body: { body: "Changed", version: 2 },
    });
    expect((await admin.send("DELETE", `${path}/${second.id}`)).status).toBe(204);
    expect(listOf(await admin.get(path))).toMatchObject([{ id: first.id, body: "Changed" }]);
    expect(await stranger.get(path)).toMatchObject({ status: 404 });
    expect(await stranger.post(path, { body: "x" })).toMatchObject({ status: 404 });
    expect(await admin.post(path, { body: "" })).toMatchObject({ status: 422 });
    await eventually(async () => (await toldTo(admin, id)).length === 4);
  });
});

test("a comment is seen by whoever sees the record, and changed by nobody but its author", async () => {
  const { id } = await made(admin, "/contacts", { firstName: "Asha", assignedTo: rep.userId });
  const path = `/contacts/${id}/comments`;
  const comment = await made(admin, path, { body: "Call her" });
  expect(listOf(await rep.get(path))).toEqual([comment]);
  expect((await other.get(path)).status).toBe(404);
  for (const method of ["PATCH", "DELETE"])
    expect(
      await rep.send(method, `${path}/${comment.id}`, method === "PATCH" ? { body: "x" } : undefined),
    ).toMatchObject({
      status: 403,
      body: { code: "NOT_YOUR_COMMENT" },
    });
  await eventually(async () => (await toldTo(rep, id)).length === 1);
  expect(await toldTo(other, id)).toEqual([]);
  await admin.send("DELETE", `/contacts/${id}`);
  expect((await rep.get(path)).status).toBe(404);
});

test("whom a comment mentions sees the record, and is told once; who does not is refused by name", async () => {
  const { id } = await made(admin, "/contacts", { firstName: "Asha", assignedTo: rep.userId });
  const path = `/contacts/${id}/comments`;
  const mentions = [rep.userId, rep.userId];
  const comment = await made(admin, path, { body: "@rep please", mentions });
  expect(comment.mentions).toEqual([rep.userId]);
  await eventually(async () => (await toldTo(rep, id)).length === 2);
  expect(await toldTo(rep, id)).toEqual(["comment.created", "comment.mentioned"]);
  await admin.send("PATCH", `${path}/${comment.id}`, { mentions: [rep.userId], body: "@rep please do" });
  await eventually(async () => (await toldTo(rep, id)).length === 3);
  expect(await toldTo(rep, id)).toEqual(["comment.created", "comment.mentioned", "comment.updated"]);
  for (const userId of [other.userId, stranger.userId])
    expect(await admin.post(path, { body: "x", mentions: [rep.userId, userId] })).toMatchObject({
      status: 422,
      body: { errors: [{ path: "mentions.1", code: "not_found" }] },
    });
});

test("comments go with the winner of a merge, and come back when it is undone", async () => {
  const winner = await made(admin, "/companies", { name: "Winner" });
  const loser = await made(admin, "/companies", { name: "Loser" });
  const comment = await made(admin, `/companies/${loser.id}/comments`, { body: "Of the loser" });
  const { mergeId } = (await admin.post(`/companies/${winner.id}/merge`, { loserIds: [loser.id] })).body as {
    mergeId: string;
  };
  expect(listOf(await admin.get(`/companies/${winner.id}/comments`))).toMatchObject([{ id: comment.id }]);
  expect((await admin.get(`/companies/${loser.id}/comments`)).status).toBe(410);
  await admin.post(`/merges/${mergeId}/undo`, {});
  expect(listOf(await admin.get(`/companies/${loser.id}/comments`)).map(({ id }) => id)).toEqual([
    comment.id,
  ]);
  expect(bodyOf(await admin.get(`/companies/${winner.id}/comments`))).toMatchObject({ data: [] });
});
