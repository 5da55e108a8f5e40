import { describe, expect, test } from "@jest/globals";
import { instantIn } from "../../mixins/contract/time-zone.ts";
import { conditionLimits } from "../../mixins/records/conditions/condition.ts";
import { compareDecimals, decimalOf, plainNumber, type Decimal } from "../../mixins/values/decimal.ts";
import { customQueryField, type Fields } from "../../mixins/records/conditions/fields.ts";
import { fitCondition } from "../../mixins/records/conditions/fit.ts";
import { predicateOf } from "../../mixins/records/conditions/predicate.ts";

const fields: Fields = {
  names: ["name", "budget", "at"],
  fieldOf: (path) =>
    ({
      name: { type: "text" as const },
      budget: customQueryField({ type: "money" }),
      at: { type: "timestamp" as const },
    })[path],
};
const fit = (condition: unknown, timeZone = "UTC") => fitCondition(fields, condition, { timeZone });
const problemsOf = (condition: unknown) =>
  fit(condition).problems.map(({ path, code }) => `${path.join(".")} ${code}`);
const name = (value: unknown, op = "eq") => ({ field: "name", op, value });

describe("a condition", () => {
  test("is refused with everything that is wrong with it, and where", () => {
    expect(
      problemsOf({
        all: [
          name("x"),
          { field: "nosuch", op: "eq", value: 1 },
          { any: [] },
          { not: name("ab", "like") },
          7,
          { all: [], any: [] },
        ],
      }),
    ).toEqual([
      "all.1.field unknown_field",
      "all.2.any invalid_type",
      "all.3.not.value too_small",
      "all.4 invalid_type",
      "all.5 invalid_type",
    ]);
  });

  test("has a bounded size, and so has what is told of it", () => {
    const many = (count: number) => Array.from({ length: count }, () => name("x"));
    expect(problemsOf({ all: many(conditionLimits.tests) })).toEqual([]);
    expect(problemsOf({ all: many(conditionLimits.tests + 1) })).toEqual(["all too_big"]);
    expect(problemsOf({ all: [{ any: many(60) }, { any: many(41) }] })).toEqual(["all.1.any.40 too_big"]);
    const wide = { all: Array.from({ length: 100 }, () => ({ any: Array.from({ length: 100 }, () => 7) })) };
    expect(problemsOf(wide)).toHaveLength(100);
    const nested = (depth: number): unknown => (depth === 0 ? name("x") : { not: nested(depth - 1) });
    expect(problemsOf(nested(conditionLimits.depth - 1))).toEqual([]);
    expect(problemsOf(nested(conditionLimits.depth))).toEqual([
      `${"not.".repeat(conditionLimits.depth).slice(0, -1)} too_deep`,
    ]);
    expect(problemsOf(nested(1_000))).toHaveLength(1);
    expect(problemsOf(name([], "in"))).toEqual(["value too_small"]);
    expect(problemsOf(name("x".repeat(conditionLimits.characters + 1)))).toEqual(["value too_big"]);
  });

  test("about money holds within its currency alone", () => {
    const holds = (op: string, value: unknown, budget: unknown) => {
      const { fitted, problems } = fit({ field: "budget", op, value });
      expect(problems).toEqual([]);
      return predicateOf(fitted, (record: unknown) => record)(budget);
    };
    const inr = { amount: "500.00", currency: "INR" };
    expect(holds("gt", "499.99 INR", inr)).toBe(true);
    expect(holds("eq", { amount: 500, currency: "INR" }, inr)).toBe(true);
    for (const op of ["eq", "gt", "lt", "gte", "lte"]) expect(holds(op, "USD 500", inr)).toBe(false);
    expect(holds("ne", "500 USD", inr)).toBe(true);
    expect(problemsOf({ field: "budget", op: "eq", value: "500" })).toEqual(["value invalid_value"]);
    expect(problemsOf({ field: "budget", op: "eq", value: "500 XYZ" })).toEqual(["value invalid_value"]);
  });

  test("takes a time without a zone for one of the organization's", () => {
    const instantOf = (value: string, timeZone: string) => {
      const { fitted } = fit({ field: "at", op: "gt", value }, timeZone);
      return "test" in fitted ? fitted.test.operands[0] : undefined;
    };
    expect(instantOf("2026-01-31", "Asia/Kolkata")).toBe("2026-01-30T18:30:00.000Z");
    expect(instantOf("2026-01-31T09:30", "Asia/Kolkata")).toBe("2026-01-31T04:00:00.000Z");
    expect(instantOf("2026-01-31T09:30Z", "Asia/Kolkata")).toBe("2026-01-31T09:30:00.000Z");
    expect(instantOf("2026-01-31T09:30:00+02:00", "Asia/Kolkata")).toBe("2026-01-31T07:30:00.000Z");
    expect(instantOf("0001-01-01", "Asia/Kolkata")).toBeUndefined();
    expect(instantOf("9999-12-31T23:59", "America/New_York")).toBeUndefined();
  });
});

test.each([
  ["Europe/Berlin", "2026-07-01T12:00:00Z", "2026-07-01T10:00:00Z"],
  // shown twice: the earlier
  ["Europe/Berlin", "2026-10-25T02:30:00Z", "2026-10-25T00:30:00Z"],
  // left out: an hour later
  ["Europe/Berlin", "2026-03-29T02:30:00Z", "2026-03-29T01:30:00Z"],
  ["+05:30", "2026-01-01T00:00:00Z", "2025-12-31T18:30:00Z"],
  ["No/Where", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"],
])("clocks of %s show %s at %s", (zone, shown, at) => {
  expect(new Date(instantIn(zone, Date.parse(shown))).toISOString()).toBe(new Date(at).toISOString());
});

test("decimals compare exactly, whatever their size and however they are written", () => {
  const compare = (one: unknown, other: unknown) =>
    compareDecimals(decimalOf(one) as Decimal, decimalOf(other) as Decimal);
  expect(compare("9007199254740993", "9007199254740992")).toBe(1);
  expect(compare("0.30", 0.3)).toBe(0);
  expect(compare("-0.1", "-0.11")).toBe(1);
  expect(compare(1e21, "1000000000000000000000")).toBe(0);
  expect([1e21, 1.5e-7, -2.5e22, 0.1, -0].map(plainNumber)).toEqual([
    ...["1000000000000000000000", "0.00000015", "-25000000000000000000000", "0.1", "0"],
  ]);
  expect(["1e3", " 1", "1.", ".5", "", "\u0661", null, true, NaN].map(decimalOf)).toEqual(
    Array(9).fill(undefined),
  );
});
