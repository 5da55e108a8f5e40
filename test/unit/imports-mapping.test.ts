import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { cut, groups, type NumberedRow } from "../../services/imports/batches.rules.ts";
import { ColumnSurvey } from "../../services/imports/columns.rules.ts";
import { keyOf } from "../../services/imports/field-keys.rules.ts";
import { brokenCharacter } from "../../services/imports/file/encoding.ts";
import {
  mappingErrors,
  resolveMapping,
  unknownColumns,
  type ColumnTargets,
} from "../../services/imports/mapping.rules.ts";
import { toImportRow, type FieldTypes } from "../../services/imports/rows.rules.ts";

describe("a mapping", () => {
  test("may name fields of a lead, custom fields, consents and null", () => {
    expect(
      mappingErrors({
        A: "email",
        B: "customFields.Page views",
        C: "consent.newsletter",
        D: null,
        E: "tags",
      }),
    ).toEqual([]);
  });

  test.each([
    "score",
    "id",
    "emial",
    "customFields.",
    "customFields.a.b",
    "customFields.__proto__",
    "consent.a b",
    "",
  ])("may not name %j", (target) => {
    expect(mappingErrors({ A: target })).toEqual([
      expect.objectContaining({ path: "mapping.A", code: "unknown_field" }),
    ]);
  });

  test("may not fill one field from two columns, but may leave out several", () => {
    expect(mappingErrors({ A: "email", B: "email" })).toEqual([
      expect.objectContaining({ path: "mapping.B", code: "duplicate_field" }),
    ]);
    expect(mappingErrors({ A: null, B: null })).toEqual([]);
  });

  test("naming a column that the file does not have is noticed", () => {
    expect(unknownColumns(["Mail", "toString", "Name"], ["Name", "E-mail"])).toEqual(["Mail", "toString"]);
  });
});

describe("columns without a mapping", () => {
  const guess = (...columns: string[]) => Object.fromEntries(resolveMapping(columns, {}) as ColumnTargets);

  test("go to the field they are known for", () => {
    expect(
      guess(
        "First Name",
        "Surname",
        "E-mail",
        "Mobile",
        "Company",
        "Job Title",
        "Lead Source",
        "Prospect ID",
        "Tags",
      ),
    ).toEqual({
      "First Name": "firstName",
      Surname: "lastName",
      "E-mail": "email",
      Mobile: "phone",
      Company: "companyName",
      "Job Title": "title",
      "Lead Source": "source",
      "Prospect ID": "externalId",
      Tags: "tags",
    });
  });

  test("become custom fields where a better column has the field already", () => {
    expect(guess("ID", "Prospect ID", "Mobile", "Phone")).toEqual({
      ID: "customFields.id",
      "Prospect ID": "externalId",
      Mobile: "customFields.mobile",
      Phone: "phone",
    });
  });

  test("become custom fields with keys of their own", () => {
    expect(
      guess("TotalVisits", "How did you hear?", "how-did-you-hear", "CRM", "शहर", "2nd City", "constructor"),
    ).toEqual({
      TotalVisits: "customFields.totalVisits",
      "How did you hear?": "customFields.howDidYouHear",
      "how-did-you-hear": expect.stringMatching(/^customFields\.howDidYouHear_\w{10}$/),
      CRM: "customFields.crm",
      शहर: expect.stringMatching(/^customFields\.field_\w{10}$/),
      "2nd City": "customFields.2ndCity",
      constructor: "customFields.constructor",
    });
  });

  test("have keys of their headings, never of their places", () => {
    const first = guess("Email", "नाम", "शहर");
    const second = guess("Email", "जन्मदिन", "टिप्पणी");
    expect(new Set([...Object.values(first), ...Object.values(second)]).size).toBe(5);
    expect(guess("शहर", "x", "नाम")).toEqual({ शहर: first.शहर, x: "customFields.x", नाम: first.नाम });
  });

  test("without a heading are left out", () => {
    expect(guess("Email", "column 2")).toEqual({ Email: "email", "column 2": null });
  });

  test("that an export of ours has go back where they came from", () => {
    const columns = [
      "id",
      "externalId",
      "email",
      "score",
      "scoreReasons",
      "tags",
      "customFields",
      "consent",
      "createdAt",
    ];
    expect(guess(...columns)).toEqual({
      ...{
        id: null,
        externalId: "externalId",
        email: "email",
        score: null,
        scoreReasons: null,
        tags: "tags",
      },
      ...{ customFields: "customFields", consent: "consent", createdAt: null },
    });
    expect(guess("id", "email", "score")).toMatchObject({ id: "externalId", score: "customFields.score" });
  });

  test("that the file of rejected rows has added are left out", () => {
    expect(guess("row", "reason", "Email", "Reason")).toEqual({
      ...{ row: null, reason: null, Email: "email", Reason: "customFields.reason" },
    });
  });

  test("never take a field that the mapping gives to another column", () => {
    expect(resolveMapping(["Email", "Work e-mail", "Note"], { "Work e-mail": "email", Note: null })).toEqual([
      ["Email", "customFields.email"],
      ["Work e-mail", "email"],
      ["Note", null],
    ]);
  });

  test("are refused when a lead would get more than 100 custom fields", () => {
    const columns = Array.from({ length: 101 }, (_, index) => `Extra ${index}`);
    expect(resolveMapping(columns, {})).toMatchObject({ code: "too_many_custom_fields" });
    expect(resolveMapping(columns, { "Extra 7": null })).toHaveLength(101);
  });

  test("always have different targets", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.string({ minLength: 1, maxLength: 80 }), { maxLength: 60 }),
        (columns) => {
          const targets = (resolveMapping(columns, {}) as ColumnTargets).map(([, target]) => target);
          expect(new Set(targets).size).toBe(columns.length);
          expect(
            mappingErrors(Object.fromEntries(targets.map((target, index) => [`c${index}`, target]))),
          ).toEqual([]);
        },
      ),
    );
  });

  test("of the sample have keys that read well", () => {
    const [heading = ""] = readFileSync("test/fixtures/leads-sample.csv", "utf8").split("\r\n");
    expect(Object.values(guess(...heading.split(",")))).toEqual(
      expect.arrayContaining([
        "externalId",
        "source",
        "tags",
        "customFields.totalVisits",
        "customFields.doNotEmail",
      ]),
    );
    expect(keyOf("I agree to pay the amount through cheque")).toBe("iAgreeToPayTheAmountThroughCheque");
  });
});

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
    const survey = new ColumnSurvey([["X", "customFields.x"]], {}, defined);
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
    const survey = new ColumnSurvey([["customFields", "customFields"]], {}, new Map());
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

