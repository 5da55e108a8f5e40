import { beforeAll, describe, expect, test } from "@jest/globals";
import { v7 as uuidv7 } from "uuid";
import { inspect } from "../support/database.ts";
import { makeOrganization, shardUrl, type TestOrganization } from "../support/leads.ts";
import { shareNode, type TestNode } from "../support/node.ts";

let node: TestNode;
beforeAll(async () => {
  node = await shareNode();
});

const reps = ["a", "b", "c", "d", "e"] as const;
type Org = TestOrganization<(typeof reps)[number]>;
const makeOrg = (): Promise<Org> =>
  makeOrganization(node, { a: "sales_rep", b: "sales_rep", c: "sales_rep", d: "sales_rep", e: "sales_rep" });
const createPool = (org: Org, pool: Record<string, unknown>, weights: number[] = [1, 1, 1, 1, 1]) =>
  node.call(
    "leads.createPool",
    {
      name: "Pool",
      strategy: "round_robin",
      members: weights.map((weight, index) => ({ userId: org.userId(reps[index] as "a"), weight })),
      ...pool,
    } as never,
    org.as("admin"),
  );
/** How many leads each rep has, in the order of `reps`. */
async function loads(org: Org): Promise<number[]> {
  const rows = await inspect<{ assigned_to: string; count: number }>(
    shardUrl(node, org.id),
    "SELECT assigned_to, count(*)::int FROM leads WHERE organization_id = $1 GROUP BY 1",
    [org.id],
  );
  return reps.map((rep) => rows.find((row) => row.assigned_to === org.userId(rep))?.count ?? 0);
}

