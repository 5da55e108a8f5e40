import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { ColumnSurvey } from "../../services/imports/columns.rules.ts";
import { kinds } from "../../entities/kinds.ts";
import type { AnyKind } from "../../mixins/records/kind/kind.ts";
import { targetsOf } from "../../services/imports/targets.ts";
import { keyOf } from "../../services/imports/field-keys.rules.ts";
import { type FieldTypes } from "../../services/imports/rows.rules.ts";

const leads = targetsOf(kinds.get("lead") as AnyKind);

describe("the key of a custom field", () => {
  test.each([
    ["Lead Status", "leadStatus"],
    ["Página", "pagina"],
    ["TotalVisits", "totalVisits"],
    ["1.5", "1_5"],
    ["CRM", "crm"],
  ])("of %j is %j", (heading, key) => {
    expect(keyOf(heading)).toBe(key);
  });

  test.each([
    ["Price ($)", "Price (€)"],
    ["C", "C++"],
    ["नाम", "नामा"],
    ["शहर", "शाहर"],
    ["名前", "住所"],
    ["Name", "Name (नाम)"],
    ["Größe", "Große"],
    ["15", "1.5"],
    [`${"long ".repeat(20)}a`, `${"long ".repeat(20)}b`],
    ["__proto__!", "__proto__#"],
  ])("of %j is another than that of %j", (one, other) => {
    expect(keyOf(one)).not.toBe(keyOf(other));
    for (const key of [keyOf(one), keyOf(other)]) expect(key).toMatch(/^\w{1,64}$/);
  });

  test("is valid for any heading, and of other letters another", () => {
    const letters = (heading: string) =>
      heading
        .normalize("NFKD")
        .toLowerCase()
        .match(/[^\p{P}\p{Z}\p{C}]/gu)
        ?.join("") ?? "";
    const heading = fc.string({ unit: "grapheme", minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(heading, heading, (one, other) => {
        expect(keyOf(one)).toMatch(/^(?!__proto__$)[\w-]{1,64}$/);
        if (keyOf(one) === keyOf(other)) expect(plain(letters(one))).toBe(plain(letters(other)));
      }),
      { numRuns: 1000 },
    );
  });
  // accents of Latin letters make no difference
  const plain = (text: string) => text.replaceAll(/(?<=\p{Script=Latin})\p{M}+/gu, "");
});

describe("the type of a custom field", () => {
  const typed = (cells: string[], defined: FieldTypes = new Map()) => {
    const survey = new ColumnSurvey(leads, [["X", "customFields.x"]], {}, defined);
    for (const cell of cells) survey.see({ cells: [cell] });
    return survey.fields(() => false).map(({ type }) => type);
  };

  test.each([
    [["NO"], "text"],
    [["NO", "SE", "DE"], "text"],
    [["Yes", "no", "TRUE"], "boolean"],
    [["yes", "yes"], "text"],
    [["1.10"], "text"],
    [["1.1", "2"], "number"],
    [["9007199254740993"], "text"],
    [["9007199254740991"], "number"],
    [["-2.5", "0"], "number"],
    [["007"], "text"],
    [["1e5"], "text"],
    [["2024-02-29", "2024-01-05T10:00:00Z"], "date"],
    [["2026-02-30"], "text"],
    [["3", "many"], "text"],
    [["Yes", "No", "1"], "text"],
    [[...Array.from({ length: 1700 }, (_, i) => (i % 2 ? "yes" : "no")), "maybe"], "text"],
    [["", " ", "Select", "5"], "number"],
  ])("is decided by all cells (%#)", (cells, type) => {
    expect(typed(cells)).toEqual([type]);
  });

  test("stands when it is defined, and is none where every cell is blank", () => {
    expect(typed(["maybe"], new Map([["x", "number"]]))).toEqual([]);
    expect(typed(["", "Select"])).toEqual([]);
  });

  test("of a JSON object is that of its values, where that is one", () => {
    const survey = new ColumnSurvey(leads, [["customFields", "customFields"]], {}, new Map());
    survey.see({ cells: ['{"seats":5,"city":"Pune","mixed":1}'] });
    survey.see({ cells: ['{"seats":7,"mixed":"x"}'] });
    expect(survey.fields(() => false).map(({ key, type }) => [key, type])).toEqual([
      ["seats", "number"],
      ["city", "text"],
    ]);
  });
});

describe("words of the file", () => {
  test("that mean nothing here are suggested meanings, once each", () => {
    const survey = new ColumnSurvey(
      leads,
      [
        ["Lead Status", "status"],
        ["Email opt", "consent.email"],
        ["__proto__", "consent.sms"],
      ],
      { "Lead Status": { Frozen: "unqualified" } },
      new Map(),
    );
    for (const cells of [
      ["Open - Not Contacted", "opted out", "opted in"],
      ["New", "yes", "x"],
      ["Frozen", "Opted In", "x"],
      ["Odd", "Odd", "x"],
    ])
      survey.see({ cells });
    const { suggestions } = survey;
    expect(suggestions["Lead Status"]).toEqual({ "Open - Not Contacted": "new", Odd: null });
    expect(suggestions["Email opt"]).toEqual({ "opted out": false, "Opted In": true, Odd: null });
    expect(({} as Record<string, unknown>)["opted in"]).toBeUndefined();
    expect(survey.fields(() => false)).toEqual([{ key: "leadStatus", type: "text", label: "Lead Status" }]);
  });
});