describe("a row", () => {
  const targets: ColumnTargets = [
    ["Email", "email"],
    ["Status", "status"],
    ["Tags", "tags"],
    ["Visits", "customFields.visits"],
    ["City", "customFields.city"],
    ["News", "consent.news"],
    ["Left out", null],
  ];
  const types: FieldTypes = new Map([["visits", "number"]]);
  const row = (...cells: string[]) => toImportRow({ cells, rowNumber: 4 }, { targets, types });
  const one = (target: string, cell: string, more = {}) =>
    toImportRow(
      { cells: ["Rao", cell], rowNumber: 1 },
      {
        targets: [
          ["Name", "lastName"],
          ["X y", target],
        ],
        types,
        ...more,
      },
    );

  test("becomes the fields of a lead", () => {
    expect(row(" a@b.c ", "New", "x; y,x,", "3", "Pune", "Yes", "z")).toEqual({
      rowNumber: 4,
      input: {
        email: "a@b.c",
        status: "new",
        tags: ["x", "y"],
        customFields: { visits: 3, city: "Pune" },
        consent: { news: true },
      },
      record: {
        Email: " a@b.c ",
        Status: "New",
        Tags: "x; y,x,",
        Visits: "3",
        City: "Pune",
        News: "Yes",
        "Left out": "z",
      },
    });
  });

  test("leaves out what is empty, and Select where there was something to choose", () => {
    expect(row("a@b.c", "", "  ", "Select", "select", "", "").input).toEqual({ email: "a@b.c" });
    expect(one("firstName", "Select").input).toEqual({ lastName: "Rao", firstName: "Select" });
    expect(one("companyName", "Select").input).toMatchObject({ companyName: "Select" });
  });

  test("that is short or long by blank cells is read", () => {
    expect(row("a@b.c", "new").input).toEqual({ email: "a@b.c", status: "new" });
    expect(row("a@b.c", "", "", "", "", "", "", "", " ").input).toEqual({ email: "a@b.c" });
  });

  test.each([
    [["a", "b", "c", "d", "e", "f", "g", "h"], /^The row has 8 cells, the heading 7\.$/],
    [["", " ", ""], /^The row has only blank cells/],
    [
      ["a@b.c", "", "", "", "x".repeat(5001), "", ""],
      /^The cell "City" has 5001 characters; 5000 are allowed/,
    ],
    [["a@b.c", "", "", "", "", "", "x".repeat(300_000)], /^The row is larger than 200 KB/],
    [[`a${brokenCharacter}`], /^The cell "Email" holds bytes that are no character of UTF-8/],
  ])("of another shape is rejected with the reason, and kept short (%#)", (cells, reason) => {
    const rejected = row(...cells);
    expect(rejected.error).toMatch(reason);
    expect(JSON.stringify(rejected.record).length).toBeLessThan(6000);
    expect(JSON.stringify(rejected.record)).not.toContain("\\udcff");
  });

  test("that cannot be read is rejected with its flaw", () => {
    expect(
      toImportRow({ cells: ['"a'], rowNumber: 1, flaw: "In line 2, …" }, { targets, types }),
    ).toMatchObject({
      ...{ error: "In line 2, …", record: { Email: '"a' } },
    });
  });

  test("with a surplus cell keeps it in the record", () => {
    expect(row("1", "2", "3", "4", "5", "6", "7", "8").record).toMatchObject({
      "Left out": "7",
      "column 8": "8",
    });
  });

  test.each(["5.1E+10", "5,1E+10", "1E+15"])(
    "with the id %s, which a spreadsheet has cut, is rejected",
    (id) => {
      expect(one("externalId", id).error).toContain(`The cell "X y" is ${id}: a spreadsheet has cut`);
    },
  );

  test.each<[string, string, unknown]>([
    ["tags", '["a,b","c"]', { tags: ["a,b", "c"] }],
    ["tags", "a,b;c", { tags: ["a", "b", "c"] }],
    ["tags", "[a], b", { tags: ["[a]", "b"] }],
    ["firstName", "'=Rao", { firstName: "=Rao" }],
    ["firstName", "'Rao", { firstName: "'Rao" }],
    ["customFields", '{"visits":5,"city":"007"}', { customFields: { visits: 5, city: "007" } }],
    ["consent", '{"email":false,"sms":"2024"}', { consent: { email: false, sms: "2024" } }],
    ["phone", "98765 43210", { phone: "+919876543210" }],
  ])("is read back as an export writes it: %s of %j", (target, cell, input) => {
    expect(one(target, cell)).toMatchObject({ input: { lastName: "Rao", ...(input as object) } });
    expect(one(target, cell).notes).toBeUndefined();
  });

  test.each([
    ["phone", "022-23456789/90", {}, ['phone: "022-23456789/90" may be more than one number; write one']],
    ["customFields.visits", "many", {}, ['customFields.visits: "many" must be a number']],
    [
      "customFields.visits",
      "9007199254740993",
      {},
      ['customFields.visits: "9007199254740993" has more digits than a number field keeps'],
    ],
    [
      "status",
      "Frozen",
      { customFields: { xY: "Frozen" } },
      ['status: "Frozen" means nothing here and is kept as customFields.xY; name what it means in `values`'],
    ],
    [
      "assignedTo",
      "nobody@x.example",
      { customFields: { xY: "nobody@x.example" } },
      [expect.stringContaining("assignedTo: ")],
    ],
  ])("comes in without what does not fit, and says so: %s of %j", (target, cell, kept, notes) => {
    expect(one(target, cell)).toMatchObject({ input: { lastName: "Rao", ...kept }, record: { "X y": cell } });
    expect(one(target, cell).notes).toEqual(notes);
    expect(one(target, cell).error).toBeUndefined();
  });

  test("is read with the meanings that are given, whatever their case", () => {
    const values = { "X y": { "Opted out": false, Frozen: "unqualified", nil: null } };
    expect(one("consent.email", "opted OUT", { values }).input).toMatchObject({ consent: { email: false } });
    expect(one("status", "frozen", { values }).input).toMatchObject({ status: "unqualified" });
    expect(one("firstName", "Nil", { values }).input).toEqual({ lastName: "Rao" });
  });

  test("is read with the country and the owners that are given", () => {
    expect(one("phone", "(415) 555-2671", { country: "US" }).input).toMatchObject({ phone: "+14155552671" });
    const owners = new Map([["asha@x.example", "u1"]]);
    expect(one("assignedTo", "Asha@x.example", { owners }).input).toMatchObject({ assignedTo: "u1" });
  });
});

