import { beforeAll, beforeEach, expect, test } from "@jest/globals";
import { v7 as uuidv7 } from "uuid";
import { inspect } from "../support/database.ts";
import { makeOrganization, shardUrl, type TestOrganization } from "../support/leads.ts";
import { shareNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let org: TestOrganization<"a" | "b" | "c">;
beforeAll(async () => {
  node = await shareNode();
});
beforeEach(async () => {
  org = await makeOrganization(node, { a: "sales_rep", b: "sales_rep", c: "sales_rep" });
});

const sql = <T extends Record<string, unknown>>(text: string, ...values: unknown[]) =>
  inspect<T>(shardUrl(node, org.id), text, values);
const members = (...names: ("a" | "b" | "c")[]) => names.map((name) => ({ userId: org.userId(name) }));
const makePool = (strategy: "round_robin" | "least_loaded" = "round_robin") =>
  node.call("leads.createPool", { name: "P", strategy, members: members("a", "b", "c") }, org.as("admin"));
const capture = async (input: Record<string, unknown> = {}, meta: object = {}) =>
  (await node.call("leads.create", { firstName: "L", ...input }, { ...org.as("admin"), ...meta })).assignedTo;
const turnsTaken = async () =>
  (
    await sql<{ position: number }>(
      "SELECT (state -> 'position')::int AS position FROM actors WHERE organization_id = $1",
      org.id,
    )
  )[0]?.position;

test("goes on where a pool stood that counted its turns itself", async () => {
  const pool = await makePool();
  await sql("UPDATE assignment_pools SET position = 4 WHERE id = $1", pool.id);
  expect([await capture(), await capture()]).toEqual([org.userId("b"), org.userId("c")]);
});

test("sees a change of its pool at the next turn", async () => {
  const pool = await makePool();
  expect(await capture()).toBe(org.userId("a"));
  await node.call("leads.updatePool", { id: pool.id, members: members("c") }, org.as("admin"));
  expect([await capture(), await capture()]).toEqual([org.userId("c"), org.userId("c")]);
});

test("counts the leads it has given away that are not stored yet, until they are", async () => {
  await makePool("least_loaded");
  const leads = await Promise.all(Array.from({ length: 30 }, () => capture()));
  const shares = Map.groupBy(leads, (userId) => userId);
  expect([...shares.values()].map((some) => some.length)).toEqual([10, 10, 10]);
  await capture();
  const [row] = await sql<{ promised: unknown[] }>(
    "SELECT state -> 'promised' AS promised FROM actors WHERE organization_id = $1",
    org.id,
  );
  expect(row?.promised).toHaveLength(1);
});

test("gives a capture that is repeated under its key the turn it had", async () => {
  await makePool();
  await node.call("custom-fields.create", { key: "code", type: "text", isUnique: true }, org.as("admin"));
  const taken = { customFields: { code: "taken" } };
  await capture(taken);
  const again = { idempotency: { key: uuidv7(), fingerprint: "f" } };
  // fails after its turn was taken
  for (let repeat = 0; repeat < 3; repeat++)
    await expect(capture(taken, { idempotency: { ...again.idempotency } })).rejects.toMatchObject({
      type: "VALUE_TAKEN",
    });
  expect(await turnsTaken()).toBe(2);
  await sql("DELETE FROM custom_field_values WHERE organization_id = $1", org.id);
  expect(await capture(taken, again)).toBe(org.userId("b"));
  expect(await turnsTaken()).toBe(2);
});

test("is not asked for a lead that exists, nor for one that does not", async () => {
  const pool = await makePool();
  const upsert = (title: string) =>
    node.call("leads.upsert", { externalId: "x", firstName: "X", title }, org.as("admin"));
  const lead = await upsert("one");
  expect(lead.assignedTo).toBe(org.userId("a"));
  expect((await upsert("two")).assignedTo).toBe(org.userId("a"));
  await expect(
    node.call("leads.assign", { id: uuidv7(), poolId: pool.id }, org.as("admin")),
  ).rejects.toMatchObject({ type: "LEAD_NOT_FOUND" });
  expect(await turnsTaken()).toBe(1);
});

test("an import that is sent again takes its turns once", async () => {
  await makePool();
  const importId = uuidv7();
  await sql(
    `INSERT INTO imports (organization_id, id, file_name, mapping, on_duplicate, is_dry_run, status, epoch, created_at, updated_at)
     VALUES ($1, $2, 'f.csv', '{}', 'skip', false, 'running', 1, now(), now())`,
    org.id,
    importId,
  );
  const send = (epoch: number) =>
    node.call(
      "leads.importBatch",
      {
        importId,
        epoch,
        processedBefore: 0,
        onDuplicate: "skip",
        isDryRun: false,
        rows: Array.from({ length: 6 }, (_, index) => ({
          rowNumber: index + 1,
          input: { email: `i${index}@example.org` },
          record: {},
        })),
      },
      org.as("admin"),
    );
  // a run that was overtaken learns it after its turns were taken
  await expect(send(7)).rejects.toMatchObject({ type: "IMPORT_FENCED" });
  expect(await send(1)).toMatchObject({ created: 6 });
  expect(await turnsTaken()).toBe(6);
  const loads = await sql<{ count: number }>(
    "SELECT count(*)::int FROM leads WHERE organization_id = $1 GROUP BY assigned_to",
    org.id,
  );
  expect(loads.map(({ count }) => count)).toEqual([2, 2, 2]);
});
