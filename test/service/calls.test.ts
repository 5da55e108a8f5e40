import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { Context } from "moleculer";
import { remainingMs } from "../../mixins/contract/deadline.ts";
import { countRows } from "../support/database.ts";
import { makeOrganization } from "../support/leads.ts";
import { startTestNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let outerRuns = 0;

beforeAll(async () => {
  node = await startTestNode();
  node.broker.createService({
    name: "probe",
    actions: {
      left: (ctx: Context) => remainingMs(ctx),
      outer: async (ctx: Context) => {
        await new Promise((done) => setTimeout(done, 100));
        return ctx.call("probe.left");
      },
      needy: (ctx: Context) => {
        outerRuns++;
        return ctx.call("nobody.offers", {});
      },
    },
  });
  await node.broker.waitForServices(["probe"]);
});
afterAll(() => node.stop());

describe("a deadline", () => {
  test("leaves a nested call what is left of it", async () => {
    const left = await node.broker.call<number, object>("probe.outer", {}, { timeout: 5_000 });
    expect(left).toBeLessThanOrEqual(4_901);
    expect(left).toBeGreaterThan(0);
  });

  test("that ends while a command runs undoes the command", async () => {
    const organization = await makeOrganization(node);
    const create = (timeout: number) =>
      node.broker.call("leads.create", { lastName: "Late" }, { meta: organization.as("admin"), timeout });
    // the first lead of an organization waits for its settings, and so for longer than this
    await expect(create(1)).rejects.toMatchObject({ name: "RequestTimeoutError" });
    await create(5_000);
    expect(await countRows(node.databases, "leads")).toBe(1);
  });
});

describe("a call of an action that nobody offers", () => {
  test("waits for one who does", async () => {
    const answer = node.broker.call("late.hello", {});
    setTimeout(() => node.broker.createService({ name: "late", actions: { hello: () => "hello" } }), 200);
    expect(await answer).toBe("hello");
  });

  test("fails after a while, or at its deadline", async () => {
    const start = performance.now();
    await expect(node.broker.call("nobody.offers", {}, { timeout: 200 })).rejects.toMatchObject({
      name: "ServiceNotFoundError",
    });
    expect(performance.now() - start).toBeLessThan(2_000);
  });

  test("inside another does not run that one again", async () => {
    await expect(node.broker.call("probe.needy", {}, { timeout: 500 })).rejects.toMatchObject({
      name: "ServiceNotFoundError",
    });
    expect(outerRuns).toBe(1);
  });
});
