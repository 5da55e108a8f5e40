import { beforeAll, describe, expect, test } from "@jest/globals";
import { inspect } from "../support/database.ts";
import { makeOrganization, shardUrl, type TestOrganization } from "../support/leads.ts";
import { eventually } from "../support/eventually.ts";
import { shareNode, type TestNode } from "../support/node.ts";

let node: TestNode;
beforeAll(async () => {
  node = await shareNode();
});

const emailRule = (points: number) => ({
  factor: "email",
  points,
  detail: "has one",
  conditions: [{ field: "email", op: "isnull" as const, value: false }],
});
const setRules = (org: TestOrganization, points: number, expectedVersion?: number) =>
  node.call("leads.setScoringRules", { rules: [emailRule(points)], expectedVersion }, org.as("admin"));
const dueJobs = async (org: TestOrganization) => {
  const [row] = await inspect<{ count: number }>(
    shardUrl(node, org.id),
    `SELECT count(*)::int AS count FROM graphile_worker._private_jobs
     WHERE payload ->> 'organizationId' = $1 AND run_at <= now()`,
    [org.id],
  );
  return row?.count;
};
/** A pass of its own, beside those that setting the rules has added. */
const rescore = (org: TestOrganization, version: number) =>
  node.broker.call("leads.rescore", { version }, { meta: { organizationId: org.id, role: "system" } });
const bulk = async (org: TestOrganization, count: number) => {
  for (let from = 0; from < count; from += 1000)
    await node.call(
      "leads.bulkCreate",
      {
        items: Array.from({ length: Math.min(1000, count - from) }, (_, index) => ({
          email: `r${from + index}@a.example`,
        })),
      },
      org.as("admin"),
    );
};
const scores = (org: TestOrganization) =>
  inspect<{ score: number; scoring_version: number; version: number; count: number }>(
    shardUrl(node, org.id),
    "SELECT score, scoring_version, version, count(*)::int FROM leads WHERE organization_id = $1 GROUP BY 1, 2, 3",
    [org.id],
  );
const updates = async (org: TestOrganization) =>
  (
    await inspect<{ count: number }>(
      shardUrl(node, org.id),
      "SELECT count(*)::int FROM events WHERE organization_id = $1 AND type = 'lead.updated'",
      [org.id],
    )
  )[0]?.count;

describe("scoring rules", () => {
  test("are the defaults at version 0 until the organization sets its own", async () => {
    const org = await makeOrganization(node);
    const rules = await node.call("leads.getScoringRules", {}, org.as("admin"));
    expect(rules).toMatchObject({ version: 0, isDefault: true });
    expect(await setRules(org, 30, 0)).toEqual({ rules: [emailRule(30)], version: 1, isDefault: false });
    expect(await setRules(org, 30)).toMatchObject({ version: 1 });
    await expect(setRules(org, 40, 0)).rejects.toMatchObject({ code: 412, data: { version: 1 } });
    expect(await setRules(org, 40, 1)).toMatchObject({ version: 2 });
    const lead = await node.call("leads.create", { email: "s@a.example" }, org.as("admin"));
    expect(lead).toMatchObject({
      score: 40,
      scoreReasons: [{ factor: "email", points: 40, detail: "has one" }],
    });
  });

  test("set twice at once get two versions", async () => {
    const org = await makeOrganization(node);
    const versions = await Promise.all([10, 20, 30].map((points) => setRules(org, points)));
    expect(versions.map(({ version }) => version).sort()).toEqual([1, 2, 3]);
  });
});

describe("rescoring", () => {
  test("gives every lead the new score, with an event for each that changed", async () => {
    const org = await makeOrganization(node);
    await bulk(org, 1200);
    await node.call("leads.create", { firstName: "No email" }, org.as("admin"));
    await setRules(org, 33);
    await eventually(async () => {
      const found = await scores(org);
      return found.length === 2 && found.every((row) => row.scoring_version === 1);
    });
    expect((await scores(org)).sort((a, b) => a.count - b.count)).toEqual([
      { score: 0, scoring_version: 1, version: 1, count: 1 },
      { score: 33, scoring_version: 1, version: 2, count: 1200 },
    ]);
    expect(await updates(org)).toBe(1200);
  });

  test("by several passes at once scores each lead once", async () => {
    const org = await makeOrganization(node);
    await bulk(org, 1100);
    await setRules(org, 44);
    await Promise.all(Array.from({ length: 4 }, () => rescore(org, 1)));
    await eventually(async () => (await scores(org)).length === 1);
    expect(await scores(org)).toEqual([{ score: 44, scoring_version: 1, version: 2, count: 1100 }]);
    expect(await updates(org)).toBe(1100);
  });

  test("finds leads that were written with old rules while the first pass ran", async () => {
    const org = await makeOrganization(node);
    await setRules(org, 10);
    await setRules(org, 20);
    await node.call("leads.create", { email: "late@a.example" }, org.as("admin"));
    // the passes that setting the rules has asked for are over, and the next is a while away
    await eventually(async () => (await dueJobs(org)) === 0);
    await inspect(
      shardUrl(node, org.id),
      "UPDATE leads SET score = 10, scoring_version = 1 WHERE organization_id = $1",
      [org.id],
    );
    await rescore(org, 1);
    expect((await scores(org))[0]?.score).toBe(10);
    await rescore(org, 2);
    expect((await scores(org))[0]?.score).toBe(20);
  });
});

describe("scoring without storing", () => {
  test("explains each score, and moves the chance towards what the organization has seen", async () => {
    const org = await makeOrganization(node);
    const ask = async () =>
      node.call("leads.score", { leads: [{ email: "q@acme.example" }, { firstName: "Q" }] }, org.as("admin"));
    expect((await ask()).scores).toMatchObject([
      { score: 20, probability: 0.2 },
      { score: 0, probability: 0, reasons: [] },
    ]);
    for (let index = 0; index < 5; index++) {
      const lead = await node.call("leads.create", { email: `won${index}@acme.example` }, org.as("admin"));
      await node.call("leads.convert", { id: lead.id }, org.as("admin"));
    }
    const [first] = (await ask()).scores;
    expect(first?.probability).toBeCloseTo((5 + 20 * 0.2) / 25);
    expect((await node.call("leads.list", { q: "acme" }, org.as("admin"))).data).toHaveLength(5);
    await expect(
      node.call("leads.score", { leads: [{ phone: "1" }] }, org.as("admin")),
    ).rejects.toMatchObject({
      data: { errors: [{ path: "leads.0.phone", code: "invalid_phone" }] },
    });
  });
});

test("the scoring model says how well the rules told converted leads from unqualified ones", async () => {
  const org = await makeOrganization(node);
  await setRules(org, 30);
  const model = () => node.call("leads.getScoringModel", {}, org.as("admin"));
  const close = async (lead: { email?: string; firstName?: string }, isWon: boolean) => {
    const { id } = await node.call("leads.create", lead, org.as("admin"));
    if (isWon) await node.call("leads.convert", { id }, org.as("admin"));
    else await node.call("leads.update", { id, status: "unqualified" }, org.as("admin"));
  };
  await close({ email: "first@m.example" }, true);
  expect(await model()).toEqual({
    trainedAt: null,
    rows: 1,
    auc: null,
    features: [{ factor: "email", points: 30, detail: "has one" }],
  });
  await close({ firstName: "Nobody" }, false);
  expect(await model()).toMatchObject({ rows: 2, auc: 1 });
  await close({ email: "lost@m.example" }, false);
  expect(await model()).toMatchObject({ rows: 3, auc: 0.75 });
});