describe("capturing into a pool", () => {
  test.each(["round_robin", "least_loaded"])(
    "1,000 at once by %s differ by at most one",
    async (strategy) => {
      const org = await makeOrg();
      await createPool(org, { strategy });
      const answers = await Promise.all(
        Array.from({ length: 1000 }, (_, index) =>
          node.call("leads.create", { email: `p${index}@example.org` }, org.as("admin")),
        ),
      );
      expect(answers.every((lead) => lead.assignedTo !== null)).toBe(true);
      expect(await loads(org)).toEqual([200, 200, 200, 200, 200]);
    },
  );

  test("weighted gives each its share, singly and in bulk", async () => {
    const org = await makeOrg();
    await createPool(org, { strategy: "weighted" }, [5, 3, 2]);
    await Promise.all(
      Array.from({ length: 50 }, () => node.call("leads.create", { firstName: "W" }, org.as("admin"))),
    );
    await node.call(
      "leads.bulkCreate",
      { items: Array.from({ length: 50 }, () => ({ firstName: "B" })) },
      org.as("admin"),
    );
    expect(await loads(org)).toEqual([50, 30, 20, 0, 0]);
  });

  test("what is refused uses up nobody's turn, for a reference, an external id or a unique value", async () => {
    const org = await makeOrg();
    await createPool(org, { strategy: "round_robin" });
    for (const field of [
      { key: "partner", type: "reference", references: "company" },
      { key: "code", type: "text", isUnique: true },
    ])
      await node.call(
        "custom-fields.create",
        { kind: "lead", label: field.key, ...field } as never,
        org.as("admin"),
      );
    const taken = { externalId: "taken", customFields: { code: "taken" }, assignedTo: org.userId("a") };
    await node.call("leads.create", taken, org.as("admin"));
    const wrong = { firstName: "W", customFields: { partner: uuidv7() } };
    const clashing = { firstName: "C", customFields: { code: "taken" } };
    const refused = [wrong, clashing, { externalId: "taken" }];
    const items = [0, 1, 2, 3].flatMap(() => [{ firstName: "Free" }, ...refused]);
    const { results } = await node.call("leads.bulkCreate", { items }, org.as("admin"));
    expect(results.map(({ status }) => status)).toEqual([0, 1, 2, 3].flatMap(() => [201, 422, 409, 409]));
    for (const one of [wrong, { externalId: "taken" }])
      await expect(node.call("leads.create", one, org.as("admin"))).rejects.toBeDefined();
    await node.call("leads.create", { firstName: "Free" }, org.as("admin"));
    expect((await loads(org)).map((load, index) => (index === 0 ? load - 1 : load))).toEqual([1, 1, 1, 1, 1]);
  });

  test("goes to the first pool by priority whose criteria all hold and that has an active member", async () => {
    const org = await makeOrg();
    await createPool(org, { name: "Nobody", priority: 1 }, []);
    await createPool(org, { name: "Off", priority: 2, isActive: false }, [1]);
    const web = { field: "source", op: "eq", value: "Web" };
    await createPool(org, {
      name: "Web",
      priority: 3,
      members: [{ userId: org.userId("b") }],
      criteria: [web, { field: "score", op: "gte", value: 20 }],
    });
    await createPool(org, { name: "Rest", priority: 4, members: [{ userId: org.userId("c") }] });
    const assigneeOf = async (input: Record<string, unknown>) =>
      (await node.call("leads.create", input, org.as("admin"))).assignedTo;
    expect(await assigneeOf({ email: "a@acme.example", source: "Web" })).toBe(org.userId("b"));
    expect(await assigneeOf({ firstName: "Cold", source: "Web" })).toBe(org.userId("c"));
    expect(await assigneeOf({ firstName: "Given", assignedTo: org.userId("d") })).toBe(org.userId("d"));
  });

  test("passes over members who are no longer active", async () => {
    const org = await makeOrg();
    await inspect(node.databases[0] as string, "UPDATE control.users SET is_active = false WHERE id = $1", [
      org.userId("b"),
    ]);
    // made past the check of members, as if b had been deactivated afterwards
    await createPool(org, {}, [1]);
    await inspect(
      shardUrl(node, org.id),
      "UPDATE assignment_pools SET members = $2 WHERE organization_id = $1",
      [org.id, JSON.stringify(["a", "b", "c"].map((rep) => ({ userId: org.userId(rep as "a"), weight: 1 })))],
    );
    for (let index = 0; index < 6; index++)
      await node.call("leads.create", { firstName: "X" }, org.as("admin"));
    expect(await loads(org)).toEqual([3, 0, 3, 0, 0]);
  });

  test("bulk items that want different pools get them, also when many bulks run at once", async () => {
    const org = await makeOrg();
    const criterion = (value: string) => [{ field: "source", op: "eq", value }];
    await createPool(org, {
      name: "One",
      criteria: criterion("one"),
      members: [{ userId: org.userId("a") }],
    });
    await createPool(org, {
      name: "Two",
      criteria: criterion("two"),
      members: [{ userId: org.userId("b") }],
    });
    const bulk = (first: string, second: string) =>
      node.call(
        "leads.bulkCreate",
        {
          items: Array.from({ length: 20 }, (_, index) => ({
            firstName: "B",
            source: index % 2 ? first : second,
          })),
        },
        org.as("admin"),
      );
    await Promise.all(
      Array.from({ length: 20 }, (_, index) => (index % 2 ? bulk("one", "two") : bulk("two", "one"))),
    );
    expect(await loads(org)).toEqual([200, 200, 0, 0, 0]);
  });
});