describe("batches", () => {
  const rows = (...lengths: number[]): NumberedRow[] =>
    lengths.map((length, index) => ({ rowNumber: index + 1, cells: ["x".repeat(length)] }));
  const size = (cells: readonly string[]) => cells.join("").length;

  test("end with the last row allowed, or before they grow too large", () => {
    const cuts = [...cut(rows(1, 1, 1, 9, 9, 30, 1), { rows: 2, bytes: 10 }, size)];
    expect(cuts.map((batch) => batch.map(({ rowNumber }) => rowNumber))).toEqual([
      [1, 2],
      [3, 4],
      [5],
      [6],
      [7],
    ]);
  });

  test("begin after the heading and the rows already done", async () => {
    const records = async function* () {
      yield [{ cells: ["heading"] }, { cells: ["1"] }, { cells: ["2"] }, { cells: ["3"], flaw: "f" }];
      yield await Promise.resolve([{ cells: ["4"] }]);
    };
    const seen: string[] = [];
    for await (const group of groups(records(), 1, { rows: 2, bytes: 1000 }))
      seen.push(
        group.map(({ rowNumber, cells, flaw = "" }) => `${rowNumber}=${cells.join()}${flaw}`).join(" "),
      );
    expect(seen).toEqual(["2=2 3=3f", "4=4"]);
  });
});
