import { describe, expect, test } from "@jest/globals";
import {
  exportPage,
  mergePersons,
  nobody,
  tracesOf,
  withoutFields,
} from "../../mixins/privacy/personal-data.ts";

describe("traces of a person in text", () => {
  test("are emails, full names in either order, and the last nine digits of phones", () => {
    const { patterns, digits } = tracesOf({
      ...nobody,
      emails: ["a.b@c.de"],
      names: ["Asha Rao"],
      phones: ["+919812345670"],
    });
    expect(patterns).toEqual([
      "(?<![\\w.+-])a\\.b\\@c\\.de(?![\\w-]|\\.\\w)",
      "\\WAsha(?=\\W).*\\WRao(?=\\W)",
      "\\WRao(?=\\W).*\\WAsha(?=\\W)",
    ]);
    expect(digits).toEqual(["%812345670%"]);
  });
  test.each([{ names: ["Asha"] }, { names: ["A B"] }, { phones: ["call me"] }, { phones: ["123456"] }])(
    "are nothing of %j, which many share",
    (part) => expect(tracesOf({ ...nobody, ...part })).toEqual({ patterns: [], digits: [] }),
  );
});

test("personal fields are emptied at any depth, and the rest stays", () => {
  const data = {
    lead: { id: "1", email: "a@b.c", tags: ["vip"], customFields: { note: "x" }, score: 3 },
    items: [{ email: "d@e.f", at: 1 }],
    changes: ["email"],
  };
  expect(withoutFields(data, new Set(["email", "tags", "customFields"]))).toEqual({
    lead: { id: "1", email: null, tags: [], customFields: {}, score: 3 },
    items: [{ email: null, at: 1 }],
    changes: ["email"],
  });
});

test("of changes the value before and the one after are emptied, each by itself", () => {
  const changes = {
    name: ["Asha's", null],
    tags: [["a"], []],
    "customFields.city": [null, "Pune"],
    status: ["open", "won"],
  };
  expect(withoutFields({ changes }, new Set(["name", "tags", "customFields"]))).toEqual({
    changes: {
      name: [null, null],
      tags: [[], []],
      "customFields.city": [null, null],
      status: ["open", "won"],
    },
  });
});

test("merging persons keeps each thing once", () => {
  const one = { ...nobody, emails: ["a@b.c"], subjects: [{ kind: "lead", id: "1" }] };
  const other = { ...one, names: ["A B"], subjects: [...one.subjects, { kind: "contact", id: "2" }] };
  expect(mergePersons(one, other)).toEqual(other);
});

describe("a page of an export", () => {
  const rows = (count: number, bytes: number) =>
    Array.from({ length: count }, (_, id) => ({ id: String(id), text: "x".repeat(bytes) }));
  const page = (count: number, bytes: number, limit: number) => {
    const { records, next } = exportPage(rows(count, bytes), limit, ({ id }) => id);
    return [records.length, next];
  };
  test("goes on after its last row when it is full", () => expect(page(3, 10, 3)).toEqual([3, "2"]));
  test("is the last when fewer came than were asked for", () => expect(page(2, 10, 3)).toEqual([2, null]));
  test("ends before it is too large for a message", () => expect(page(3, 300_000, 10)).toEqual([2, "1"]));
  test("holds a row that is too large by itself", () => expect(page(2, 800_000, 10)).toEqual([1, "0"]));
  test("of nothing is the last", () => expect(page(0, 1, 10)).toEqual([0, null]));
});
