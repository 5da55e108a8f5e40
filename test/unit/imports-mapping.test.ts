import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { cut, groups, type NumberedRow } from "../../services/imports/batches.rules.ts";
import { convert, learn, typeOf, type FieldTypes } from "../../services/imports/field-types.rules.ts";
import {
  camelCase,
  mappingErrors,
  resolveMapping,
  toImportRow,
  unknownColumns,
  type ColumnTargets,
} from "../../services/imports/mapping.rules.ts";

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
    expect(unknownColumns({ Mail: "email", toString: null, Name: "lastName" }, ["Name", "E-mail"])).toEqual([
      "Mail",
      "toString",
    ]);
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
      "how-did-you-hear": "customFields.howDidYouHear2",
      CRM: "customFields.crm",
      शहर: "customFields.column5",
      "2nd City": "customFields.2ndCity",
      constructor: "customFields.constructor",
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
    expect(camelCase("I agree to pay the amount through cheque")).toBe("iAgreeToPayTheAmountThroughCheque");
  });
});

describe("the type of a custom field", () => {
  test.each([
    ["0", "number"],
    ["1", "number"],
    ["-2.50", "number"],
    ["123456789012345", "number"],
    ["1234567890123456", "text"],
    ["007", "text"],
    ["1,234", "text"],
    ["1e5", "text"],
    ["+91", "text"],
    ["Yes", "boolean"],
    ["no", "boolean"],
    ["TRUE", "boolean"],
    ["2024-02-29", "date"],
    ["2023-02-29", "text"],
    ["2024-01-05T10:00:00Z", "date"],
    ["05/01/2024", "text"],
    ["02.Medium", "text"],
  ])("of %j is %s", (cell, type) => {
    expect(typeOf(cell)).toBe(type);
  });

  test("is learned from all cells, and widened to text by one that does not fit", () => {
    const types: FieldTypes = new Map([
      ["visits", "number"],
      ["note", "text"],
    ]);
    expect([
      ...learn(types, [
        ["visits", "3"],
        ["converted", "1"],
        ["converted", "0"],
        ["note", "7"],
      ]),
    ]).toEqual([["converted", "number"]]);
    expect([
      ...learn(types, [
        ["visits", "many"],
        ["visits", "3"],
        ["optIn", "Yes"],
        ["optIn", "1"],
      ]),
    ]).toEqual([
      ["visits", "text"],
      ["optIn", "text"],
    ]);
  });

  test("decides how a cell is stored, and one that does not fit stays text", () => {
    expect(convert("2.50", "number")).toBe(2.5);
    expect(convert("2.50", "text")).toBe("2.50");
    expect(convert("Yes", "boolean")).toBe(true);
    expect(convert("no", "boolean")).toBe(false);
    expect(convert("1", "boolean")).toBe("1");
    expect(convert("2024-02-29", "date")).toBe("2024-02-29");
    expect(convert("Yes", undefined)).toBe("Yes");
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
  const row = (...cells: string[]) => toImportRow(cells, 4, targets, types);

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

  test("leaves out what is empty, and Select, which means that nobody chose", () => {
    expect(row("a@b.c", "", "  ", "Select", "select", " SELECT ", "").input).toEqual({ email: "a@b.c" });
  });

  test.each([
    [["a@b.c", "new"], /^The row has 2 cells, the heading 7\.$/],
    [["a@b.c"], /^The row has 1 cell, the heading 7\.$/],
    [["a", "b", "c", "d", "e", "f", "g", "h"], /^The row has 8 cells/],
    [
      ["a@b.c", "", "", "", "x".repeat(5001), "", ""],
      /^The cell "City" has 5001 characters; 5000 are allowed/,
    ],
    [["a@b.c", "", "", "", "", "", "x".repeat(300_000)], /^The row is larger than 200 KB/],
  ])("of another shape is rejected with the reason, and kept short (%#)", (cells, reason) => {
    const rejected = row(...cells);
    expect(rejected.error).toMatch(reason);
    expect(JSON.stringify(rejected.record).length).toBeLessThan(6000);
  });

  test("with a surplus cell keeps it in the record", () => {
    expect(row("1", "2", "3", "4", "5", "6", "7", "8").record).toMatchObject({
      "Left out": "7",
      "column 8": "8",
    });
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

  test("begin after the heading and the rows already done, and end with those before a failure", async () => {
    const failing = async function* () {
      yield [["heading"], ["1"], ["2"], ["3"]];
      yield [["4"]];
      await Promise.reject(new Error("unreadable"));
    };
    const seen: string[] = [];
    const reading = (async () => {
      for await (const group of groups(failing(), 1, { rows: 2, bytes: 1000 }))
        seen.push(group.map(({ rowNumber, cells }) => `${rowNumber}=${cells.join()}`).join(" "));
    })();
    await expect(reading).rejects.toThrow("unreadable");
    expect(seen).toEqual(["2=2 3=3", "4=4"]);
  });
});
