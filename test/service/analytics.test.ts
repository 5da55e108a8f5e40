import { beforeAll, describe, expect, test } from "@jest/globals";
import type { ParamsIn } from "../../mixins/contract/contract.ts";
import type { Meta } from "../../mixins/contract/meta.ts";
import type { Actions, Result } from "../../services/contracts.ts";
import { localDaySql, offsetsOf } from "../../mixins/contract/time-zone.ts";
import { dayIn, refreshFigures } from "../support/analytics.ts";
import { inspect } from "../support/database.ts";
import { ended, upload } from "../support/imports.ts";
import { makeOrganization, shardUrl, type TestOrganization } from "../support/leads.ts";
import { eventually } from "../support/eventually.ts";
import { shareNode, type TestNode } from "../support/node.ts";

type Users = "asha" | "bo" | "meera";
type Org = TestOrganization<Users>;
type Params = ParamsIn<Actions["analytics.conversion"]>;

const dayMs = 86_400_000;
let node: TestNode;
beforeAll(async () => {
  node = await shareNode();
});

const makeOrg = (): Promise<Org> =>
  makeOrganization(node, { asha: "sales_rep", bo: "sales_rep", meera: "manager" });
const create = (org: Org, lead: Record<string, unknown> = {}) =>
  node.call("leads.create", { lastName: "Rao", ...lead }, org.as("admin"));
const perDay = (org: Org, params: Params = {}, meta: Meta = org.as("admin")) =>
  node.call("analytics.leadsPerDay", params, meta);
const conversion = (org: Org, params: Params = {}, meta: Meta = org.as("admin")) =>
  node.call("analytics.conversion", params, meta);
const setCreated = (org: Org, id: string, at: string) =>
  inspect(shardUrl(node, org.id), "UPDATE leads SET created_at = $2 WHERE id = $1", [id, at]);
const today = () => dayIn("UTC", new Date());
/** The days of an answer that are not empty. */
const busy = ({ data }: Result<"analytics.leadsPerDay">) =>
  data.filter(({ captured, conversions }) => captured + conversions > 0);

describe("figures", () => {
  test("nothing is counted until the first refresh, and the answer says so", async () => {
    const org = await makeOrg();
    await create(org);
    const before = await perDay(org);
    expect(before.refreshedAt).toBeNull();
    expect(before.data).toHaveLength(30);
    expect(busy(before)).toEqual([]);
    expect(await conversion(org)).toEqual({
      data: [{ captured: 0, converted: 0, rate: null }],
      refreshedAt: null,
    });
    await refreshFigures(node, org);
    const after = await perDay(org);
    expect(Date.parse(after.refreshedAt as string)).toBeGreaterThan(Date.now() - 60_000);
    expect(after.data.at(-1)).toEqual({ day: today(), captured: 1, conversions: 0 });
  });

  test("captures, assignments, conversions, deletions, restored leads and imports show after each refresh", async () => {
    const org = await makeOrg();
    const asha = org.userId("asha");
    const shown = async () => {
      await refreshFigures(node, org);
      const [all] = (await conversion(org)).data;
      const { data: byUser } = await conversion(org, { groupBy: "assignedTo" });
      return { ...all, ofAsha: byUser.find(({ assignedTo }) => assignedTo === asha)?.captured ?? 0 };
    };
    const leads = [await create(org), await create(org, { source: "web" })] as const;
    expect(await shown()).toEqual({ captured: 2, converted: 0, rate: 0, ofAsha: 0 });
    await node.call("leads.assign", { id: leads[0].id, userId: asha }, org.as("admin"));
    expect(await shown()).toMatchObject({ captured: 2, ofAsha: 1 });
    await node.call("leads.convert", { id: leads[0].id }, org.as("admin"));
    expect(await shown()).toEqual({ captured: 2, converted: 1, rate: 0.5, ofAsha: 1 });
    expect(busy(await perDay(org))).toEqual([{ day: today(), captured: 2, conversions: 1 }]);
    await node.call("leads.remove", { id: leads[0].id }, org.as("admin"));
    expect(await shown()).toEqual({ captured: 1, converted: 0, rate: 0, ofAsha: 0 });
    await node.call("leads.restore", { id: leads[0].id }, org.as("admin"));
    expect(await shown()).toEqual({ captured: 2, converted: 1, rate: 0.5, ofAsha: 1 });
    const file = "Last Name,Source\nKim,fair\nLee,fair\n";
    const { id } = await upload(node, org.as("admin"), file);
    await ended(node, org.as("admin"), id);
    expect(await shown()).toMatchObject({ captured: 4, converted: 1 });
    expect((await conversion(org, { groupBy: "source" })).data).toEqual([
      { source: "fair", captured: 2, converted: 0, rate: 0 },
      { source: "web", captured: 1, converted: 0, rate: 0 },
      { source: null, captured: 1, converted: 1, rate: 1 },
    ]);
    await node.call("imports.rollback", { id }, org.as("admin"));
    await ended(node, org.as("admin"), id);
    expect(await shown()).toMatchObject({ captured: 2 });
  });

  test("a conversion counts on its own day, and to the day its lead was captured", async () => {
    const org = await makeOrg();
    const lead = await create(org, { source: "web" });
    await setCreated(org, lead.id, "2026-01-10T12:00:00.000Z");
    await node.call("leads.convert", { id: lead.id }, org.as("admin"));
    await refreshFigures(node, org);
    const january = { from: "2026-01-01", to: "2026-01-31" };
    expect(busy(await perDay(org, january))).toEqual([{ day: "2026-01-10", captured: 1, conversions: 0 }]);
    expect(busy(await perDay(org))).toEqual([{ day: today(), captured: 0, conversions: 1 }]);
    expect((await perDay(org, { groupBy: "source" })).data).toEqual([
      { day: today(), source: "web", captured: 0, conversions: 1 },
    ]);
    expect((await conversion(org, january)).data).toEqual([{ captured: 1, converted: 1, rate: 1 }]);
    expect((await conversion(org, { groupBy: "source" })).data).toEqual([]);
  });

  test("leads that have been kept long enough and are gone count no more", async () => {
    const org = await makeOrg();
    for (const lead of [await create(org), await create(org)])
      await node.call("leads.convert", { id: lead.id }, org.as("admin"));
    await refreshFigures(node, org);
    expect((await conversion(org)).data).toMatchObject([{ captured: 2, converted: 2 }]);
    await node.broker.call(
      "leads.leads.expire",
      { before: new Date(Date.now() + 60_000).toISOString(), after: null },
      { meta: { organizationId: org.id, role: "system" } },
    );
    await refreshFigures(node, org);
    expect((await conversion(org)).data).toEqual([{ captured: 0, converted: 0, rate: null }]);
    expect(busy(await perDay(org))).toEqual([]);
  });

  test("more rows than an answer can hold are refused, with what to do", async () => {
    const org = await makeOrg();
    await inspect(
      shardUrl(node, org.id),
      `INSERT INTO lead_days (organization_id, day, source, captured, converted, conversions)
       SELECT $1, '2026-02-01', 'source ' || n, 1, 0, 0 FROM generate_series(1, 2001) n`,
      [org.id],
    );
    const february = { from: "2026-02-01", to: "2026-02-28" };
    expect((await conversion(org, february)).data).toMatchObject([{ captured: 2001 }]);
    await expect(conversion(org, { ...february, groupBy: "source" })).rejects.toMatchObject({
      data: { errors: [{ code: "too_many_rows" }] },
    });
  });

  test("an organization's figures are its own", async () => {
    const [ours, theirs] = [await makeOrg(), await makeOrg()];
    await create(theirs, { source: "theirs" });
    await create(ours);
    for (const org of [ours, theirs]) await refreshFigures(node, org);
    expect((await conversion(ours)).data).toMatchObject([{ captured: 1 }]);
    expect(JSON.stringify(await perDay(ours, { groupBy: "source" }))).not.toContain("theirs");
  });
});

