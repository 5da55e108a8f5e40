import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import type { ZodError } from "zod";
import { fieldErrors } from "../../mixins/contract/field-errors.ts";
import { listParams, matchConditions, Values, type Listing } from "../../mixins/records/finding/listing.ts";
import { pageStatement, toPage } from "../../mixins/records/finding/page.ts";
import { isoTimestamp } from "../../mixins/database/statement.ts";
import { logicalShard } from "../../mixins/database/shard-map.ts";

const listing: Listing = {
  table: "things",
  fields: {
    id: "uuid",
    name: "text",
    score: "integer",
    tags: "text[]",
    createdAt: "timestamp",
    ownerId: "uuid",
  },
  filterable: ["name", "score", "tags", "createdAt", "ownerId"],
  sortable: ["createdAt", "score"],
  defaultSort: "-createdAt",
  customFields: true,
};
const parse = (params: object) => listParams(listing).parse(params);
const uuid = "01900000-0000-7000-8000-000000000001";

describe("list parameters", () => {
  test("have defaults", () => {
    expect(parse({})).toMatchObject({ limit: 50, sort: "-createdAt", count: false });
  });
  test.each([
    [{ limit: "0" }, "limit"],
    [{ limit: "201" }, "limit"],
    [{ sort: "name" }, "sort"],
    [{ fields: "name,secret" }, "fields.1"],
    [{ filter: { secret: "1" } }, "filter.secret"],
    [{ filter: { name: { regex: "x" } } }, "filter.name"],
    [{ nosuch: 1 }, ""],
  ])("refuse %j", (params, path) => {
    const { error } = listParams(listing).safeParse(params);
    expect(error?.issues[0]?.path.join(".")).toContain(path);
  });
});

