import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { lead, type LeadRow } from "../../entities/lead.ts";
import type { PoolMember } from "../../entities/lead-settings.ts";
import { dealName, furthestStage } from "../../services/leads/convert.rules.ts";
import { ImportPlan } from "../../mixins/records/importing/import-plan.ts";
import { disarm } from "../../mixins/records/handlers/export.ts";
import { changeLead, composeLead, decideLead } from "../../services/leads/leads.rules.ts";
import { normalForm } from "../../mixins/records/writing/changes.ts";
import { normalisePhone } from "../../mixins/values/phone.ts";
import { nextMembers, planPools } from "../../services/leads/pools.rules.ts";

const origin = { organizationId: "o", now: "2026-01-01T00:00:00.000Z" };
const scoring = { rules: [], version: 3 };
const compose = (input: Parameters<typeof composeLead>[0], id = "1") =>
  composeLead(input, { id, ...origin }, scoring);

describe("a phone", () => {
  test.each([
    ["+1 (415) 555-0100", "+14155550100"],
    ["0014155550100", "+14155550100"],
    ["+44 20 7946 0958", "+442079460958"],
    ["98765 43210", "+919876543210"],
    ["09876543210", "+919876543210"],
    ["(022) 2345-6789", "+912223456789"],
    ["91-98765-43210", "+919876543210"],
    ["+12", null],
    ["12", null],
    ["call me", null],
    ["+999999999999999999999", null],
    ["98765 43210 or 98765 43211", null],
  ])("%s is %s", (written, expected) => {
    expect(normalisePhone(written)).toBe(expected);
  });
  test("that is normal stays as it is", () => {
    expect(normalForm(lead, { phone: "+14155550100" })).toEqual({
      input: { phone: "+14155550100" },
      problems: [],
    });
  });
});

describe("a change", () => {
  const before = compose({
    ...{ firstName: "A", lastName: "B", tags: ["x"] },
    customFields: { a: 1, b: { c: 1 } as never },
  });
  const later = "2026-02-01T00:00:00.000Z";
  test("of nothing is none", () => {
    expect(changeLead(before, {}, scoring, later)).toBeNull();
    expect(
      changeLead(before, { firstName: "A", tags: ["x"], customFields: { a: 1, z: null } }, scoring, later),
    ).toBeNull();
  });
  test("names the fields that differ and raises the version once", () => {
    expect(
      changeLead(before, { firstName: null, title: "T", customFields: { a: null } }, scoring, later),
    ).toMatchObject({
      row: { first_name: null, title: "T", version: 2, updated_at: later, custom_fields: { b: { c: 1 } } },
      changes: { firstName: ["A", null], title: [null, "T"], "customFields.a": [1, null] },
    });
  });
  test("of the status of a converted lead is refused, of its tags not", () => {
    const converted = { ...before, status: "converted" as const };
    expect(() => changeLead(converted, { status: "new" }, scoring, later)).toThrow("converted already");
    expect(changeLead(converted, { tags: [] }, scoring, later)?.changes).toEqual({ tags: [["x"], []] });
  });
});

const members = (...weights: number[]): PoolMember[] =>
  weights.map((weight, index) => ({ userId: `u${index}`, weight }));

