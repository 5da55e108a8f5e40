import { afterAll, beforeAll, expect, test } from "@jest/globals";
import pg from "pg";
import { Seeded } from "../chaos/seeded.ts";
import { dayIn, placed, refreshFigures } from "../support/analytics.ts";
import { inspect } from "../support/database.ts";
import { makeOrganization, shardUrl, type TestOrganization } from "../support/leads.ts";
import { eventually } from "../support/eventually.ts";
import { startTestNode, type TestNode } from "../support/node.ts";

type Org = TestOrganization<"asha" | "bo">;

const timezone = "Asia/Kolkata";
let node: TestNode;
beforeAll(async () => {
  node = await startTestNode({ SERVICES: "identity,leads,analytics,events,service:worker" });
});
afterAll(() => node.stop());

async function makeOrg(): Promise<Org> {
  const org = await makeOrganization(node, { asha: "sales_rep", bo: "sales_rep" });
  await inspect(node.databases[0] as string, "UPDATE control.organizations SET timezone = $2 WHERE id = $1", [
    org.id,
    timezone,
  ]);
  return org;
}
const create = (org: Org, lead: Record<string, unknown> = {}) =>
  node.call("leads.create", { lastName: "Rao", ...lead }, org.as("admin"));
const find = () =>
  node.broker.call(
    "analytics.refresh",
    { scheduledFor: new Date().toISOString() },
    { meta: { role: "system" } },
  );
const refreshedAt = async (org: Org) =>
  (await node.call("analytics.conversion", {}, org.as("admin"))).refreshedAt;

/** What is stored of the figures: `day source assignee captured converted conversions`. */
const stored = async (org: Org): Promise<string[]> => {
  const rows = await inspect<{ row: string }>(
    shardUrl(node, org.id),
    `SELECT format('%s %s %s %s %s %s', day, coalesce(source, '-'), coalesce(assigned_to::text, '-'), captured, converted,
      conversions) AS row FROM lead_days WHERE organization_id = $1`,
    [org.id],
  );
  return rows.map(({ row }) => row).sort();
};

interface Lead extends pg.QueryResultRow {
  created_at: Date;
  converted_at: Date | null;
  source: string | null;
  assigned_to: string | null;
}
/** What the figures should be, counted here from the leads. */
async function counted(org: Org): Promise<string[]> {
  const leads = await inspect<Lead>(
    shardUrl(node, org.id),
    "SELECT * FROM leads WHERE organization_id = $1 AND deleted_at IS NULL",
    [org.id],
  );
  const sums = new Map<string, [number, number, number]>();
  const add = (at: Date, lead: Lead, more: [number, number, number]) => {
    const key = `${dayIn(timezone, at)} ${lead.source ?? "-"} ${lead.assigned_to ?? "-"}`;
    const sum = sums.get(key) ?? [0, 0, 0];
    sums.set(key, [sum[0] + more[0], sum[1] + more[1], sum[2] + more[2]]);
  };
  for (const lead of leads) {
    add(lead.created_at, lead, [1, lead.converted_at === null ? 0 : 1, 0]);
    if (lead.converted_at) add(lead.converted_at, lead, [0, 0, 1]);
  }
  return [...sums].map(([key, sum]) => [key, ...sum].join(" ")).sort();
}

test("after many random changes, refreshed now and then by several at once, the figures are what a count gives", async () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const random = new Seeded(seed);
  const org = await makeOrg();
  const as = org.as("admin");
  const ids: string[] = [];
  const aTime = () => new Date(Date.UTC(2026, 4, 1, 12, random.between(0, 90 * 24 * 60))).toISOString();
  const set = (id: string, column: string, at: string) =>
    inspect(shardUrl(node, org.id), `UPDATE leads SET ${column} = $2 WHERE id = $1`, [id, at]);
  // a capture or conversion of another day: the event that follows it says so
  const touch = (id: string) => node.call("leads.update", { id, title: `${random.next()}` }, as);
  const changes = {
    async capture() {
      const { id } = await create(org, { source: random.pick(["web", "fair"]) });
      ids.push(id);
      await set(id, "created_at", aTime());
      await touch(id);
    },
    source: (id: string) => node.call("leads.update", { id, source: random.pick(["web", "fair", null]) }, as),
    assign: (id: string) =>
      node.call("leads.assign", { id, userId: org.userId(random.pick(["asha", "bo"])) }, as),
    async convert(id: string) {
      await node.call("leads.convert", { id }, as);
      await set(id, "converted_at", aTime());
      await touch(id);
    },
    remove: (id: string) => node.call("leads.remove", { id }, as),
    restore: (id: string) => node.call("leads.restore", { id }, as),
  };
  const names = Object.keys(changes) as (keyof typeof changes)[];
  for (let step = 0; step < 150; step++) {
    const name = ids.length < 20 ? "capture" : random.pick(names);
    // a deleted lead refuses most changes, a converted one another conversion
    await changes[name](ids.length === 0 ? "" : random.pick(ids)).catch((error: { code?: number }) => {
      if (error.code !== 404 && error.code !== 409) throw error;
    });
    if (random.next() < 0.3)
      await Promise.all([refreshFigures(node, org), refreshFigures(node, org), refreshFigures(node, org)]);
  }
  await refreshFigures(node, org);
  const figures = await stored(org);
  expect({ seed, figures }).toEqual({ seed, figures: await counted(org) });
  expect(figures.length).toBeGreaterThan(10);
});

