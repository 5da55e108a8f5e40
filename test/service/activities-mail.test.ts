import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { systemMeta } from "../../mixins/access/principal.ts";
import { eventually } from "../support/eventually.ts";
import { metaOf, newEmail, password } from "../support/identity.ts";
import { startTestNode, type TestNode } from "../support/node.ts";
import { MailServer } from "../support/smtp.ts";

let node: TestNode;
let mails: MailServer;
beforeAll(async () => {
  mails = await MailServer.listen();
  node = await startTestNode({ SERVICES: "identity,activities,worker", SMTP_URL: mails.url });
});
afterAll(async () => {
  await node.stop();
  await mails.close();
});

test("a reminder is mailed once to whom the activity is assigned, unless it is done by then", async () => {
  const email = newEmail();
  const signedIn = await node.call("identity.register", { organizationName: "Mail", name: "Asha", email, password }); // prettier-ignore
  const meta = metaOf(signedIn);
  const reminders = [{ remindAt: new Date(Date.now() - 1_000).toISOString() }];
  const subject = "Ask www.example.com about looms";
  const done = await node.call("activities.create", { subject: "Done", reminders }, meta);
  await node.call("activities.complete", { id: done.id }, meta);
  const dueAt = "2026-12-01T04:30:00.000Z";
  const { id } = await node.call("activities.create", { type: "call", subject, dueAt, reminders }, meta);
  const give = () =>
    node.broker.call("activities.giveReminders", {}, { meta: systemMeta(signedIn.organization.id) });
  await Promise.all([give(), give()]);
  const sent = () => mails.received.filter((mail) => mail.to === email && mail.text.includes("reminded"));
  const [mail] = await eventually(() => sent().length > 0 && sent());
  expect(mail?.text).toContain('You asked to be reminded of the call "Ask www example com about looms".');
  await give();
  expect(await node.call("activities.get", { id }, meta)).toMatchObject({
    reminders: [{ remindedAt: expect.any(String) as unknown }],
  });
  expect(sent()).toHaveLength(1);
});
