import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { plans } from "../../mixins/organizations/plans.ts";
import { kinds } from "../../entities/kinds.ts";
import { Client } from "../support/client.ts";
import { inspect } from "../support/database.ts";
import { metaOf, newEmail, password } from "../support/identity.ts";
import { shardUrl } from "../support/leads.ts";
import { eventually } from "../support/eventually.ts";
import { originOf, startTestNode, type TestNode } from "../support/node.ts";
import type { SignedIn } from "../../services/identity/identity.contract.ts";

let node: TestNode;
let admin: SignedIn;
beforeAll(async () => {
  const records = [...kinds.values()].map(({ plural }) => plural).join();
  node = await startTestNode({
    SERVICES: `identity,${records},records,custom-fields,imports,events,service:gateway`,
  });
});
afterAll(() => node.stop());
beforeEach(async () => {
  admin = await node.call("identity.register", {
    organizationName: "Acme",
    name: "Asha",
    email: newEmail(),
    password,
  });
});

const id = () => admin.organization.id;
const setPlan = (plan: keyof typeof plans) =>
  node.call("identity.setPlan", { organizationId: id(), plan }, { role: "system" });
const usage = () => node.call("identity.getUsage", {}, metaOf(admin));
const createUser = () =>
  node.call(
    "identity.createUser",
    { name: "Ravi", email: newEmail(), role: "viewer", password },
    metaOf(admin),
  );
const createLead = () => node.call("leads.create", { firstName: "L" }, metaOf(admin));
const get = (path: string) =>
  fetch(`${originOf(node)}/api/v1${path}`, { headers: { authorization: `Bearer ${admin.accessToken}` } });
const full = (resource: string, limit: number) =>
  expect.objectContaining({ code: 403, type: "QUOTA_EXCEEDED", data: { resource, limit } });

describe("users", () => {
  test("are no more than the plan allows, however many come at once", async () => {
    await setPlan("starter");
    const outcomes = await Promise.allSettled(Array.from({ length: 14 }, createUser));
    const made = outcomes.filter(({ status }) => status === "fulfilled");
    expect(made).toHaveLength(plans.starter.users - 1);
    for (const outcome of outcomes)
      if (outcome.status === "rejected") expect(outcome.reason).toEqual(full("users", plans.starter.users));
    expect((await usage()).users).toEqual({ used: 10, limit: 10 });
    const [first] = made as PromiseFulfilledResult<Awaited<ReturnType<typeof createUser>>>[];
    const setActive = (isActive: boolean) =>
      node.call("identity.updateUser", { id: first?.value.id ?? "", isActive }, metaOf(admin));
    await setActive(false);
    await createUser();
    await expect(setActive(true)).rejects.toEqual(full("users", 10));
    await setPlan("enterprise");
    await setActive(true);
  });
});

describe.each([...kinds.values()].map((kind) => [kind.plural, kind] as const))("%s", (plural, kind) => {
  test("may not be made when the plan is over, by one, in a batch or by external id; what is there may change", async () => {
    const client = await new Client(originOf(node)).register("Full");
    const { organizationId } = client;
    const path = `/${plural}`;
    const named = { [kind.title[0] ?? ""]: "A" };
    const made = async () => ((await client.post(path, named)).body as { id: string }).id;
    const [one, other] = [await made(), await made()];
    await client.send("PUT", `${path}/by-external-id/a`, named);
    await node.call("identity.setPlan", { organizationId, plan: "expired" }, { role: "system" });
    await eventually(async () => (await node.runtime.organizations.of(organizationId)).plan === "expired");
    const refused = {
      status: 403,
      body: { code: "QUOTA_EXCEEDED", detail: `The plan expired allows 0 ${plural}.` },
    };
    expect(await client.post(path, named)).toMatchObject(refused);
    expect(await client.post(`${path}/bulk`, { items: [named] })).toMatchObject(refused);
    expect(await client.send("PUT", `${path}/by-external-id/b`, named)).toMatchObject(refused);
    expect(await client.send("PUT", `${path}/by-external-id/a`, { tags: ["U"] })).toMatchObject({
      status: 200,
    });
    expect(await client.send("PATCH", `${path}/${one}`, { tags: ["C"] })).toMatchObject({ status: 200 });
    await client.send("DELETE", `${path}/${other}`);
    expect(await client.post(`${path}/${other}/restore`)).toMatchObject(refused);
    const { records } = (await client.get("/organization/usage")).body as { records: Record<string, object> };
    expect(records[kind.name]).toEqual({ used: 2, limit: 0 });
    expect(Object.keys(records)).toEqual([...kinds.keys()]);
  });
});

describe("leads", () => {
  test("are not converted where the plan has no room for the contact", async () => {
    const lead = await createLead();
    await setPlan("expired");
    await eventually(async () => (await node.runtime.organizations.of(id())).plan === "expired");
    const converting = node.call("leads.convert", { id: lead.id }, metaOf(admin));
    await expect(converting).rejects.toEqual(full("contacts", 0));
    expect(await node.call("leads.get", { id: lead.id }, metaOf(admin))).toMatchObject({ status: "new" });
  });

  test("are counted once, however many captures come before the first count is there", async () => {
    const holder = new pg.Client({ connectionString: shardUrl(node, id()) });
    await holder.connect();
    try {
      await holder.query("BEGIN; LOCK TABLE leads IN ACCESS EXCLUSIVE MODE");
      const waiting = () =>
        inspect(
          shardUrl(node, id()),
          `SELECT query FROM pg_stat_activity
           WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FROM leads%'`,
        );
      const captures = Promise.all(Array.from({ length: 12 }, createLead));
      await eventually(async () => (await waiting()).length > 0);
      await sleep(100);
      expect(await waiting()).toEqual([{ query: expect.stringContaining("count(*)") }]);
      await holder.query("ROLLBACK");
      await captures;
    } finally {
      await holder.end();
    }
    expect((await usage()).leads.used).toBe(12);
  });
});

describe("requests", () => {
  test("of a day are counted, told and refused beyond the plan, with when to come back", async () => {
    for (let index = 0; index < 5; index++) expect((await get("/auth/me")).status).toBe(200);
    await eventually(async () => (await usage()).apiCallsPerDay.used === 5);
    await setPlan("expired");
    await inspect(
      node.databases[0] ?? "",
      "UPDATE control.api_usage SET calls = $2 WHERE organization_id = $1",
      [id(), plans.expired.apiCallsPerDay],
    );
    const refused = await eventually(async () => {
      const response = await get("/auth/me");
      return response.status === 429 && response;
    });
    expect(await refused.json()).toMatchObject({
      code: "QUOTA_EXCEEDED",
      detail: expect.stringContaining("20000"),
    });
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(60);
  });

  test("of a minute are as many as the plan says", async () => {
    const quotaOf = async () => (await get("/auth/me")).headers.get("ratelimit-policy");
    const most = node.runtime.env.RATE_LIMIT_PER_MINUTE_ORGANIZATION;
    expect(await quotaOf()).toContain(`"organization";q=${most};`);
    await setPlan("growth");
    await eventually(async () => (await quotaOf())?.includes(`q=${most * plans.growth.rateFactor};`));
  });
});

test("a plan that is not in the table is refused, and only the platform sets plans", async () => {
  await expect(setPlan("gold" as never)).rejects.toMatchObject({ code: 422 });
  const own = node.call("identity.setPlan", { organizationId: id(), plan: "enterprise" }, metaOf(admin));
  await expect(own).rejects.toMatchObject({ code: 403 });
});
