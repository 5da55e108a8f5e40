import { beforeAll, expect, test } from "@jest/globals";
import { systemMeta } from "../../mixins/access/principal.ts";
import type { Client } from "../support/client.ts";
import { inspect } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { shardUrl } from "../support/leads.ts";
import { bodyOf, listOf, made, recordWorld, unique, type Body } from "../support/records.ts";
import type { TestNode } from "../support/node.ts";

let node: TestNode;
let admin: Client;
let rep: Client;
let stranger: Client;
let other: Client;
beforeAll(async () => {
  ({ node, admin, rep, stranger } = await recordWorld("Activities"));
  other = await admin.addUser("sales_rep");
});

interface EventBody {
  type: string;
  entity: { kind: string; id: string };
  data: { record: Body; remindAt: string };
}
const eventsOf = async (client: Client, types: string, id: string) =>
  (listOf(await client.get(`/events?limit=200&types=${types}`)) as unknown as EventBody[]).filter(
    ({ entity }) => entity.id === id,
  );
const soon = (ms: number) => new Date(Date.now() + ms).toISOString();
const find = () =>
  node.broker.call(
    "activities.findDueReminders",
    { scheduledFor: new Date().toISOString() },
    { meta: { role: "system" } },
  );
const idsOf = async (client: Client, query: string) =>
  listOf(await client.get(`/activities?${query}`)).map(({ id }) => id);
const aboutContact = (contact: Body) => ({ relatedTo: { kind: "contact", id: contact.id } });

test("an activity is somebody's who makes it, unless it is given to somebody or to nobody", async () => {
  const mine = await made(admin, "/activities", { subject: "Mine" });
  expect(mine).toMatchObject({
    ...{ type: "task", assignedTo: admin.userId, relatedTo: null, dueAt: null, completedAt: null },
    ...{ reminders: [], version: 1 },
  });
  expect(mine).not.toHaveProperty("nextRemindAt");
  expect(await made(admin, "/activities", { subject: "His", assignedTo: rep.userId })).toMatchObject({
    assignedTo: rep.userId,
  });
  expect(await made(admin, "/activities", { subject: "Nobody's", assignedTo: null })).toMatchObject({
    assignedTo: null,
  });
});

test("what is due is listed by when, and what is done is not", async () => {
  const subject = unique();
  const make = (dueAt: string | null, more = {}) => made(rep, "/activities", { subject, dueAt, ...more });
  const late = await make("2026-01-03T10:00:00Z");
  const first = await make("1900-01-01T00:00:00Z");
  await make("9999-12-31T23:59:59Z");
  const done = await make("2026-01-01T10:00:00Z");
  await make(null);
  expect(bodyOf(await rep.post(`/activities/${done.id}/complete`, {}))).toMatchObject({
    completedAt: expect.any(String) as unknown as string,
    version: 2,
  });
  const due = `q=${subject}&filter[dueAt][lt]=2026-06-01&filter[completedAt][isnull]=true&sort=dueAt`;
  expect(await idsOf(rep, due)).toEqual([first.id, late.id]);
});

test("an activity that is done stays as it is when it is completed again", async () => {
  const call = await made(rep, "/activities", { type: "call", subject: "Once" });
  const answers = await Promise.all([1, 2, 3].map(() => rep.post(`/activities/${call.id}/complete`, {})));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  expect(bodyOf(await rep.get(`/activities/${call.id}`)).version).toBe(2);
  await eventually(async () => (await eventsOf(rep, "activity.completed", call.id)).length > 0);
  expect(await eventsOf(rep, "activity.*", call.id)).toHaveLength(2);
  expect((await stranger.post(`/activities/${call.id}/complete`, {})).status).toBe(404);
});

