/** @jest-environment ./test/support/environment.mjs */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { z } from "zod";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import { createService } from "../../mixins/contract/service.ts";
import { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { originOf, startTestNode, type TestNode } from "../support/node.ts";

const oldContract = defineContract("old", {
  actions: {
    find: action({
      summary: "Finds something as one did before",
      params: z.strictObject({}),
      returns: z.strictObject({ found: z.boolean() }),
      permission: "leads:read",
      rest: "GET /old/things",
      deprecated: { since: "2026-01-01", sunset: "2027-01-01", use: "GET /leads/:id" },
    }),
  },
  events: {},
});

let node: TestNode;
let visitor: Client;

beforeAll(async () => {
  const factory = (runtime: Parameters<typeof createService>[2]) =>
    createService(oldContract, { find: () => Promise.resolve({ found: true }) }, runtime);
  node = await startTestNode({}, [{ contract: oldContract, factory }]);
  visitor = new Client(originOf(node));
});
afterAll(() => node.stop());

test("a deprecated route says since when, until when, and what to use in its place", async () => {
  const admin = await visitor.register("Warned");
  for (const answer of [await admin.get("/old/things"), await visitor.get("/old/things")]) {
    expect(answer.headers.get("deprecation")).toBe("@1767225600");
    expect(answer.headers.get("sunset")).toBe("Fri, 01 Jan 2027 00:00:00 GMT");
    expect(answer.headers.get("link")).toBe('</api/v1/leads/{id}>; rel="successor-version"');
  }
  expect((await admin.get("/leads")).headers.get("deprecation")).toBeNull();
  const { body } = await visitor.get("/openapi.json");
  expect(body).toMatchObject({ paths: { "/old/things": { get: { deprecated: true } } } });
});

test("its calls are counted for the organization that makes them, and nobody else's", async () => {
  const [mine, others] = [await visitor.register("Mine"), await visitor.register("Others")];
  for (let call = 0; call < 3; call++) expect(await mine.get("/old/things")).toMatchObject({ status: 200 });
  const deprecatedCalls = async (client: Client) =>
    ((await client.get("/organization/usage")).body as { deprecatedCalls: { calls: number }[] })
      .deprecatedCalls;
  await eventually(async () => (await deprecatedCalls(mine))[0]?.calls === 3);
  await mine.get("/old/things");
  const today = new Date().toISOString().slice(0, 10);
  await eventually(async () => (await deprecatedCalls(mine))[0]?.calls === 4);
  expect(await deprecatedCalls(mine)).toEqual([
    {
      ...{ route: "GET /old/things", use: "GET /leads/:id", sunset: "2027-01-01" },
      ...{ calls: 4, lastCalledOn: today },
    },
  ]);
  expect(await deprecatedCalls(others)).toEqual([]);
});

test("and are a metric of the gateway", async () => {
  const metrics = await (await fetch(`http://127.0.0.1:${node.metricsPort}/metrics`)).text();
  expect(metrics).toMatch(/crm_deprecated_calls_total\{route="GET \/old\/things"\} [1-9]/);
});
