import { describe, expect, test } from "@jest/globals";
import { cut, groups, type NumberedRow } from "../../services/imports/batches.rules.ts";
import { brokenCharacter } from "../../services/imports/file/encoding.ts";
import { type ColumnTargets } from "../../services/imports/mapping.rules.ts";
import { targetsOf } from "../../services/imports/targets.ts";
import { kinds } from "../../entities/kinds.ts";
import type { AnyKind } from "../../mixins/records/kind/kind.ts";
import { amountOf } from "../../services/imports/cells.rules.ts";
import { toImportRow, type FieldTypes } from "../../services/imports/rows.rules.ts";

const leads = targetsOf(kinds.get("lead") as AnyKind);

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
  const row = (...cells: string[]) => toImportRow({ cells, rowNumber: 4 }, { kind: leads, targets, types });
  const one = (target: string, cell: string, more = {}) =>
    toImportRow(
      { cells: ["Rao", cell], rowNumber: 1 },
      {
        kind: leads,
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
      toImportRow({ cells: ['"a'], rowNumber: 1, flaw: "In line 2, …" }, { kind: leads, targets, types }),
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

test("an amount that may be thousands or decimals of its currency is left out", () => {
  for (const cell of ["1,234 KWD", "12,345 KWD"])
    expect(amountOf(cell, undefined)).toMatchObject({ doubt: expect.stringContaining("may be") as unknown });
  expect(amountOf("1,234 INR", undefined)).toEqual({ money: { amount: "1234.00", currency: "INR" } });
  expect(amountOf("1,234,567 KWD", undefined)).toMatchObject({ money: { amount: "1234567.000" } });
  expect(amountOf("1,234.5 KWD", undefined)).toMatchObject({ money: { amount: "1234.500" } });
});
