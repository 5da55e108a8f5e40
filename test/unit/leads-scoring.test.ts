import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import type { Condition, ScoringRule } from "../../entities/lead-settings.ts";
import { customQueryField } from "../../mixins/records/conditions/fields.ts";
import { holdAll } from "../../services/leads/conditions.ts";
import { type LeadInput } from "../../entities/lead.ts";
import { leadsContract } from "../../services/leads/leads.contract.ts";
import { composeLead } from "../../services/leads/leads.rules.ts";
import { defaultRules } from "../../services/leads/scoring.defaults.ts";
import { factsOf } from "../../services/leads/scoring.facts.ts";
import { conversionProbability, rocAuc, scoreOf } from "../../services/leads/scoring.rules.ts";

const origin = {
  id: "019a0000-0000-7000-8000-000000000001",
  organizationId: "019a0000-0000-7000-8000-000000000002",
  now: "2026-01-01T00:00:00.000Z",
};
const scoring = { rules: defaultRules, version: 0 };
const lead = (input: LeadInput) => composeLead(input, origin, scoring);
const facts = (input: LeadInput) => factsOf(lead(input));

describe("a condition", () => {
  const ada = facts({
    firstName: "Ada",
    email: "ada@acme.example",
    source: "Web Form",
    tags: ["hot", "VIP"],
    customFields: { visits: 7, budget: "1000", plan: "Pro", since: "2026-03-01", beta: true },
    consent: { email: true },
  });
  test.each<[string, string, unknown, boolean]>([
    ["firstName", "eq", "Ada", true],
    ["firstName", "eq", "ada", false],
    ["firstName", "eq", "Bob", false],
    ["firstName", "ne", "Bob", true],
    ["firstName", "ne", "ADA", true],
    ["firstName", "nin", ["Ada", "Bob"], false],
    ["email", "eq", "ADA@acme.example", true],
    ["lastName", "eq", "x", false],
    ["lastName", "ne", "x", true],
    ["lastName", "isnull", true, true],
    ["lastName", "isnull", false, false],
    ["firstName", "isnull", true, false],
    ["firstName", "isnull", false, true],
    ["lastName", "like", "*", false],
    ["lastName", "lt", "z", false],
    ["source", "in", ["Web Form", "chat"], true],
    ["source", "in", ["web form", "chat"], false],
    ["source", "in", ["chat"], false],
    ["source", "like", "form", true],
    ["source", "like", "form*", false],
    ["source", "like", "*form", true],
    ["source", "like", "w*b*m", true],
    ["source", "like", "web form*form", false],
    ["source", "like", ["chat", "form"], true],
    ["tags", "eq", "VIP", true],
    ["tags", "eq", "vip", false],
    ["tags", "ne", "VIP", false],
    ["tags", "ne", "cold", true],
    ["tags", "in", ["cold", "hot"], true],
    ["tags", "contains", ["VIP", "hot"], true],
    ["tags", "contains", ["VIP", "cold"], false],
    // as conditions were stored before there was one language
    ["firstName", "eq", ["Ada", "Bob"], true],
    ["firstName", "like", "a", true],
    ["lastName", "isnull", "yes", true],
    ["status", "eq", "New", false],
    ["status", "ne", "New", true],
    ["status", "nin", ["New", "new"], false],
    ["visits", "ne", "many", true],
    ["visits", "gt", "many", false],
    ["nosuch", "ne", "x", false],
    ["tags", "like", "vi", true],
    ["tags", "isnull", false, true],
    ["customFields.visits", "gt", 6, true],
    ["customFields.visits", "gt", 7, false],
    ["customFields.visits", "gte", 7, true],
    ["customFields.visits", "lt", 7, false],
    ["customFields.visits", "lte", "7", true],
    ["customFields.budget", "gt", 999, true],
    ["customFields.budget", "gt", "99", true],
    ["customFields.budget", "eq", 1000, true],
    ["customFields.plan", "gt", 5, false],
    ["customFields.plan", "lt", 5, false],
    ["customFields.since", "gte", "2026-02-01", true],
    ["customFields.since", "lt", "2026-02-01", false],
    ["customFields.beta", "eq", true, true],
    ["customFields.beta", "eq", "true", true],
    ["customFields.missing", "gte", 0, false],
    ["customFields.constructor", "isnull", true, true],
    ["consent.email", "eq", true, true],
    ["consent.phone", "isnull", true, true],
    ["emailKind", "eq", "business", true],
    ["emailDomain", "eq", "acme.example", true],
    ["visits", "gte", 7, true],
    ["doNotCall", "eq", false, true],
  ])("%s %s %p is %p", (field, op, value, expected) => {
    expect(holdAll([{ field, op, value } as Condition], ada)).toBe(expected);
  });

  const seats = (value: unknown, type?: string) => {
    const condition: Condition = { field: "customFields.seats", op: "gte", value: 10 };
    const definitions = type === undefined ? undefined : new Map([["seats", customQueryField({ type })]]);
    return holdAll([condition], facts({ customFields: { seats: value } } as LeadInput), definitions);
  };
  test.each([
    ["9", undefined, false],
    ["10", undefined, true],
    ["9", "number", false],
    ["10.0", "number", true],
    ["many", "number", false],
    // nothing is both a day and 10
    [10, "date", false],
  ])("seats of %p as %s are 10 or more: %p", (value, type, expected) => {
    expect(seats(value, type)).toBe(expected);
  });

  test("may be a tree, judged by each lead anew", () => {
    const tree: Condition = {
      any: [
        {
          all: [
            { field: "source", op: "eq", value: "Web Form" },
            { not: { field: "tags", op: "eq", value: "cold" } },
          ],
        },
        { field: "score", op: "gte", value: 90 },
      ],
    };
    const conditions = [tree];
    expect(holdAll(conditions, ada)).toBe(true);
    expect(holdAll(conditions, facts({ source: "Web Form", tags: ["cold"] }))).toBe(false);
  });
});