describe("days", () => {
  test("are the organization's, and are made anew when its time zone changes", async () => {
    const org = await makeOrg();
    const leads = [await create(org), await create(org)] as const;
    await setCreated(org, leads[0].id, "2026-03-05T18:29:59.999Z"); // 23:59:59.999 in India
    await setCreated(org, leads[1].id, "2026-03-05T18:30:00.000Z"); // midnight
    const shown = async (timezone: string) => {
      const { version } = await node.call("identity.updateOrganization", { timezone }, org.as("admin"));
      await eventually(async () => {
        const { data } = await node.call("events.list", { types: "organization.updated" }, org.as("admin"));
        return data.some(({ entity }) => entity.version === version);
      });
      await refreshFigures(node, org);
      const days = busy(await perDay(org, { from: "2026-03-01", to: "2026-03-10" }));
      return days.map(({ day, captured }) => [day, captured]);
    };
    expect(await shown("Europe/London")).toEqual([["2026-03-05", 2]]);
    const split = [
      ["2026-03-05", 1],
      ["2026-03-06", 1],
    ];
    expect(await shown("Asia/Kolkata")).toEqual(split);
    expect(await shown("America/New_York")).toEqual([["2026-03-05", 2]]);
    expect(await shown("+05:30")).toEqual(split);
  });

  test("begin and end in PostgreSQL when they do in node, in every time zone that Intl knows", async () => {
    const names = [
      ...Intl.supportedValuesOf("timeZone"),
      // links, offsets, and what organizations may have from before abbreviations were refused
      ...[
        "US/Pacific-New",
        "Asia/Kolkata",
        "UTC",
        "+05:30",
        "-09:30",
        "IST",
        "EST",
        "CST6CDT",
        "Nowhere/Gone",
      ],
    ];
    const differences: string[] = [];
    for (const name of names) {
      const { from, seconds } = offsetsOf(name);
      // around every change of the offset, and around the midnights next to it
      const instants = ["2026-01-01T05:00:00.000Z", "2026-07-01T18:45:00.000Z", ...from.slice(-40)].flatMap(
        (at) =>
          [0, ...seconds.slice(-3)].flatMap((offset) => {
            const midnight = Math.floor(Date.parse(at) / dayMs) * dayMs - offset * 1_000;
            return [Date.parse(at) - 1, Date.parse(at), midnight - 1, midnight, midnight + dayMs];
          }),
      );
      const rows = await inspect<{ at: string; day: string }>(
        node.databases[0] as string,
        `SELECT at, ${localDaySql("at::timestamptz", "$2", "$3")}::text AS day FROM unnest($1::text[]) AS at`,
        [instants.map((at) => new Date(at).toISOString()), from, seconds],
      );
      const zone = name === "Nowhere/Gone" ? "UTC" : name;
      const format = new Intl.DateTimeFormat("sv-SE", { timeZone: zone });
      for (const { at, day } of rows)
        if (day !== format.format(new Date(at))) differences.push(`${name} ${at} ${day}`);
    }
    expect(differences).toEqual([]);
  }, 120_000);

  test.each(["US/Pacific-New", "Africa/Casablanca", "America/Edmonton", "IST", "+05:30", "Nowhere/Gone"])(
    "of an organization whose zone is %s are counted",
    async (timezone) => {
      const org = await makeOrg();
      await inspect(
        node.databases[0] as string,
        "UPDATE control.organizations SET timezone = $2 WHERE id = $1",
        [org.id, timezone],
      );
      const lead = await create(org);
      await setCreated(org, lead.id, "2026-03-05T18:30:00.000Z");
      await refreshFigures(node, org);
      const day = dayIn(timezone === "Nowhere/Gone" ? "UTC" : timezone, "2026-03-05T18:30:00.000Z");
      const counted = await perDay(org, { from: "2026-03-01", to: "2026-03-10" });
      expect(busy(counted).map((row) => [row.day, row.captured])).toEqual([[day, 1]]);
      // today, where the organization is
      const shown = await perDay(org, { groupBy: "none" });
      expect(shown.data.at(-1)?.day).toBe(dayIn(timezone === "Nowhere/Gone" ? "UTC" : timezone, new Date()));
    },
  );

  test("are counted anew when the rules of time zones have changed", async () => {
    const org = await makeOrg();
    await create(org);
    await refreshFigures(node, org);
    const home = shardUrl(node, org.id);
    const rules = () =>
      inspect<{ timezone: string }>(
        home,
        "SELECT timezone FROM analytics_refreshes WHERE organization_id = $1",
        [org.id],
      );
    const [now] = await rules();
    await inspect(
      home,
      `UPDATE analytics_refreshes SET timezone = 'UTC 2020a' WHERE organization_id = '${org.id}';
       UPDATE lead_days SET day = day - 1 WHERE organization_id = '${org.id}'`,
    );
    await create(org);
    await refreshFigures(node, org);
    expect(await rules()).toEqual([now]);
    expect(busy(await perDay(org)).map(({ captured }) => captured)).toEqual([2]);
  });

  test.each([
    [{ from: "2026-02-02", to: "2026-02-01" }, "after_to"],
    [{ from: "2025-01-01", to: "2026-01-02" }, "too_long"],
    [{ from: "1969-12-31", to: "1970-01-01" }, "too_early"],
    [{ to: "9999-12-31" }, "too_late"],
    [{ to: "2026-02-30" }, "invalid_format"],
    [{ groupBy: "email" }, "invalid_value"],
  ])("%j is refused as %s", async (params, code) => {
    await expect(perDay(await makeOrg(), params as Params)).rejects.toMatchObject({
      code: 400,
      data: { errors: [{ code }] },
    });
  });

  test("366 of them are answered", async () => {
    const { data } = await perDay(await makeOrg(), { from: "2025-01-01", to: "2026-01-01" });
    expect(data).toHaveLength(366);
    expect([data[0]?.day, data.at(-1)?.day]).toEqual(["2025-01-01", "2026-01-01"]);
  });
});