test("a refresh counts the days anew that changed, and leaves the others", async () => {
  const org = await makeOrg();
  const lead = await create(org);
  await create(org);
  const setCreated = (at: string) =>
    inspect(shardUrl(node, org.id), "UPDATE leads SET created_at = $2 WHERE id = $1", [lead.id, at]);
  await setCreated("2026-05-01T12:00:00Z");
  await refreshFigures(node, org);
  const before = await stored(org);
  // nothing tells of it: only a count of everything would find it
  await setCreated("2026-05-02T12:00:00Z");
  await create(org, { source: "web" });
  await refreshFigures(node, org);
  expect(await stored(org)).toEqual([...before, `${dayIn(timezone, new Date())} web - 1 0 0`].sort());
});

test("everything is counted anew when events since the last time are no longer kept", async () => {
  const org = await makeOrg();
  const { id } = await create(org);
  await refreshFigures(node, org);
  await node.call("leads.remove", { id }, org.as("admin"));
  await placed(node, org);
  await inspect(shardUrl(node, org.id), "DELETE FROM events WHERE organization_id = $1", [org.id]);
  await refreshFigures(node, org);
  expect(await stored(org)).toEqual([]);
});

test("a refresh that dies before its end changes nothing, and the next one makes up for it", async () => {
  const org = await makeOrg();
  await create(org);
  await refreshFigures(node, org);
  const [before, since] = [await stored(org), await refreshedAt(org)];
  await create(org, { source: "web" });
  await placed(node, org);
  const holder = new pg.Client({ connectionString: shardUrl(node, org.id) });
  await holder.connect();
  try {
    await holder.query("BEGIN; LOCK TABLE leads IN ACCESS EXCLUSIVE MODE");
    const dying = expect(refreshFigures(node, org)).rejects.toMatchObject({ code: 503 });
    // old figures are deleted by then, new ones not yet made
    await eventually(async () => {
      const rows = await inspect<{ ended: boolean }>(
        shardUrl(node, org.id),
        `SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO lead_days%'`,
      );
      return rows[0]?.ended;
    });
    await dying;
  } finally {
    await holder.end();
  }
  expect([await stored(org), await refreshedAt(org)]).toEqual([before, since]);
  await refreshFigures(node, org);
  expect(await stored(org)).toEqual(await counted(org));
});

test("a second refresh finds nothing to do", async () => {
  const org = await makeOrg();
  await create(org);
  await refreshFigures(node, org);
  const [before, since] = [await stored(org), await refreshedAt(org)];
  await refreshFigures(node, org);
  expect([await stored(org), await refreshedAt(org)]).toEqual([before, since]);
});

test("the clock's job has those refreshed that are behind, also while another database is silent", async () => {
  const orgs = await Promise.all(Array.from({ length: 12 }, makeOrg));
  const within = (url?: string) => orgs.find((org) => shardUrl(node, org.id) === url) as Org;
  const [other, first] = node.databases.map(within) as [Org, Org];
  for (const org of [first, other]) {
    await create(org);
    await placed(node, org);
  }
  const holder = new pg.Client({ connectionString: shardUrl(node, other.id) });
  await holder.connect();
  try {
    await holder.query("BEGIN; LOCK TABLE analytics_refreshes IN ACCESS EXCLUSIVE MODE");
    const finding = find();
    await eventually(() => refreshedAt(first));
    await holder.query("ROLLBACK");
    await finding;
  } finally {
    await holder.end();
  }
  await Promise.all([find(), find()]);
  await eventually(() => refreshedAt(other));
  expect(await stored(other)).toEqual(await counted(other));
});