describe("derived facts", () => {
  test.each([
    ["CTO", "executive"],
    ["Co-Founder & CEO", "executive"],
    ["Managing Director", "executive"],
    ["Vice President, Sales", "director"],
    ["Director of Engineering", "director"],
    ["Project Manager", "manager"],
    ["Octopus Doctor", "other"],
    ["Leadership Coach", "other"],
  ])("the title %s is of the rank %s", (title, seniority) => {
    expect(facts({ title }).seniority).toBe(seniority);
  });
  test("knows facts under the names other systems give them", () => {
    expect(
      facts({
        customFields: { TotalVisits: "4", "Total Time Spent on Website": 960, "Do Not Email": "Yes" },
      }),
    ).toMatchObject({ visits: 4, secondsOnSite: 960, doNotEmail: true, doNotCall: false });
    expect(facts({ consent: { email: false } }).doNotEmail).toBe(true);
  });
});

describe("a score", () => {
  test("of the defaults rises with what is known and falls with what was refused", () => {
    const known: LeadInput = {
      firstName: "A",
      lastName: "B",
      email: "a@acme.example",
      companyName: "Acme",
      title: "CEO",
    };
    const score = (input: LeadInput) => lead(input).score;
    expect(score({ firstName: "A" })).toBe(0);
    expect(score({ email: "a@gmail.com" })).toBeLessThan(score({ email: "a@acme.example" }));
    expect(score(known)).toBeGreaterThan(score({ firstName: "A", lastName: "B" }));
    expect(score({ ...known, customFields: { doNotEmail: true } })).toBeLessThan(score(known));
    expect(score({ ...known, status: "unqualified" })).toBe(score(known));
  });

  test("the default rules are valid by the contract", () => {
    const { params } = leadsContract.actions.setScoringRules;
    expect(params.safeParse({ rules: defaultRules }).error).toBeUndefined();
  });

  test("a rule about a field that does not exist, or about the score, is refused", () => {
    const rule = (field: string) => ({
      rules: [{ factor: "f", points: 1, detail: "d", conditions: [{ field, op: "isnull", value: true }] }],
    });
    const isValid = (field: string) =>
      leadsContract.actions.setScoringRules.params.safeParse(rule(field)).success;
    expect(["email", "customFields.My Key", "consent.sms"].map(isValid)).toEqual([true, true, true]);
    expect(["score", "nonsense", "customFields.", "__proto__"].map(isValid)).toEqual([
      false,
      false,
      false,
      false,
    ]);
  });

  const value = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null));
  const anyLead = fc
    .record({
      firstName: fc.option(fc.string()),
      email: fc.option(fc.constantFrom("a@gmail.com", "b@acme.example")),
      title: fc.option(fc.string()),
      source: fc.option(fc.string()),
      tags: fc.array(fc.string(), { maxLength: 3 }),
      customFields: fc.dictionary(fc.string(), value, { maxKeys: 4 }),
    })
    .map((input) => facts(input as LeadInput));
  const anyRule: fc.Arbitrary<ScoringRule> = fc.record({
    factor: fc.string(),
    points: fc.integer({ min: -100, max: 100 }),
    detail: fc.string(),
    conditions: fc.array(
      fc.record({
        field: fc.constantFrom("firstName", "email", "title", "tags", "visits", "customFields.a"),
        op: fc.constantFrom("eq", "ne", "gt", "gte", "lt", "lte", "in", "like", "isnull"),
        value: fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.array(fc.string(), { maxLength: 3 })),
      }),
      { minLength: 1, maxLength: 2 },
    ),
  });
  test("is always a whole number from 0 to 100 that its reasons add up to", () => {
    fc.assert(
      fc.property(fc.array(anyRule, { maxLength: 20 }), anyLead, (rules, about) => {
        const { score, reasons } = scoreOf(rules, about);
        expect(Number.isInteger(score) && score >= 0 && score <= 100).toBe(true);
        expect(reasons.reduce((sum, { points }) => sum + points, 0)).toBe(score);
        expect(reasons.every(({ points }) => points !== 0)).toBe(true);
      }),
    );
  });
});