describe("a manager with a team", () => {
  test("is shown the figures of the team's leads, unassigned ones and the manager's own; an admin and a viewer all", async () => {
    const org = await makeOrg();
    for (const assignedTo of [org.userId("asha"), org.userId("bo"), org.userId("meera"), undefined])
      await create(org, { source: "web", ...(assignedTo && { assignedTo }) });
    const team = { name: "North", managerIds: [org.userId("meera")], memberIds: [org.userId("asha")] };
    await node.call("teams.create", team, org.as("admin"));
    await refreshFigures(node, org);
    const seenAs = async (meta: Meta) => {
      const [all] = (await conversion(org, {}, meta)).data;
      const users = (await perDay(org, { groupBy: "assignedTo" }, meta)).data.map((row) => row.assignedTo);
      expect(all?.captured).toBe(users.length);
      return users.sort();
    };
    const everybody = [org.userId("asha"), org.userId("bo"), org.userId("meera"), null].sort();
    expect(await seenAs(org.as("admin"))).toEqual(everybody);
    expect(await seenAs({ ...org.as("asha"), role: "viewer" })).toEqual(everybody);
    expect(await seenAs(org.as("meera"))).toEqual(everybody.filter((user) => user !== org.userId("bo")));
    await expect(perDay(org, {}, org.as("asha"))).rejects.toMatchObject({ code: 403 });
  });
});
