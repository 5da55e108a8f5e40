import { afterAll, beforeAll, expect, test } from "@jest/globals";
import fc from "fast-check";
import pg from "pg";
import type { Condition } from "../../mixins/records/conditions/condition.ts";
import { customQueryField, emailText, type Queryable } from "../../mixins/records/conditions/fields.ts";
import { fitCondition } from "../../mixins/records/conditions/fit.ts";
import { predicateOf } from "../../mixins/records/conditions/predicate.ts";
import { sqlOfCondition } from "../../mixins/records/conditions/sql.ts";
import { Values } from "../../mixins/records/conditions/values.ts";
import { columnOf, queryableOf, type Listing } from "../../mixins/records/finding/listing.ts";
import { createDatabase, dropDatabase } from "../support/database.ts";

const columns: Record<string, string> = {
  ...{ id: "integer", name: "text", email: "text", size: "numeric", count: "integer", is_open: "boolean" },
  ...{ day: "date", seen_at: "timestamptz(3)", owner_id: "uuid", tags: "text[]", amount: "numeric" },
  ...{ currency: "text", custom_fields: "jsonb" },
};
const types = ["text", "number", "boolean", "date", "datetime", "money", "multiSelect", "reference"];
const listing: Listing = {
  table: "things",
  fields: {
    ...{ name: "text", email: "text", size: "number", count: "integer", isOpen: "boolean", day: "date" },
    ...{ seenAt: "timestamp", ownerId: "uuid", tags: "text[]" },
  },
  filterable: ["name", "email", "size", "count", "isOpen", "day", "seenAt", "ownerId", "tags"],
  stored: { email: emailText },
  sortable: [],
  defaultSort: "id",
  customFields: new Map(types.map((type) => [type, customQueryField({ type })])),
};
const own = queryableOf(listing);
const queryable: Queryable = {
  ...own,
  fieldOf: (path) => (path === "amount" ? { type: "money", currency: "currency" } : own.fieldOf(path)),
};

type Row = { id: number; custom_fields: Record<string, unknown> } & Record<string, unknown>;
const valueOf = (row: Row, path: string): unknown => {
  const key = path.replace(/^customFields\./, "");
  if (key === path) return row[columnOf(path)];
  return Object.hasOwn(row.custom_fields, key) ? row.custom_fields[key] : undefined;
};

/** Texts that two ways of comparing are likely to see differently. */
const awkward = [
  ...["", " ", "web", "Web", "WEB site", "a,b", "100%_\\", "*", "[1]", '{"a": 1}', "\n", "null"],
  ...[
    "Jos\u00e9",
    "Jose\u0301",
    "JOSE\u0301",
    "\u212aelvin",
    "\u0130stanbul",
    "istanbul",
    "\u03a3\u0391\u03a3",
    "\u03c3\u03b1\u03c2",
  ],
  ...[
    "stra\u00dfe",
    "STRA\u1e9eE",
    "\ud83d\ude00",
    "\uffee",
    "\u0939\u093f\u0928\u094d\u0926\u0940",
    "\uac00",
    "\u1100\u1161",
  ],
  ...[
    "9",
    "10",
    "9.0",
    "+9",
    "-1",
    "1e3",
    " 9",
    "9007199254740993",
    "9007199254740992",
    "0.1",
    "true",
    "false",
  ],
  ...["2026-01-01", "2026-02-30", "2026-01-31T10:00:00.000Z", "2026-01-31T10:00:00Z"],
];
const text = fc.oneof(
  fc.constantFrom(...awkward),
  fc.string({ unit: "grapheme", maxLength: 6 }).map((one) => one.replaceAll("\0", "")),
);
const decimal = fc.oneof(
  fc.constantFrom(
    "0",
    "-0",
    "9",
    "9.0",
    "10",
    "9007199254740993",
    "9007199254740992",
    "0.1",
    "-1.50",
    "1".repeat(40),
  ),
  fc.integer().map(String),
);
const number = fc.oneof(
  fc.constantFrom(9, 10, 0.1, -0, 1e21, 1e-7, 2 ** 53),
  fc.integer({ min: -20, max: 20 }),
);
const int32 = fc.oneof(fc.integer(), fc.integer({ min: -2, max: 2 }));
const time = fc
  .oneof(
    fc
      .constantFrom("0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z", "2026-01-31T10:00:00.000Z")
      .map((at) => new Date(at)),
    fc.date({ min: new Date("2025-12-31"), max: new Date("2026-02-02"), noInvalidDate: true }),
  )
  .map((at) => at.toISOString());
const day = time.map((at) => at.slice(0, 10));
const uuid = fc.integer({ min: 0, max: 5 }).map((n) => `0190000${n}-000${n}-7000-8000-00000000000a`);
const money = fc.record({ amount: fc.oneof(decimal, number), currency: fc.constantFrom("INR", "USD") });
const scalar = fc.oneof(text, number, decimal, fc.boolean(), time, day, fc.constant(null));
const list = fc.array(text, { maxLength: 3 });
const custom = fc.oneof(scalar, list, money, fc.constant({}), fc.constant([1, null, "web"]));
const maybe = <T>(of: fc.Arbitrary<T>) => fc.option(of, { freq: 4 });

const row = fc.record({
  ...{ name: maybe(text), email: maybe(fc.constantFrom("a@b.example", "b@b.example")), size: maybe(decimal) },
  ...{
    count: maybe(int32),
    is_open: maybe(fc.boolean()),
    day: maybe(day),
    seen_at: maybe(time),
    owner_id: maybe(uuid),
  },
  ...{ tags: maybe(list), amount: maybe(decimal), currency: maybe(fc.constantFrom("INR", "USD")) },
  custom_fields: fc
    .array(fc.tuple(fc.constantFrom(...types, "nosuch"), custom), { maxLength: 6 })
    .map((entries) => Object.fromEntries(entries)),
});