describe("assigning from a pool", () => {
  test("takes its next turn", async () => {
    const org = await makeOrg();
    const pool = await createPool(org, { criteria: [{ field: "source", op: "eq", value: "never" }] }, [1, 1]);
    const given = [];
    for (let index = 0; index < 3; index++) {
      const lead = await node.call("leads.create", { firstName: "L" }, org.as("admin"));
      given.push(
        (await node.call("leads.assign", { id: lead.id, poolId: pool.id }, org.as("admin"))).assignedTo,
      );
    }
    expect(given).toEqual([org.userId("a"), org.userId("b"), org.userId("a")]);
  });

  test("says when there is no such pool, or nobody in it", async () => {
    const org = await makeOrg();
    const empty = await createPool(org, {}, []);
    const lead = await node.call("leads.create", { firstName: "L" }, org.as("admin"));
    const assign = (poolId: string) => node.call("leads.assign", { id: lead.id, poolId }, org.as("admin"));
    await expect(assign(uuidv7())).rejects.toMatchObject({
      code: 422,
      data: { errors: [{ path: "poolId" }] },
    });
    await expect(assign(empty.id)).rejects.toMatchObject({ code: 409, type: "POOL_EMPTY" });
  });
});

describe("a pool", () => {
  test("is made, read, listed, changed and deleted, each with its event", async () => {
    const org = await makeOrg();
    const pool = await createPool(org, { name: "North", priority: 7 }, [1, 1]);
    expect(pool).toMatchObject({ name: "North", priority: 7, isActive: true, criteria: [], version: 1 });
    expect(await node.call("leads.getPool", { id: pool.id }, org.as("a"))).toEqual(pool);
    const changed = await node.call(
      "leads.updatePool",
      { id: pool.id, name: "South", expectedVersion: 1 },
      org.as("admin"),
    );
    expect(changed).toMatchObject({ name: "South", version: 2, members: pool.members });
    expect(await node.call("leads.updatePool", { id: pool.id, name: "South" }, org.as("admin"))).toEqual(
      changed,
    );
    expect(await node.call("leads.listPools", { count: true }, org.as("admin"))).toEqual({
      data: [changed],
      page: { nextCursor: null, hasMore: false, total: 1 },
    });
    await expect(
      node.call("leads.removePool", { id: pool.id, expectedVersion: 1 }, org.as("admin")),
    ).rejects.toMatchObject({ code: 412 });
    expect(await node.call("leads.removePool", { id: pool.id }, org.as("admin"))).toBeNull();
    await expect(node.call("leads.getPool", { id: pool.id }, org.as("admin"))).rejects.toMatchObject({
      code: 404,
      type: "POOL_NOT_FOUND",
    });
    const events = await inspect<{ type: string }>(
      shardUrl(node, org.id),
      "SELECT type FROM events WHERE entity_id = $1 ORDER BY position",
      [pool.id],
    );
    expect(events.map(({ type }) => type)).toEqual(["pool.created", "pool.updated", "pool.deleted"]);
  });

  test("needs a name of its own and members who are active users", async () => {
    const org = await makeOrg();
    await createPool(org, { name: "Twin" });
    const other = await createPool(org, { name: "Other" });
    await expect(createPool(org, { name: "Twin" })).rejects.toMatchObject({
      code: 409,
      type: "POOL_NAME_TAKEN",
    });
    await expect(
      node.call("leads.updatePool", { id: other.id, name: "Twin" }, org.as("admin")),
    ).rejects.toMatchObject({ type: "POOL_NAME_TAKEN" });
    await expect(createPool(org, { members: [{ userId: uuidv7() }] })).rejects.toMatchObject({
      code: 422,
      data: { errors: [{ path: "members.0.userId" }] },
    });
    await expect(
      node.call("leads.createPool", { name: "x", strategy: "round_robin", members: [] }, org.as("a")),
    ).rejects.toMatchObject({ code: 403 });
  });

  test("works from its first lead on and not after it is switched off", async () => {
    const org = await makeOrg();
    const assignee = async () =>
      (await node.call("leads.create", { firstName: "L" }, org.as("admin"))).assignedTo;
    expect(await assignee()).toBeNull();
    const pool = await createPool(org, {}, [1]);
    expect(await assignee()).toBe(org.userId("a"));
    await node.call("leads.updatePool", { id: pool.id, isActive: false }, org.as("admin"));
    expect(await assignee()).toBeNull();
  });
});
