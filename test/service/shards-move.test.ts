import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { moveOrganization } from "../../mixins/database/moves/move.ts";
import { inspect } from "../support/database.ts";
import { makeOrganization, type TestOrganization } from "../support/leads.ts";
import { eventually, startTestNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let org: TestOrganization;
beforeAll(async () => {
  node = await startTestNode();
  org = await makeOrganization(node);
});
afterAll(() => node.stop());

const homeOf = () => node.runtime.database.homes.indexOf(org.id);
const move = (to: number, options: object = {}) =>
  moveOrganization(node.databases, node.runtime.database.homes, { organizationId: org.id, to, ...options });
const rowsIn = async (index: number, table: string) =>
  (
    await inspect<{ rows: number }>(
      node.databases[index] as string,
      `SELECT count(*)::int AS rows FROM ${table} WHERE organization_id = '${org.id}'`,
    )
  )[0]?.rows;

test("an organization moves to another database and back, and works in both", async () => {
  for (const name of ["a", "b", "c"]) await node.call("leads.create", { firstName: name }, org.as("admin"));
  const from = homeOf();
  const steps: string[] = [];
  const start = performance.now();
  await move(1 - from, {
    step: (step: string, told?: string) =>
      void steps.push(`${Math.round(performance.now() - start)} ${step} ${told ?? ""}`),
  });
  console.log(steps.join("\n"));
  expect(homeOf()).toBe(1 - from);
  expect(await rowsIn(from, "leads")).toBe(0);
  expect(await rowsIn(1 - from, "leads")).toBe(3);
  await node.call("leads.create", { firstName: "d" }, org.as("admin"));
  await move(from);
  expect(await rowsIn(from, "leads")).toBe(4);
  expect(await rowsIn(1 - from, "leads")).toBe(0);
  await eventually(async () => (await rowsIn(from, "events")) === 4);
});
