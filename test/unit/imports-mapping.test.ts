import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { keyOf } from "../../services/imports/field-keys.rules.ts";
import {
  mappingErrors,
  resolveMapping,
  unknownColumns,
  type ColumnTargets,
} from "../../services/imports/mapping.rules.ts";
import { targetsOf } from "../../services/imports/targets.ts";
import { kinds } from "../../entities/kinds.ts";
import type { AnyKind } from "../../mixins/records/kind/kind.ts";

const leads = targetsOf(kinds.get("lead") as AnyKind);

describe("a mapping", () => {
  test("may name fields of a lead, custom fields, consents and null", () => {
    expect(
      mappingErrors(leads, {
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
    expect(mappingErrors(leads, { A: target })).toEqual([
      expect.objectContaining({ path: "mapping.A", code: "unknown_field" }),
    ]);
  });

  test("may not fill one field from two columns, but may leave out several", () => {
    expect(mappingErrors(leads, { A: "email", B: "email" })).toEqual([
      expect.objectContaining({ path: "mapping.B", code: "duplicate_field" }),
    ]);
    expect(mappingErrors(leads, { A: null, B: null })).toEqual([]);
  });

  test("naming a column that the file does not have is noticed", () => {
    expect(unknownColumns(["Mail", "toString", "Name"], ["Name", "E-mail"])).toEqual(["Mail", "toString"]);
  });
});

describe("columns without a mapping", () => {
  const guess = (...columns: string[]) =>
    Object.fromEntries(resolveMapping(leads, columns, {}) as ColumnTargets);

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

  test("have keys of their own where headings read alike", () => {
    const columns = [
      "Price (€)",
      "price (€)",
      "Price  (€)",
      " Price (€) ",
      "PRICE (€)",
      "Price",
      "price",
      "price ",
    ];
    const targets = Object.values(guess(...columns));
    expect(new Set(targets).size).toBe(columns.length);
    expect(Object.values(guess(...columns))).toEqual(targets);
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
    expect(
      resolveMapping(leads, ["Email", "Work e-mail", "Note"], { "Work e-mail": "email", Note: null }),
    ).toEqual([
      ["Email", "customFields.email"],
      ["Work e-mail", "email"],
      ["Note", null],
    ]);
  });

  test("are refused when a lead would get more than 100 custom fields", () => {
    const columns = Array.from({ length: 101 }, (_, index) => `Extra ${index}`);
    expect(resolveMapping(leads, columns, {})).toMatchObject({ code: "too_many_custom_fields" });
    expect(resolveMapping(leads, columns, { "Extra 7": null })).toHaveLength(101);
  });

  test("always have different targets", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.string({ minLength: 1, maxLength: 80 }), { maxLength: 60 }),
        (columns) => {
          const targets = (resolveMapping(leads, columns, {}) as ColumnTargets).map(([, target]) => target);
          expect(new Set(targets).size).toBe(columns.length);
          expect(
            mappingErrors(leads, Object.fromEntries(targets.map((target, index) => [`c${index}`, target]))),
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
