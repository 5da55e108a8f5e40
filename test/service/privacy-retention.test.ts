import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { Meta } from "../../mixins/contract/meta.ts";
import { inspect } from "../support/database.ts";
import { ended, upload } from "../support/imports.ts";
import { makeOrganization, shardUrl, type TestOrganization } from "../support/leads.ts";
import { eventually } from "../support/eventually.ts";
import { startTestNode, type TestNode } from "../support/node.ts";
import { countsOf } from "../support/privacy.ts";

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode({ SERVICES: "core", EVENTS_RETENTION_DAYS: "200" });
});
afterAll(() => node.stop());

const refusal = (code: number, type: string) => expect.objectContaining({ code, type }) as unknown;
const runDaily = () =>
  node.broker.call(
    "privacy.findRetention",
    { scheduledFor: new Date().toISOString() },
    { meta: { role: "system" } },
  );
const receiptsOf = async (meta: Meta) =>
  (await node.call("privacy.listRequests", { filter: { kind: "retention" } }, { ...meta })).data;

describe("the settings", () => {
  let organization: TestOrganization;
  beforeAll(async () => {
    organization = await makeOrganization(node);
  });
  const set = (days: Record<string, number | null>) =>
    node.call("privacy.setRetention", { days }, organization.as("admin"));
  const get = async () => {
    const { data } = await node.call("privacy.getRetention", {}, organization.as("admin"));
    return Object.fromEntries(data.map(({ part, days }) => [part, days]));
  };

  test("begin with 7 years, and for events and the audit log with what the installation keeps", async () => {
    expect(await get()).toEqual({
      "leads.leads": 2555,
      "imports.imports": 2555,
      "events.events": 200,
      "identity.audit-log": 400,
    });
  });

  test("are changed one by one, and null is the default again", async () => {
    await set({ "leads.leads": 30, "imports.imports": 90 });
    expect(await set({ "imports.imports": null })).toMatchObject({ days: { "leads.leads": 30 }, version: 2 });
    expect(await get()).toMatchObject({ "leads.leads": 30, "imports.imports": 2555 });
  });

  test.each([
    ["leads.leads", 29],
    ["events.events", 201],
    ["identity.audit-log", 401],
    ["leads.contacts", 100],
  ])("refuse %s kept for %i days", async (part, days) => {
    await expect(set({ [part]: days })).rejects.toEqual(refusal(422, "VALIDATION_FAILED"));
  });
});

test("what has served its time goes, what is worked with stays, and a receipt tells", async () => {
  const [mine, theirs] = [await makeOrganization(node), await makeOrganization(node)];
  const meta = () => mine.as("admin");
  const url = shardUrl(node, mine.id);
  await node.call(
    "privacy.setRetention",
    { days: { "leads.leads": 30, "imports.imports": 30, "events.events": 30, "identity.audit-log": 30 } },
    meta(),
  );
  const make = (organization: typeof mine, email: string) =>
    node.call("leads.create", { email }, organization.as("admin"));
  const [closed, open, deleted, fresh, others] = [
    await make(mine, "closed@example.org"),
    await make(mine, "open@example.org"),
    await make(mine, "deleted@example.org"),
    await make(mine, "fresh@example.org"),
    await make(theirs, "theirs@example.org"),
  ];
  await node.call("leads.convert", { id: closed.id }, meta());
  await node.call("leads.remove", { id: deleted.id }, meta());
  await node.call("leads.remove", { id: fresh.id }, meta());
  await node.call("leads.remove", { id: others.id }, theirs.as("admin"));
  const { id: importId } = await upload(node, meta(), "email\nbad\n");
  await ended(node, meta(), importId);
  await inspect(url, "UPDATE leads SET updated_at = now() - interval '31 days' WHERE id <> $1", [fresh.id]);
  await inspect(
    shardUrl(node, theirs.id),
    "UPDATE leads SET updated_at = now() - interval '31 days' WHERE id = $1",
    [others.id],
  );
  await inspect(url, "UPDATE imports SET finished_at = now() - interval '31 days'");
  await eventually(async () => (await node.call("events.list", { limit: 1 }, meta())).head > 8);
  // the first five events of the feed are old
  await inspect(
    url,
    "UPDATE events SET occurred_at = now() - interval '31 days' WHERE organization_id = $1 AND seq <= 5",
    [mine.id],
  );

  await runDaily();
  const receipt = await eventually(async () => {
    const [found] = await receiptsOf(meta());
    return found?.status === "completed" && found;
  });
  expect(countsOf(receipt)).toEqual({
    "leads.leads": 2,
    "imports.imports": 1,
    "events.events": 5,
  });
  const left = await inspect<{ id: string }>(url, "SELECT id FROM leads WHERE organization_id = $1", [
    mine.id,
  ]);
  expect(left.map(({ id }) => id).sort()).toEqual([open.id, fresh.id].sort());
  expect(await inspect(url, "SELECT FROM import_errors WHERE organization_id = $1", [mine.id])).toEqual([]);
  const feed = await node.call("events.list", { limit: 3 }, meta());
  expect(feed).toMatchObject({ gap: true, data: [{ seq: 6 }, { seq: 7 }, { seq: 8 }] });
  const tombstones = await inspect<{ data: { erased?: boolean } }>(
    url,
    "SELECT data FROM events WHERE entity_id = $1",
    [deleted.id],
  );
  expect(tombstones.filter(({ data }) => data.erased === true)).toHaveLength(tombstones.length);
  expect(JSON.stringify(tombstones)).not.toContain("deleted@example.org");
  const contact = await inspect(url, "SELECT lead_id FROM contacts WHERE email = 'closed@example.org'");
  expect(contact).toEqual([{ lead_id: null }]);

  // they keep theirs for 7 years, and get no receipt of nothing
  await eventually(async () => (await receiptsOf(theirs.as("admin"))).length === 0);
});

test("events that a listener has not heard stay, however old", async () => {
  const organization = await makeOrganization(node);
  const meta = () => organization.as("admin");
  const url = shardUrl(node, organization.id);
  await node.call("privacy.setRetention", { days: { "events.events": 30 } }, meta());
  for (let at = 0; at < 3; at++) await node.call("leads.create", { email: `l${at}@example.org` }, meta());
  await eventually(async () => (await node.call("events.list", {}, meta())).head === 4);
  await inspect(
    url,
    "UPDATE events SET occurred_at = now() - interval '40 days' WHERE organization_id = $1",
    [organization.id],
  );
  await inspect(
    url,
    "INSERT INTO listener_cursors (organization_id, listener, seq, target, is_scheduled) VALUES ($1, 'x.y', 2, 4, false)",
    [organization.id],
  );
  await runDaily();
  await eventually(async () => (await receiptsOf(meta()))[0]?.status === "completed");
  const kept = await inspect<{ seq: string }>(
    url,
    "SELECT seq FROM events WHERE organization_id = $1 AND occurred_at < now() - interval '1 day' ORDER BY seq",
    [organization.id],
  );
  expect(kept.map(({ seq }) => Number(seq))).toEqual([3, 4]);
});