describe("a pool", () => {
  test("round robin goes on from its position, in turns", () => {
    expect(nextMembers("round_robin", members(1, 1, 1), 4, 4, new Map())).toEqual(["u1", "u2", "u0", "u1"]);
  });
  test("weighted spreads the turns of the heavy among those of the light", () => {
    expect(nextMembers("weighted", members(5, 1, 1), 0, 8, new Map())).toEqual([
      "u0",
      "u0",
      "u1",
      "u0",
      "u2",
      "u0",
      "u0",
      "u0",
    ]);
  });
  test("weighted gives each in a cycle as many turns as its weight, wherever it is cut", () => {
    const weights = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(weights, fc.nat(500), fc.nat(30), (weight, start, cut) => {
        const pool = members(...weight);
        const total = weight.reduce((sum, one) => sum + one, 0);
        const turns = nextMembers("weighted", pool, start, total, new Map());
        expect(pool.map(({ userId }) => turns.filter((turn) => turn === userId).length)).toEqual(weight);
        const parts = Math.min(cut, total);
        expect([
          ...nextMembers("weighted", pool, start, parts, new Map()),
          ...nextMembers("weighted", pool, start + parts, total - parts, new Map()),
        ]).toEqual(turns);
      }),
    );
  });
  test("least loaded fills up from the bottom, ties by the order of members", () => {
    const loads = new Map([
      ["u0", 2],
      ["u2", 1],
    ]);
    expect(nextMembers("least_loaded", members(1, 1, 1), 7, 5, loads)).toEqual([
      "u1",
      "u1",
      "u2",
      "u0",
      "u1",
    ]);
  });
  test("without a member gives nobody", () => {
    expect(nextMembers("round_robin", [], 0, 3, new Map())).toEqual([]);
  });
  test("gets the leads without an assignee that meet its criteria, if it is the first with an active member", () => {
    const pools = [
      { id: "empty", members: members(), criteria: [] },
      { id: "retired", members: [{ userId: "gone", weight: 1 }], criteria: [] },
      { id: "web", members: members(1), criteria: [{ field: "source", op: "eq" as const, value: "web" }] },
      { id: "all", members: members(1), criteria: [] },
    ];
    const rows = [
      compose({ source: "web" }, "1"),
      compose({ source: "fair" }, "2"),
      compose({ assignedTo: "x" }, "3"),
    ];
    expect(
      planPools(pools, rows, new Set(["u0"])).map(([pool, planned]) => [pool, planned.map(({ id }) => id)]),
    ).toEqual([
      ["all", ["2"]],
      ["web", ["1"]],
    ]);
  });
});

describe("conversion", () => {
  test("a contact's stage never moves back", () => {
    expect(furthestStage("customer", "sql")).toBe("customer");
    expect(furthestStage("lead", "opportunity")).toBe("opportunity");
  });
  test("a deal is called after the company, else the person", () => {
    expect(dealName(compose({ companyName: "Acme", firstName: "A" }))).toBe("Acme");
    expect(dealName(compose({ firstName: "A", lastName: "B" }))).toBe("A B");
    expect(dealName(compose({ email: "a@b.example" }))).toBe("a@b.example");
  });
});

describe("a cell of the export", () => {
  test.each([
    ["=1+1", "'=1+1"],
    ["+91", "'+91"],
    ["-1", "'-1"],
    ["@x", "'@x"],
    ["\tx", "'\tx"],
    ["\rx", "'\rx"],
    ["a=b", "a=b"],
    ["", ""],
  ])("%j is written %j", (cell, expected) => {
    expect(disarm(cell)).toBe(expected);
  });
  test("that is a number stays one", () => {
    expect(disarm(-5)).toBe(-5);
  });
});