test("an activity names a record that is there and may be seen, of any other kind", async () => {
  const deal = await made(rep, "/deals", { name: unique() });
  const note = await made(rep, "/activities", {
    ...{ type: "note", body: "Wants looms", relatedTo: { kind: "deal", id: deal.id } },
  });
  expect(note).toMatchObject({ relatedTo: { kind: "deal", id: deal.id } });
  const found = await rep.get(`/activities?filter[relatedTo.id]=${deal.id}&include=relatedTo`);
  expect(found.body).toMatchObject({ data: [{ id: note.id }], included: { deal: [{ id: deal.id }] } });
  expect(await idsOf(rep, `filter[relatedTo.kind]=contact&filter[id]=${note.id}`)).toEqual([]);

  const refused = (relatedTo: object, by = rep) => by.post("/activities", { subject: "x", relatedTo });
  const theirs = await made(admin, "/contacts", { firstName: "Hidden" });
  const foreign = await made(stranger, "/contacts", { firstName: "Foreign" });
  for (const id of [theirs.id, foreign.id, deal.id])
    expect(await refused({ kind: "contact", id })).toMatchObject({
      status: 422,
      body: { errors: [{ path: "relatedTo.id", code: "not_found" }] },
    });
  expect(await refused({ kind: "activity", id: note.id })).toMatchObject({
    status: 422,
    body: { errors: [{ path: "relatedTo.kind" }] },
  });
});

test("whoever sees a record sees what is done with it, in lists, counts and the feed, and follows its owner", async () => {
  const subject = unique();
  const contact = await made(admin, "/contacts", { firstName: "Asha", assignedTo: rep.userId });
  const note = await made(admin, "/activities", { type: "note", subject, ...aboutContact(contact) });
  const seen = async (by: Client) => ({
    status: (await by.get(`/activities/${note.id}`)).status,
    listed: await idsOf(by, `q=${subject}`),
    total: (bodyOf(await by.get(`/activities?q=${subject}&count=true`)).page as { total: number }).total,
  });
  const all = { status: 200, listed: [note.id], total: 1 };
  const none = { status: 404, listed: [], total: 0 };
  expect(await seen(rep)).toEqual(all);
  expect(await seen(other)).toEqual(none);
  await eventually(async () => (await eventsOf(rep, "activity.created", note.id)).length === 1);
  expect(await eventsOf(other, "activity.created", note.id)).toEqual([]);

  expect((await admin.send("PATCH", `/contacts/${contact.id}`, { assignedTo: other.userId })).status).toBe(
    200,
  );
  expect([await seen(rep), await seen(other)]).toEqual([none, all]);
  expect((await other.send("PATCH", `/activities/${note.id}`, { body: "His now" })).status).toBe(200);
  await eventually(async () => (await eventsOf(other, "activity.updated", note.id)).length === 1);
  expect(await eventsOf(rep, "activity.updated", note.id)).toEqual([]);
});

test("activities go with the winner of a merge, and come back when it is undone", async () => {
  const winner = await made(admin, "/contacts", { firstName: "W", assignedTo: rep.userId });
  const loser = await made(admin, "/contacts", { firstName: "L", assignedTo: other.userId });
  const call = await made(admin, "/activities", { type: "call", subject: "Moves", ...aboutContact(loser) });
  const merged = await admin.post(`/contacts/${winner.id}/merge`, { loserIds: [loser.id] });
  expect(merged.status).toBe(200);
  expect(bodyOf(await rep.get(`/activities/${call.id}`))).toMatchObject({
    ...aboutContact(winner),
    version: 2,
  });
  expect((await other.get(`/activities/${call.id}`)).status).toBe(404);
  const { mergeId } = merged.body as { mergeId: string };
  expect((await admin.post(`/merges/${mergeId}/undo`, {})).status).toBe(200);
  expect(bodyOf(await other.get(`/activities/${call.id}`))).toMatchObject({
    ...aboutContact(loser),
    version: 3,
  });
  expect((await rep.get(`/activities/${call.id}`)).status).toBe(404);
});