describe("the chance to convert", () => {
  test("without history is the score", () => {
    expect(conversionProbability(70, [])).toBeCloseTo(0.7);
  });
  test("moves towards what was observed, by leads with a score at most 10 away", () => {
    const history = [
      { score: 59, closed: 1000, converted: 0 },
      { score: 60, closed: 30, converted: 30 },
      { score: 80, closed: 50, converted: 0 },
      { score: 81, closed: 1000, converted: 1000 },
    ];
    expect(conversionProbability(70, history)).toBeCloseTo((30 + 20 * 0.7) / (80 + 20));
  });
  test("stays between 0 and 1", () => {
    expect(conversionProbability(0, [{ score: 0, closed: 9, converted: 0 }])).toBe(0);
    expect(conversionProbability(100, [{ score: 100, closed: 9, converted: 9 }])).toBe(1);
  });
});

describe("the area under the curve", () => {
  test("is the share of pairs, one converted and one not, that the score puts in order", () => {
    const leads = fc.array(fc.record({ score: fc.integer({ min: 0, max: 5 }), isWon: fc.boolean() }), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(leads, (closed) => {
        const won = closed.filter(({ isWon }) => isWon);
        const lost = closed.filter(({ isWon }) => !isWon);
        const pairs = won.flatMap((one) =>
          lost.map((other): number => (one.score > other.score ? 1 : one.score === other.score ? 0.5 : 0)),
        );
        const expected =
          pairs.length === 0 ? null : pairs.reduce((sum, pair) => sum + pair, 0) / pairs.length;
        const scores = [...new Set(closed.map(({ score }) => score))];
        const history = scores.map((score) => ({
          score,
          closed: closed.filter((lead) => lead.score === score).length,
          converted: won.filter((lead) => lead.score === score).length,
        }));
        expect(rocAuc(history)).toEqual(expected === null ? null : expect.closeTo(expected));
      }),
    );
  });
});