const everyKey: readonly ("externalId" | "email" | "phone")[] = ["externalId", "email", "phone"];
describe("a batch of an import", () => {
  const stored = compose({ externalId: "x1", email: "old@a.example" }, "stored");
  const from = (rowNumber: number) => ({ rowNumber, record: {} });
  const planOf = (onDuplicate: "skip" | "update" | "create", matchBy = everyKey) =>
    new ImportPlan<LeadRow>(
      {
        ...{ onDuplicate, matchBy, kind: lead, ...origin, marks: { import_id: "i" } },
        decide: (before, change) => decideLead(before, change, scoring),
      },
      [stored],
    );

  test("with skip takes each person once, stored or not", () => {
    const plan = planOf("skip");
    plan.take(from(1), { input: { email: "old@a.example" }, id: "a" });
    plan.take(from(2), { input: { email: "new@a.example", phone: "+1" }, id: "b" });
    plan.take(from(3), { input: { phone: "+1" }, id: "c" });
    expect(plan.counts).toEqual({ created: 1, updated: 0, skipped: 2 });
    expect(plan.changed()).toEqual([]);
  });
  test("never joins by a weaker key two whom a stronger one tells apart", () => {
    const plan = planOf("update");
    plan.take(from(1), {
      input: { externalId: "1", firstName: "Asha", email: "a@a.example", phone: "+912223456789" },
      id: "a",
    });
    plan.take(from(2), {
      input: { externalId: "2", firstName: "Ravi", email: "r@a.example", phone: "+912223456789" },
      id: "b",
    });
    plan.take(from(3), { input: { email: "m@a.example", phone: "+912223456789" }, id: "c" });
    plan.take(from(4), { input: { externalId: "2", email: "moved@a.example" }, id: "d" });
    plan.take(from(5), { input: { phone: "+912223456789" }, id: "e" });
    expect(plan.counts).toEqual({ created: 3, updated: 2, skipped: 0 });
    expect(plan.created().map(({ row }) => [row.id, row.email])).toEqual([
      ["a", "a@a.example"],
      ["b", "moved@a.example"],
      ["c", "m@a.example"],
    ]);
  });
  test("matches by no other keys than it is told, and says by which", () => {
    const plan = planOf("skip", ["externalId", "email"]);
    expect(
      plan.take(from(1), { input: { firstName: "A", phone: "+5511987654321" }, id: "a" }),
    ).toBeUndefined();
    expect(
      plan.take(from(2), { input: { firstName: "B", phone: "+5511987654321" }, id: "b" }),
    ).toBeUndefined();
    expect(plan.take(from(3), { input: { email: "old@a.example" }, id: "c" })).toBe(
      "skipped: the lead stored has this email",
    );
    const byPhone = planOf("skip", ["phone"]);
    byPhone.take(from(1), { input: { phone: "+5511987654321" }, id: "a" });
    expect(byPhone.take(from(2), { input: { phone: "+551187654321" }, id: "b" })).toBe(
      "skipped: row 1 has this phone",
    );
  });
  test("with update changes the stored lead once, whatever the number of rows", () => {
    const plan = planOf("update");
    plan.take(from(1), { input: { externalId: "x1", title: "T" }, id: "a" });
    plan.take(from(2), { input: { email: "old@a.example", source: "S" }, id: "b" });
    expect(plan.counts).toEqual({ created: 0, updated: 2, skipped: 0 });
    expect(plan.changed()).toMatchObject([
      { row: { title: "T", source: "S", version: 2, import_id: "i" }, before: stored },
    ]);
  });
  test("with update a later row may change a lead that an earlier one makes", () => {
    const plan = planOf("update");
    plan.take(from(1), { input: { email: "n@a.example" }, id: "a" });
    plan.take(from(2), { input: { email: "n@a.example", title: "T" }, id: "b" });
    expect(plan.created()).toMatchObject([{ row: { id: "a", title: "T", version: 1 } }]);
    expect(plan.withdraw(plan.created()[0] as never).map(({ rowNumber }) => rowNumber)).toEqual([1, 2]);
    expect(plan.counts).toEqual({ created: 0, updated: 0, skipped: 0 });
  });
  test("with create makes everybody again, but an external id only once", () => {
    const plan = planOf("create");
    plan.take(from(1), { input: { email: "old@a.example" }, id: "a" });
    plan.take(from(2), { input: { externalId: "x2" }, id: "b" });
    expect(() => plan.take(from(3), { input: { externalId: "x1" }, id: "c" })).toThrow();
    expect(() => plan.take(from(4), { input: { externalId: "x2" }, id: "d" })).toThrow();
    expect(plan.counts).toEqual({ created: 2, updated: 0, skipped: 0 });
  });
});
