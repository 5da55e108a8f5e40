/** @jest-environment ./test/support/environment.mjs */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import type { Context } from "moleculer";
import { createDatabase, dropDatabase } from "../support/database.ts";
import type { Meta } from "../../mixins/contract/meta.ts";
import { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { originOf, startTestNode, type TestNode } from "../support/node.ts";
import { startProcess } from "../support/process.ts";
import { logFields } from "../../mixins/process/trace.ts";

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode();
  node.broker.createService({
    name: "probe",
    actions: {
      outer: (ctx: Context) => ctx.call("probe.inner"),
      inner: async (ctx: Context<unknown, Meta>) => {
        await new Promise((done) => setTimeout(done, 1));
        return { logged: logFields(), traceparent: ctx.meta.traceparent };
      },
    },
  });
  await eventually(() => node.broker.call("probe.outer").then(() => true));
});
afterAll(() => node.stop());

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const traceparent = `00-${traceId}-00f067aa0ba902b7-01`;

test("a request's trace is continued, and one without begins its own", async () => {
  const client = new Client(originOf(node));
  const continued = await client.get("/leads", { traceparent });
  expect(continued.headers.get("traceresponse")).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`));
  const begun = await client.get("/leads", { traceparent: "nonsense" });
  expect(begun.headers.get("traceresponse")).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
});

test("nested calls carry request and trace, and what they log says so; calls beside them have their own", async () => {
  const call = (requestId: string) =>
    node.broker.call(
      "probe.outer",
      {},
      { meta: { requestId, traceparent: traceparent.replace("4bf", requestId) } },
    );
  const [one, two] = await Promise.all([call("111"), call("222")]);
  expect(one).toEqual({
    logged: { requestId: "111", traceId: traceId.replace("4bf", "111") },
    traceparent: traceparent.replace("4bf", "111"),
  });
  expect(two).toMatchObject({ logged: { requestId: "222" } });
  expect(logFields()).toEqual({});
});

test("a log line of a failed request names its request, its trace and its cause", async () => {
  const database = await createDatabase();
  const process = await startProcess("traced", { DATABASE_URL: database });
  try {
    const admin = await new Client(process.origin).register("Traced");
    await dropDatabase(database);
    const answer = await admin.get("/leads", { traceparent, "x-request-id": "find-me" });
    expect(answer.status).toBeGreaterThanOrEqual(500);
    const line = await eventually(() =>
      process
        .output()
        .split("\n")
        .find((text) => text.includes("GET /api/v1/leads failed")),
    );
    expect(JSON.parse(line)).toMatchObject({
      requestId: "find-me",
      traceId,
      err: { message: expect.any(String) as unknown },
    });
  } finally {
    await process.stop();
  }
}, 60_000);
