import { beforeAll, expect, test } from "@jest/globals";
import pg from "pg";
import { Client, type Answer } from "../support/client.ts";
import { inspect } from "../support/database.ts";
import { shardUrl } from "../support/leads.ts";
import { eventually } from "../support/eventually.ts";
import { originOf, shareNode, type TestNode } from "../support/node.ts";

// a request that comes again while its first is under way: the first waits for a lock that the test holds
let node: TestNode;
let admin: Client;
let lead: { id: string };
beforeAll(async () => {
  node = await shareNode();
  admin = await new Client(originOf(node)).register("Repetitions");
  lead = (await admin.post("/leads", { lastName: "First" })).body as { id: string };
});

const change = (key: string, body: object = { lastName: "Changed" }) =>
  admin.send("PATCH", `/leads/${lead.id}`, body, { "idempotency-key": key });
const version = async () => ((await admin.get(`/leads/${lead.id}`)).body as { version: number }).version;
const waitingForLocks = async () => {
  const [row] = await inspect<{ waiting: number }>(
    shardUrl(node, admin.organizationId),
    `SELECT count(*)::int AS waiting FROM pg_stat_activity
     WHERE wait_event_type = 'Lock' AND datname = current_database()`,
  );
  return row?.waiting ?? 0;
};
const isPending = async (answer: Promise<Answer>) =>
  (await Promise.race([answer, new Promise((done) => setTimeout(done, 200, "pending"))])) === "pending";

/** Holds the lead's row while `work` runs. */
async function holdingLead<T>(work: (letGo: () => Promise<unknown>) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: shardUrl(node, admin.organizationId) });
  await client.connect();
  try {
    await client.query("BEGIN");
    await client.query("SELECT FROM leads WHERE id = $1 FOR UPDATE", [lead.id]);
    return await work(() => client.query("COMMIT"));
  } finally {
    await client.end();
  }
}

test("a repetition waits for the first, and is answered as it was", async () => {
  const before = await version();
  await holdingLead(async (letGo) => {
    const first = change("waits");
    await eventually(async () => (await waitingForLocks()) === 1);
    const again = [change("waits"), change("waits")];
    for (const answer of again) expect(await isPending(answer)).toBe(true);
    await letGo();
    const { status, body } = await first;
    expect(status).toBe(200);
    for (const answer of again) {
      expect(await answer).toMatchObject({ status: 200, body: body as object });
      expect((await answer).headers.get("idempotency-replayed")).toBe("true");
    }
  });
  expect(await version()).toBe(before + 1);
});

test("another body under the key of a request that runs is refused when that has ended", async () => {
  await holdingLead(async (letGo) => {
    const first = change("other-body", { title: "One" });
    await eventually(async () => (await waitingForLocks()) === 1);
    const other = change("other-body", { title: "Two" });
    expect(await isPending(other)).toBe(true);
    await letGo();
    expect((await first).status).toBe(200);
    expect(await other).toMatchObject({ status: 422, body: { code: "IDEMPOTENCY_KEY_REUSED" } });
  });
});

test("a repetition of a request that fails is done itself", async () => {
  const before = await version();
  await holdingLead(async (letGo) => {
    const first = change("fails");
    await eventually(async () => (await waitingForLocks()) === 1);
    const again = change("fails", { lastName: "Changed" });
    expect(await isPending(again)).toBe(true);
    await inspect(
      shardUrl(node, admin.organizationId),
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE wait_event_type = 'Lock' AND datname = current_database()`,
    );
    expect((await first).status).toBe(503);
    await letGo();
    expect(await again).toMatchObject({ status: 200 });
    expect((await again).headers.get("idempotency-replayed")).toBeNull();
  });
  expect(await version()).toBe(before);
});

test("after ten seconds a repetition is told to come again", async () => {
  await holdingLead(async (letGo) => {
    const first = change("is-slow", { title: "Slow" });
    await eventually(async () => (await waitingForLocks()) === 1);
    const again = await change("is-slow", { title: "Slow" });
    expect(again).toMatchObject({ status: 409, body: { code: "IDEMPOTENCY_KEY_IN_USE" } });
    expect(again.headers.get("retry-after")).toBe("1");
    await letGo();
    expect((await first).status).toBe(200);
  });
}, 30_000);