describe("a filter", () => {
  const sql = (field: string, op: string, value: unknown) => {
    const values = new Values();
    const {
      conditions: [text],
    } = matchConditions(listing, { filter: { [field]: { [op]: value as string } } }, values);
    return [text, values.list];
  };
  test.each([
    ["name", "eq", "x", "name = $1", ["x"]],
    ["name", "ne", "x", "name IS DISTINCT FROM $1", ["x"]],
    ["score", "gte", "50", "score >= $1", [50]],
    ["score", "in", "1,2", "score = ANY ($1::integer[])", [[1, 2]]],
    ["name", "like", "50%_\\", "name ILIKE $1", ["%50\\%\\_\\\\%"]],
    ["name", "eq", "a,b", "name = $1", ["a,b"]],
    ["name", "in", "a\\,b,c", "name = ANY ($1::text[])", [["a,b", "c"]]],
    ["name", "nin", "a,b", "(name = ANY ($1::text[])) IS NOT TRUE", [["a", "b"]]],
    ["tags", "eq", "a,b", "tags && $1::text[]", [["a,b"]]],
    ["tags", "contains", "vip", "tags && $1::text[]", [["vip"]]],
    ["tags", "in", "a,b", "tags && $1::text[]", [["a", "b"]]],
    ["tags", "nin", "a,b", "(tags && $1::text[]) IS NOT TRUE", [["a", "b"]]],
    ["name", "gt", "m", 'name COLLATE "C" > $1', ["m"]],
    // in NFC since it is stored so; and as it may have been stored before
    ["name", "eq", "Jose\u0301", "name = ANY ($1::text[])", [["Jos\u00e9", "Jose\u0301"]]],
    ["ownerId", "eq", uuid.toUpperCase(), "owner_id = $1", [uuid]],
    ["score", "eq", "2147483647", "score = $1", [2147483647]],
    ["name", "like", "abc*", "name ILIKE $1", ["abc%"]],
    ["name", "isnull", "true", "name IS NULL", []],
    ["name", "isnull", "false", "name IS NOT NULL", []],
    ["tags", "eq", "vip", "tags && $1::text[]", [["vip"]]],
    ["createdAt", "gt", "2026-01-01", "created_at > $1", ["2026-01-01T00:00:00.000Z"]],
    // fails with a TZ other than UTC if the zone of the process counts
    ["createdAt", "gt", "2026-01-01T09:30", "created_at > $1", ["2026-01-01T09:30:00.000Z"]],
    ["createdAt", "gt", "2026-01-01T09:30:00+05:30", "created_at > $1", ["2026-01-01T04:00:00.000Z"]],
    ["customFields.city", "eq", "Pune", "(custom_fields ->> $1) = $2", ["city", "Pune"]],
  ])("%s %s %j becomes SQL with values apart", (field, op, value, text, values) => {
    expect(sql(field, op, value)).toEqual([text, values]);
  });
  test.each([
    ["score", "eq", "1; DROP TABLE things"],
    ["score", "eq", "99999999999"],
    ["score", "eq", "2147483648"],
    ["createdAt", "lt", "2026-02-30"],
    ["createdAt", "lt", "9999-12-31T23:59:59-14:00"],
    ["ownerId", "eq", "1"],
    ["createdAt", "lt", "yesterday"],
    ["score", "like", "1"],
    ["name", "like", "ab"],
    ["name", "like", "a**b"],
    ["name", "contains", "abc"],
    ["tags", "gt", "abc"],
    ["createdAt", "lt", "0000-01-01"],
    ["createdAt", "lt", "+020000-01-01T00:00:00Z"],
    ["name", "isnull", "perhaps"],
    ["name", "eq", "a\0"],
  ])("%s %s %j is a 400", (field, op, value) => {
    expect(() => sql(field, op, value)).toThrow(
      expect.objectContaining({ code: 400, type: "INVALID_FILTER" }),
    );
  });
  test("says everything that is wrong with it at once, and what is allowed", () => {
    const narrow = { ...listing, values: { name: ["new", "old"] } };
    const { error } = listParams(narrow).safeParse({
      filter: { secret: "1", score: { about: "7", gte: "high" }, name: "bogus", tags: "vip" },
    });
    expect(fieldErrors(error as ZodError)).toEqual([
      expect.objectContaining({
        path: "filter.secret",
        code: "unknown_filter",
        allowed: [...listing.filterable, "id", "customFields.<key>"],
      }),
      expect.objectContaining({
        path: "filter.score.about",
        code: "unknown_operator",
        allowed: expect.arrayContaining(["gte", "nin"]),
      }),
      expect.objectContaining({ path: "filter.score.gte", code: "invalid_value" }),
      {
        path: "filter.name",
        code: "invalid_value",
        message: "must be one of new or old",
        allowed: ["new", "old"],
      },
    ]);
  });
  test("never lets a value into the SQL text", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (value) => {
        fc.pre(!value.includes("\0"));
        expect(sql("name", "eq", value)).toEqual(["name = $1", [value]]);
      }),
    );
  });
});

