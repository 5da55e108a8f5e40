import { afterAll, beforeAll, expect, test } from "@jest/globals";
import pg from "pg";
import { Client } from "../support/client.ts";
import { shardUrl } from "../support/leads.ts";
import { eventually } from "../support/eventually.ts";
import { originOf, startTestNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let greedy: Client;
let other: Client;
let url: string;
beforeAll(async () => {
  node = await startTestNode({
    SERVICES: "gateway,identity,leads,imports,events,worker",
    DATABASE_POOL_SIZE: "4",
  });
  greedy = await new Client(originOf(node)).register("Greedy");
  url = shardUrl(node, greedy.organizationId);
  // a neighbour in the same database
  do other = await new Client(originOf(node)).register("Other");
  while (shardUrl(node, other.organizationId) !== url);
});
afterAll(() => node.stop());

/** Runs `work` while another session has done this. */
async function during(sql: string, work: () => Promise<void>): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    await client.query(`BEGIN; ${sql}`);
    await work();
  } finally {
    await client.query("ROLLBACK");
    await client.end();
  }
}
/** Sessions of the node that wait for a lock. */
const stuck = async (): Promise<number> => {
  const client = new pg.Client(url);
  await client.connect();
  try {
    const { rows } = await client.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM pg_stat_activity
       WHERE datname = current_database() AND application_name = 'sangam' AND wait_event_type = 'Lock'`,
    );
    return rows[0]?.count ?? 0;
  } finally {
    await client.end();
  }
};

test("one organization's work that is stuck leaves connections to the others, and its own goes on afterwards", async () => {
  const made = await greedy.post("/leads", { firstName: "Locked" });
  const { id } = made.body as { id: string };
  const changes: Promise<{ status: number }>[] = [];
  await during(`SELECT FROM leads WHERE id = '${id}' FOR UPDATE`, async () => {
    for (let index = 0; index < 32; index++)
      changes.push(greedy.send("PATCH", `/leads/${id}`, { title: `Title ${index}` }));
    // its share of 4
    await eventually(async () => (await stuck()) === 3);
    for (let index = 0; index < 5; index++) {
      const start = performance.now();
      expect((await other.get("/leads")).status).toBe(200);
      expect((await other.post("/leads", { firstName: "Quick" })).status).toBe(201);
      expect(performance.now() - start).toBeLessThan(2_000);
    }
    expect(await stuck()).toBe(3);
  });
  expect((await Promise.all(changes)).map(({ status }) => status)).toEqual(Array(32).fill(200));
});

test("a list that takes longer than reads may ends with what to do about it, and the organization goes on", async () => {
  await during("LOCK TABLE leads IN ACCESS EXCLUSIVE MODE", async () => {
    const start = performance.now();
    const answer = await greedy.get("/leads?filter[customFields.city][like]=pune");
    expect(performance.now() - start).toBeGreaterThan(4_500);
    expect(answer).toMatchObject({
      status: 503,
      body: { code: "QUERY_TOO_SLOW", detail: expect.stringMatching(/5 s.*Narrow it/) },
    });
    expect(answer.headers.get("retry-after")).toBe("5");
  });
  expect((await greedy.get("/leads")).status).toBe(200);
});

test("a job and a command have longer", async () => {
  const { organizationId } = greedy;
  await node.runtime.database.transaction({ organizationId }, async (tx) => {
    expect(await tx.query({ text: "SHOW statement_timeout" })).toEqual([{ statement_timeout: "30s" }]);
  });
  const reader = node.runtime.database.reader(organizationId);
  expect(await reader.query({ text: "SHOW statement_timeout" })).toEqual([{ statement_timeout: "30s" }]);
});
