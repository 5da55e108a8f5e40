import { beforeAll, expect, test } from "@jest/globals";
import { inspect } from "../support/database.ts";
import { makeOrganization, shardUrl, type TestOrganization } from "../support/leads.ts";
import { eventually } from "../support/eventually.ts";
import { shareNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let org: TestOrganization<"rep" | "viewer">;
beforeAll(async () => {
  node = await shareNode();
  org = await makeOrganization(node, { rep: "sales_rep", viewer: "viewer" });
});

const soon = (ms: number) => new Date(Date.now() + ms).toISOString();
const find = () =>
  node.broker.call(
    "leads.findDueReminders",
    { scheduledFor: new Date().toISOString() },
    { meta: { role: "system" } },
  );
const given = async (as = org.as("admin")) =>
  (await node.call("events.list", { types: "lead.reminder_due" }, as)).data;

test("a reminder is given once, to whoever set it, though many look for it at once", async () => {
  const lead = await node.call("leads.create", { firstName: "Asha" }, org.as("admin"));
  const due = await node.call(
    "leads.createReminder",
    { id: lead.id, remindAt: soon(-1000), note: "call back" },
    org.as("admin"),
  );
  await node.call("leads.createReminder", { id: lead.id, remindAt: soon(3_600_000) }, org.as("admin"));
  await Promise.all([find(), find(), find()]);
  const giving = { meta: { organizationId: org.id, role: "system" } };
  await Promise.all(Array.from({ length: 5 }, () => node.broker.call("leads.giveReminders", {}, giving)));
  await eventually(async () => (await given()).length > 0);
  await find();
  expect(await given()).toMatchObject([
    { entity: { kind: "lead", id: lead.id }, data: { reminder: { id: due.id, note: "call back" } } },
  ]);
  const { data } = await node.call("leads.listReminders", { id: lead.id }, org.as("viewer"));
  expect(data.map(({ remindedAt }) => remindedAt !== null)).toEqual([true, false]);
});

test("a reminder that was taken back, or whose lead was deleted, is not given", async () => {
  const before = (await given()).length;
  const [kept, deleted] = [
    await node.call("leads.create", { firstName: "Kept" }, org.as("admin")),
    await node.call("leads.create", { firstName: "Gone" }, org.as("admin")),
  ];
  const taken = await node.call(
    "leads.createReminder",
    { id: kept.id, remindAt: soon(-1000) },
    org.as("admin"),
  );
  await node.call("leads.createReminder", { id: deleted.id, remindAt: soon(-1000) }, org.as("admin"));
  await node.call("leads.removeReminder", { id: kept.id, reminderId: taken.id }, org.as("admin"));
  await node.call("leads.remove", { id: deleted.id }, org.as("admin"));
  await find();
  await eventually(async () => {
    const waiting = await inspect(
      shardUrl(node, org.id),
      "SELECT FROM lead_reminders WHERE reminded_at IS NULL AND remind_at < now()",
    );
    return waiting.length === 0;
  });
  expect(await given()).toHaveLength(before);
  await expect(
    node.call("leads.removeReminder", { id: kept.id, reminderId: taken.id }, org.as("admin")),
  ).rejects.toMatchObject({ type: "REMINDER_NOT_FOUND" });
});

test("who may not see a lead cannot be reminded of it, and sees nobody else's reminders of it", async () => {
  const theirs = await node.call("leads.create", { firstName: "Not the rep's" }, org.as("admin"));
  const own = await node.call("leads.create", { firstName: "The rep's" }, org.as("rep"));
  const ask = (id: string) => node.call("leads.createReminder", { id, remindAt: soon(-1000) }, org.as("rep"));
  await expect(ask(theirs.id)).rejects.toMatchObject({ type: "LEAD_NOT_FOUND" });
  await ask(own.id);
  await find();
  await eventually(async () => (await given(org.as("rep"))).length === 1);
  const stranger = await makeOrganization(node);
  await expect(node.call("leads.listReminders", { id: own.id }, stranger.as("admin"))).rejects.toMatchObject({
    code: 404,
  });
});
