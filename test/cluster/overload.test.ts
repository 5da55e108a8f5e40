import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { Client } from "../support/client.ts";
import { createDatabase, dropDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { metric, startProcess, type NodeProcess } from "../support/process.ts";

// autocannon ships no types
const autocannon = createRequire(import.meta.url)("autocannon") as (options: object) => PromiseLike<{
  statusCodeStats: Record<string, { count: number }>;
  errors: number;
}> & {
  on(event: "response", listener: (client: object, status: number, bytes: number, ms: number) => void): void;
  stop(): void;
};

let database: string;
let node: NodeProcess;
let admin: Client;

beforeAll(async () => {
  database = await createDatabase();
  node = await startProcess("overloaded", { DATABASE_URL: database, MAX_IN_FLIGHT: "20" });
  admin = await new Client(node.origin).register("Overload");
}, 60_000);
afterAll(async () => {
  await node.stop();
  await dropDatabase(database);
});

const residentMiB = () =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${node.child.pid}/status`, "utf8"))?.[1]) / 1024;

test("many times more clients than it can serve: some are served soon, the rest are told to come back", async () => {
  const before = residentMiB();
  const accepted: number[] = [];
  const run = autocannon({
    url: `${node.origin}/api/v1/leads?limit=50`,
    headers: { authorization: `Bearer ${admin.token}` },
    connections: 400,
    duration: 60,
    timeout: 60,
  });
  run.on("response", (_client, status, _bytes, ms) => {
    if (status === 200) accepted.push(ms);
  });
  const refused = await eventually(async () => {
    const answer = await admin.get("/leads");
    return answer.status === 503 && answer;
  });
  expect(refused).toMatchObject({ body: { code: "OVERLOADED" } });
  expect(refused.headers.get("retry-after")).toBe("1");
  expect((await admin.get(`${node.origin}/health`)).status).toBe(200);
  expect(await metric(node, "http_requests_in_flight ")).toBeLessThanOrEqual(22);

  await eventually(() => accepted.length > 100, 30_000);
  run.stop();
  const { statusCodeStats, errors } = await run;
  expect(Object.keys(statusCodeStats).sort()).toEqual(["200", "503"]);
  expect(errors).toBe(0);
  accepted.sort((a, b) => a - b);
  expect(accepted[Math.floor(accepted.length * 0.99)]).toBeLessThan(5_000);
  expect(residentMiB() - before).toBeLessThan(250);
  expect((await admin.get("/leads")).status).toBe(200);
  expect(await metric(node, "http_requests_in_flight ")).toBeLessThanOrEqual(1);
  expect(await metric(node, "http_requests_shed_total")).toBeGreaterThanOrEqual(
    statusCodeStats["503"]?.count ?? 0,
  );
});
