import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Client } from "../support/client.ts";
import { createDatabase, dropDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { startProcess, type NodeProcess } from "../support/process.ts";

let database: string;
let node: NodeProcess;
let admin: Client;
beforeAll(async () => {
  database = await createDatabase();
  node = await startProcess("logging", { DATABASE_URL: database, LOG_LEVEL: "info", REQUEST_LOG: "all" });
  admin = await new Client(node.origin).register("Logged");
}, 60_000);
afterAll(async () => {
  await node.stop();
  await dropDatabase(database);
});

const lineOf = (requestId: string) =>
  eventually(() => {
    const line = node
      .output()
      .split("\n")
      .find((text) => text.includes(requestId) && text.includes('"msg":"request"'));
    return line === undefined ? undefined : (JSON.parse(line) as Record<string, unknown>);
  });

test("a request is one line: what, by whom, how long, how much, and neither its query nor its body", async () => {
  const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-00`;
  await admin.get("/leads?q=kestrel&limit=1", { "x-request-id": "line-1", traceparent });
  const line = await lineOf("line-1");
  expect(line).toMatchObject({
    ...{ method: "GET", route: "/api/v1/leads", status: 200, requestId: "line-1", traceId: "a".repeat(32) },
    ...{ organizationId: admin.organizationId, userId: admin.userId, address: "127.0.0.1" },
  });
  expect(line.ms).toBeGreaterThan(0);
  expect(line.bytes).toBeGreaterThan(100);
  expect(JSON.stringify(line)).not.toContain("kestrel");
});

test("one that is refused says why, and one that is no route has none", async () => {
  await admin.get(`/leads/${"0".repeat(8)}-0000-7000-8000-${"0".repeat(12)}`, { "x-request-id": "line-2" });
  expect(await lineOf("line-2")).toMatchObject({
    route: "/api/v1/leads/:id",
    status: 404,
    code: "LEAD_NOT_FOUND",
  });
  await new Client(node.origin).get("/no/such/secret", { "x-request-id": "line-3" });
  const line = await lineOf("line-3");
  expect(line).toMatchObject({ route: null, status: 404, code: "ROUTE_NOT_FOUND" });
  expect(JSON.stringify(line)).not.toContain("secret");
  expect(line).not.toHaveProperty("userId");
  await admin.send("PUT", `/leads/${admin.userId}`, {}, { "x-request-id": "line-5" });
  expect(await lineOf("line-5")).toMatchObject({
    ...{ route: "/api/v1/leads/:id", status: 405, code: "METHOD_NOT_ALLOWED" },
  });
  await new Client(node.origin).get("/leads", { "x-request-id": "line-4" });
  expect(await lineOf("line-4")).toMatchObject({
    route: "/api/v1/leads",
    status: 401,
    code: "UNAUTHENTICATED",
  });
});
