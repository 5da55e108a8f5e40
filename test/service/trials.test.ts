import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { inspect } from "../support/database.ts";
import { makeOrganization } from "../support/leads.ts";
import { eventually } from "../support/eventually.ts";
import { startTestNode, type TestNode } from "../support/node.ts";

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode({ SERVICES: "identity,events,service:worker" });
});
afterAll(() => node.stop());

const setTrial = (id: string, plan: string, ends: string) =>
  inspect(
    node.databases[0] as string,
    "UPDATE control.organizations SET plan = $2, trial_ends_at = now() + $3::interval WHERE id = $1",
    [id, plan, ends],
  );
const expire = () =>
  node.broker.call(
    "identity.expireTrials",
    { scheduledFor: new Date().toISOString() },
    { meta: { role: "system" } },
  );

test("a trial that is over ends, once, and the organization's feed tells; others stay as they are", async () => {
  const [over, running, paying] = [
    await makeOrganization(node),
    await makeOrganization(node),
    await makeOrganization(node),
  ];
  await setTrial(over.id, "trial", "-1 second");
  await setTrial(running.id, "trial", "1 minute");
  await setTrial(paying.id, "pro", "-1 day");
  await Promise.all([expire(), expire()]);
  await expire();
  const planOf = async (organization: typeof over) => {
    const { plan, version } = await node.call("identity.getOrganization", {}, organization.as("admin"));
    return [plan, version];
  };
  expect(await Promise.all([over, running, paying].map(planOf))).toEqual([
    ["expired", 2],
    ["trial", 1],
    ["pro", 1],
  ]);
  const feed = () => node.call("events.list", {}, over.as("admin"));
  await eventually(async () => (await feed()).data.length > 0);
  await node.broker.call(
    "identity.announceTrialEnd",
    { version: 2, trialEndedAt: new Date().toISOString() },
    { meta: { organizationId: over.id, role: "system" } },
  );
  expect((await feed()).data).toMatchObject([
    {
      type: "organization.trial_ended",
      entity: { kind: "organization", id: over.id },
      data: { plan: "expired" },
    },
  ]);
});
