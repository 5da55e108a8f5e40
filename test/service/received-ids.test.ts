import { beforeAll, expect, test } from "@jest/globals";
import { v7 as uuidv7 } from "uuid";
import type { Database } from "../../mixins/database/database.ts";
import { acceptOnce } from "../../mixins/outbound/signed-request.ts";
import { inspect } from "../support/database.ts";
import { shardUrl } from "../support/leads.ts";
import { eventually } from "../support/eventually.ts";
import { shareNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let database: Database;
beforeAll(async () => {
  node = await shareNode();
  ({ database } = node.runtime);
});

const insertCompany = (organizationId: string) => ({
  text: `INSERT INTO companies (id, organization_id, name, created_at, updated_at)
         VALUES (gen_random_uuid(), $1, 'C', now(), now())`,
  values: [organizationId],
});
/** What a handler does with a message: accepts it, then writes. */
const receive = (organizationId: string, id: string, source = "channel:1") =>
  database.transaction({ organizationId }, async (tx) => {
    await acceptOnce(tx, source, id);
    await tx.execute(insertCompany(organizationId));
    return "accepted";
  });
const companies = async (organizationId: string) =>
  (
    await inspect(shardUrl(node, organizationId), "SELECT FROM companies WHERE organization_id = $1", [
      organizationId,
    ])
  ).length;
const refused = { code: 409, type: "ALREADY_RECEIVED" };

test("of 50 deliveries of a message at once one has an effect, and 49 are refused", async () => {
  const organizationId = uuidv7();
  const outcomes = await Promise.all(
    Array.from({ length: 50 }, () =>
      receive(organizationId, "msg_1").catch((error: { type: string }) => error.type),
    ),
  );
  expect(outcomes.filter((outcome) => outcome === "accepted")).toHaveLength(1);
  expect(outcomes.filter((outcome) => outcome === refused.type)).toHaveLength(49);
  expect(await companies(organizationId)).toBe(1);
});

test("a message whose transaction was undone may come again, also when the second waited for the first", async () => {
  const organizationId = uuidv7();
  let fail = (): void => undefined;
  const gate = new Promise<void>((done) => (fail = done));
  let hasBegun = false;
  const first = database.transaction({ organizationId }, async (tx) => {
    await acceptOnce(tx, "channel:1", "msg_1");
    hasBegun = true;
    await gate;
    throw new Error("the handler failed");
  });
  await eventually(() => hasBegun);
  const second = receive(organizationId, "msg_1");
  await eventually(
    async () =>
      (
        await inspect(
          shardUrl(node, organizationId),
          "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
      ).length === 1,
  );
  fail();
  await expect(first).rejects.toThrow("the handler failed");
  expect(await second).toBe("accepted");
  await expect(receive(organizationId, "msg_1")).rejects.toMatchObject(refused);
});

test("the same id of another source or organization is another message", async () => {
  const [mine, theirs] = [uuidv7(), uuidv7()];
  for (const [organizationId, source] of [
    [mine, "channel:1"],
    [mine, "channel:2"],
    [theirs, "channel:1"],
  ] as const)
    // prettier-ignore
    expect(await receive(organizationId, "msg_1", source)).toBe("accepted");
});

test("ids are forgotten after 24 hours", async () => {
  const organizationId = uuidv7();
  const shard = shardUrl(node, organizationId);
  for (const [id, age] of [
    ["young", "23 hours 59 minutes"],
    ["old", "24 hours 1 minute"],
  ])
    // prettier-ignore
    await inspect(
      shard,
      "INSERT INTO received_ids (organization_id, source, id, received_at) VALUES ($1, 'channel:1', $2, now() - $3::interval)",
      [organizationId, id, age],
    );
  await node.broker.call(
    "events.cleanUp",
    { scheduledFor: new Date().toISOString() },
    { meta: { role: "system" } },
  );
  await expect(receive(organizationId, "young")).rejects.toMatchObject(refused);
  expect(await receive(organizationId, "old")).toBe("accepted");
});