const values: Record<string, fc.Arbitrary<unknown>> = {
  ...{
    name: text,
    email: fc.constantFrom("a@b.example", "A@B.example", " b@b.example"),
    size: fc.oneof(decimal, number),
  },
  ...{
    count: int32,
    isOpen: fc.boolean(),
    day,
    seenAt: fc.oneof(time, day, fc.constant("2026-01-31T12:00")),
  },
  ...{ ownerId: uuid, tags: text, amount: money },
  ...Object.fromEntries(
    Object.entries({
      ...{
        text: scalar,
        number: fc.oneof(decimal, number),
        boolean: fc.boolean(),
        date: day,
        datetime: time,
      },
      ...{ money, multiSelect: text, reference: uuid, nosuch: scalar },
    }).map(([key, of]) => [`customFields.${key}`, of]),
  ),
};
const leaf = fc.constantFrom(...Object.keys(values)).chain((field) => {
  const value = values[field] as fc.Arbitrary<unknown>;
  return fc.oneof(
    fc.record({
      field: fc.constant(field),
      op: fc.constantFrom("eq", "ne", "gt", "gte", "lt", "lte"),
      value,
    }),
    fc.record({
      field: fc.constant(field),
      op: fc.constantFrom("in", "nin", "like", "contains"),
      value: fc.array(value, { minLength: 1, maxLength: 3 }),
    }),
    fc.record({
      field: fc.constant(field),
      op: fc.constant("like"),
      value: fc.constantFrom(
        "web",
        "W*b",
        "*\u0301*",
        "jos\u00e9",
        "istanbul",
        "\u03c3\u03b1\u03c3",
        "stra\u00df",
        "100%",
        "00%_",
      ),
    }),
    fc.record({ field: fc.constant(field), op: fc.constant("isnull"), value: fc.boolean() }),
  );
}) as fc.Arbitrary<Condition>;
const tree = fc.letrec<{ node: Condition; leaf: Condition }>((tie) => ({
  leaf,
  node: fc.oneof(
    { maxDepth: 3, depthIdentifier: "tree" },
    tie("leaf"),
    fc.record({ all: fc.array(tie("node"), { minLength: 1, maxLength: 3 }) }),
    fc.record({ any: fc.array(tie("node"), { minLength: 1, maxLength: 3 }) }),
    fc.record({ not: tie("node") }),
  ),
})).node;

let url: string;
let client: pg.Client;
beforeAll(async () => {
  url = await createDatabase();
  client = new pg.Client({ connectionString: url });
  await client.connect();
  const declared = Object.entries(columns).map(([name, type]) => `${name} ${type}`);
  await client.query(`CREATE TEMP TABLE things (${declared.join(", ")})`);
});
afterAll(async () => {
  await client.end();
  await dropDatabase(url);
});

async function store(rows: readonly Row[]): Promise<void> {
  await client.query("TRUNCATE things");
  await client.query("INSERT INTO things SELECT * FROM json_populate_recordset(NULL::things, $1)", [
    JSON.stringify(rows),
  ]);
}

/** How many of the stored rows a condition finds, in PostgreSQL as in memory; undefined where it does not fit. */
async function requireAgreement(condition: Condition, rows: readonly Row[]): Promise<number | undefined> {
  const { fitted, problems } = fitCondition(queryable, condition, { timeZone: "Asia/Kolkata" });
  if (problems.length > 0) return undefined;
  const parameters = new Values();
  const where = sqlOfCondition(fitted, queryable, parameters);
  const found = await client.query<{ id: number }>(
    `SELECT id FROM things WHERE ${where} ORDER BY id`,
    parameters.list,
  );
  const expected = rows.filter(predicateOf(fitted, valueOf)).map(({ id }) => id);
  expect({ condition, found: found.rows.map(({ id }) => id) }).toEqual({ condition, found: expected });
  return expected.length;
}

test("every awkward text is compared with every other as in memory", async () => {
  const rows = awkward.map((one, id): Row => ({
    id,
    name: one,
    tags: [one],
    custom_fields: { nosuch: one },
  }));
  await store(rows);
  for (const field of ["name", "customFields.nosuch", "tags"])
    for (const op of ["eq", "ne", "gt", "lte", "like"] as const)
      for (const value of awkward) await requireAgreement({ field, op, value }, rows);
  expect(await requireAgreement({ field: "name", op: "like", value: "istanbul" }, rows)).toBe(2);
});

test("a condition selects the same rows in PostgreSQL and in memory, whatever the rows and the condition", async () => {
  const seen = { trees: 0, matched: 0, passed: 0 };
  await fc.assert(
    fc.asyncProperty(
      fc.array(row, { minLength: 20, maxLength: 40 }),
      fc.array(tree, { minLength: 30, maxLength: 30 }),
      async (given, trees) => {
        const rows = given.map((one, id): Row => ({ ...one, id }));
        await store(rows);
        for (const condition of trees) {
          const expected = await requireAgreement(condition, rows);
          if (expected === undefined) continue;
          seen.trees++;
          seen.matched += expected;
          seen.passed += rows.length - expected;
        }
      },
    ),
    { numRuns: 40 },
  );
  // else nothing was tried
  expect(seen.trees).toBeGreaterThan(400);
  expect(Math.min(seen.matched, seen.passed)).toBeGreaterThan(1_000);
});