test("a reminder is given once to whom the activity is assigned, though many look for it", async () => {
  const subject = unique();
  const task = await made(admin, "/activities", {
    ...{ subject, assignedTo: rep.userId, dueAt: soon(60_000) },
    reminders: [{ remindAt: soon(3_600_000) }, { remindAt: soon(-1_000) }, { remindAt: soon(-1_000) }],
  });
  const { reminders } = task as unknown as { reminders: { remindAt: string; remindedAt: string | null }[] };
  expect(reminders.map(({ remindedAt }) => remindedAt)).toEqual(reminders.map(() => null));
  await Promise.all([find(), find(), find()]);
  const give = () =>
    node.broker.call("activities.giveReminders", {}, { meta: systemMeta(admin.organizationId) });
  await Promise.all([give(), give(), give()]);
  await eventually(async () => (await eventsOf(rep, "activity.reminder_due", task.id)).length > 0);
  await find();
  await give();
  const given = await eventsOf(rep, "activity.reminder_due", task.id);
  expect(given.map(({ data }) => data.remindAt)).toEqual(
    [...new Set(reminders.map((one) => one.remindAt))].slice(0, -1),
  );
  expect(await eventsOf(other, "activity.reminder_due", task.id)).toEqual([]);
});

const waitingOf = (activities: Body[]) =>
  Promise.all(
    activities.map(async ({ id }) => {
      const sql = "SELECT next_remind_at FROM activities WHERE id = $1";
      return (await inspect(shardUrl(node, admin.organizationId), sql, [id]))[0]
        ?.next_remind_at as Date | null;
    }),
  );

test("nobody is reminded of what is done, deleted or put off; sent back as they were shown, reminders stay", async () => {
  const make = () =>
    made(rep, "/activities", { subject: unique(), reminders: [{ remindAt: soon(3_600_000) }] });
  const [done, deleted, putOff, kept] = [await make(), await make(), await make(), await make()];
  await rep.post(`/activities/${done.id}/complete`, {});
  await rep.send("DELETE", `/activities/${deleted.id}`);
  await rep.send("PATCH", `/activities/${putOff.id}`, { reminders: [{ remindAt: "9999-01-01T00:00:00Z" }] });
  const again = await rep.send("PATCH", `/activities/${kept.id}`, { reminders: kept.reminders });
  expect(bodyOf(again).version).toBe(1);
  const rows = await waitingOf([done, deleted, putOff, kept]);
  expect(rows).toEqual([null, expect.any(Date), new Date("9999-01-01T00:00:00Z"), expect.any(Date)]);
});

test("a timeline is merged from changes, activities and comments, each once over its pages, whatever comes meanwhile", async () => {
  const contact = await made(rep, "/contacts", { firstName: "Asha" });
  const path = `/contacts/${contact.id}`;
  const old = await made(rep, "/activities", {
    ...{ type: "call", subject: "Long ago", completedAt: "2020-01-01T00:00:00Z", ...aboutContact(contact) },
  });
  const comment = await made(rep, `${path}/comments`, { body: "Said" });
  const task = await made(rep, "/activities", { subject: "Now", ...aboutContact(contact) });
  await rep.send("PATCH", path, { lastName: "Rao" });
  type Item = { part: string; type: string; id: string };
  const items: Item[] = [];
  let cursor = "";
  do {
    const answer = await rep.get(`${path}/timeline?limit=1${cursor && `&cursor=${cursor}`}`);
    expect(answer.status).toBe(200);
    items.push(...(listOf(answer) as unknown as Item[]));
    cursor = (answer.body as { page: { nextCursor: string | null } }).page.nextCursor ?? "";
    await made(rep, `${path}/comments`, { body: "Meanwhile" });
  } while (cursor !== "");
  expect(items.map(({ part, type }) => `${part} ${type}`)).toEqual([
    ...["changes contact.updated", "activities activity", "comments comment", "changes contact.created"],
    "activities activity",
  ]);
  expect(items.map(({ id }) => id)).toEqual(expect.arrayContaining([task.id, comment.id, old.id]));
  expect(listOf(await rep.get(`${path}/history`)).map((one) => one.type)).toEqual([
    ...["contact.updated", "contact.created"],
  ]);
  const back = await rep.post(`${path}/revert`, { version: 1 });
  expect(back).toMatchObject({ status: 200, body: { lastName: null, version: 3 } });
  const forged = Buffer.from(JSON.stringify(["x", "1"])).toString("base64url");
  expect((await rep.get(`${path}/timeline?cursor=${forged}`)).status).toBe(400);
});