describe("a cursor", () => {
  test("continues after the last row, in the order it was made for", () => {
    const params = parse({ limit: 1, sort: "-score" });
    const page = toPage(
      {
        rows: [
          { id: uuid, score: 7 },
          { id: uuid, score: 6 },
        ],
        isCut: false,
      },
      listing,
      params,
      (row) => row,
    );
    expect(page).toMatchObject({ data: [{ score: 7 }], page: { hasMore: true } });
    const next = pageStatement(listing, parse({ sort: "-score", cursor: page.page.nextCursor }));
    expect(next.text).toContain("(score, id) < ($1, $2)");
    expect(next.values).toEqual([7, uuid]);
  });
  test.each([
    ["true", 10_000, 10_000],
    ["true", 10_001, { atLeast: 10_000 }],
    ["exact", 10_001, 10_001],
  ])("with count=%s, %i rows are a total of %j", (count, counted, total) => {
    const { page } = toPage({ rows: [], isCut: false }, listing, parse({ count }), (row) => row, counted);
    expect(page.total).toEqual(total);
  });
  test("continues after the last row that fitted, where rows were too large for the page", () => {
    const params = parse({ limit: 50, sort: "-score" });
    const { data, page } = toPage(
      { rows: [{ id: uuid, score: 7 }], isCut: true },
      listing,
      params,
      (row) => row,
    );
    expect(data).toHaveLength(1);
    expect(page).toMatchObject({ hasMore: true, nextCursor: expect.any(String) });
  });
  test("of another list, order or filter is a 400", () => {
    const made = parse({ limit: 1, filter: { name: "x", score: { gte: 1 } } });
    const rows = [
      { id: uuid, created_at: "2026-01-01T00:00:00.000Z" },
      { id: uuid, created_at: "2026-01-01T00:00:00.000Z" },
    ];
    const cursor = toPage({ rows, isCut: false }, listing, made, (row) => row).page.nextCursor;
    const read = (params: object, of = listing) => pageStatement(of, parse({ cursor, ...params }));
    const refused = expect.objectContaining({ code: 400, type: "INVALID_CURSOR" });
    // the order in which the fields stand means nothing
    expect(read({ filter: { score: { gte: 1 }, name: "x" } }).values).toContain(uuid);
    expect(() => read({})).toThrow(refused);
    expect(() => read({ filter: { name: "x", score: { gte: 2 } } })).toThrow(refused);
    expect(() => read({ filter: made.filter, q: "x" })).toThrow(refused);
    expect(() => read({ filter: made.filter, sort: "score" })).toThrow(refused);
    expect(() => read({ filter: made.filter }, { ...listing, table: "others" })).toThrow(refused);
  });
  test("of the longest text is taken back", () => {
    const long = "\u0939".repeat(300);
    const byName = { ...listing, sortable: ["name"], defaultSort: "name", fields: { ...listing.fields } };
    const params = listParams(byName).parse({ limit: 1 });
    const rows = [
      { id: uuid, name: long },
      { id: uuid, name: long },
    ];
    const cursor = toPage({ rows, isCut: false }, byName, params, (row) => row).page.nextCursor as string;
    const next = listParams(byName).parse({ cursor });
    expect(pageStatement(byName, next).values).toContain(long);
  });
  test("of another order, or garbage, is a 400", () => {
    const cursorFor = (parts: unknown) => Buffer.from(JSON.stringify(parts)).toString("base64url");
    for (const cursor of [
      "garbage",
      cursorFor(["-score", 1, uuid]),
      cursorFor(["-createdAt", "never", uuid]),
      cursorFor(["-createdAt", {}, uuid]),
      cursorFor(["-createdAt", "2026-01-01", "1"]),
      cursorFor({}),
    ])
      expect(() => pageStatement(listing, parse({ cursor }))).toThrow(
        expect.objectContaining({ code: 400, type: "INVALID_CURSOR" }),
      );
  });
  test("is never more than a 400, whatever it holds", () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        try {
          pageStatement(listing, parse({ cursor: Buffer.from(json).toString("base64url").slice(0, 1000) }));
        } catch (error) {
          expect(error).toMatchObject({ code: 400 });
        }
      }),
    );
  });
});

test("isoTimestamp agrees with Date for every millisecond", () => {
  fc.assert(
    fc.property(
      fc.date({ min: new Date("1900-01-01"), max: new Date("2199-12-31"), noInvalidDate: true }),
      (date) => {
        const iso = date.toISOString();
        // PostgreSQL leaves trailing zeros out
        const text = `${iso.slice(0, 10)} ${iso.slice(11, 23).replace(/\.?0+$/, (zeros) => (zeros.startsWith(".") ? "" : ""))}+00`;
        expect(
          isoTimestamp(/:\d\d(\.\d+)?\+/.test(text) ? text : `${iso.slice(0, 10)} ${iso.slice(11, 19)}+00`),
        ).toBe(iso);
      },
    ),
  );
  expect(isoTimestamp("2026-01-02 03:04:05.6+05:30")).toBe("2026-01-01T21:34:05.600Z");
});

test("organizations spread evenly over logical shards, and each always to the same", () => {
  const counts = Array.from({ length: 16 }, () => 0);
  for (let index = 0; index < 16_000; index++) {
    const id = `org-${index}`;
    const shard = logicalShard(id, 16);
    expect(logicalShard(id, 16)).toBe(shard);
    counts[shard] = (counts[shard] as number) + 1;
  }
  for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150);
});