test("an overview of a contact shows its company, deals and activities, each as far as the caller may see it", async () => {
  const company = await made(admin, "/companies", { name: unique() });
  const contact = await made(admin, "/contacts", {
    ...{ firstName: "Asha", assignedTo: rep.userId, companyId: company.id },
  });
  const own = await made(rep, "/deals", { name: "Own", contactId: contact.id });
  const hidden = await made(admin, "/deals", {
    name: "Hidden",
    contactId: contact.id,
    ownerId: other.userId,
  });
  const call = await made(admin, "/activities", { type: "call", subject: "Call", ...aboutContact(contact) });
  const path = `/contacts/${contact.id}/overview`;
  expect(await admin.get(path)).toMatchObject({
    status: 200,
    body: {
      ...{ contact: { id: contact.id }, company: { id: company.id }, lead: null, hasMore: [] },
      ...{ deals: [{ id: hidden.id }, { id: own.id }], activities: [{ id: call.id }] },
    },
  });
  expect(bodyOf(await rep.get(path))).toMatchObject({
    ...{ company: null, deals: [{ id: own.id }], activities: [{ id: call.id }] },
  });
  expect((await other.get(path)).status).toBe(404);
  expect((await stranger.get(path)).status).toBe(404);
  for (let n = 0; n < 3; n++)
    await admin.post("/activities/bulk", {
      items: Array.from({ length: 7 }, () => ({ subject: "More", ...aboutContact(contact) })),
    });
  const { activities, hasMore } = bodyOf(await rep.get(path)) as unknown as Record<string, unknown[]>;
  expect([activities?.length, hasMore]).toEqual([20, ["activities"]]);
});

test("what recurs is made anew once when it is done, however often that is said, with what belongs to it", async () => {
  const subject = unique();
  const dueAt = "2099-03-02T09:00:00.000Z";
  const task = await made(rep, "/activities", {
    ...{ subject, dueAt, recurrence: "freq=weekly;byday=mo", tags: ["weekly"], customFields: { room: "2" } },
    reminders: [{ remindAt: "2099-03-02T08:45:00.000Z" }],
  });
  expect(task.recurrence).toBe("FREQ=WEEKLY;BYDAY=MO");
  await Promise.all([1, 2, 3].map(() => rep.post(`/activities/${task.id}/complete`, {})));
  await rep.send("PATCH", `/activities/${task.id}`, { completedAt: null });
  await rep.post(`/activities/${task.id}/complete`, {});
  const open = listOf(await rep.get(`/activities?q=${subject}&filter[completedAt][isnull]=true`));
  expect(open).toMatchObject([
    {
      ...{
        dueAt: "2099-03-09T09:00:00.000Z",
        assignedTo: rep.userId,
        tags: ["weekly"],
        customFields: { room: "2" },
      },
      ...{
        completedAt: null,
        reminders: [{ remindAt: "2099-03-09T08:45:00.000Z", remindedAt: null }],
        version: 1,
      },
    },
  ]);
  expect(open).toHaveLength(1);
  expect(await rep.post("/activities", { subject, recurrence: "FREQ=SECONDLY" })).toMatchObject({
    status: 422,
    body: { errors: [{ path: "recurrence", code: "invalid_recurrence" }] },
  });
  const tags = Array.from({ length: 10_000 }, (_one, n) => `t${n}`);
  expect(await rep.post("/activities", { subject, tags })).toMatchObject({
    status: 422,
    body: { errors: [{ path: "tags" }] },
  });
});
