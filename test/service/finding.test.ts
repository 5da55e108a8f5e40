import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { kinds } from "../../entities/kinds.ts";
import { lead } from "../../entities/lead.ts";
import { customQueryField } from "../../mixins/records/conditions/fields.ts";
import { Values } from "../../mixins/records/conditions/values.ts";
import {
  columnOf,
  listParams,
  matchConditions,
  type Listing,
  type Matching,
  type Way,
} from "../../mixins/records/finding/listing.ts";
import { pageStatement, toPage } from "../../mixins/records/finding/page.ts";
import { createDatabase, dropDatabase } from "../support/database.ts";

const mine = "01900000-0000-7000-8000-000000000001";
const theirs = "01900000-0000-7000-8000-000000000002";
const sorted = "01900000-0000-7000-8000-000000000004";
const listings = [...kinds.values()].flatMap(({ listing }) => (listing.finding ? [listing] : []));
/** Of each table: by what its records are called, and columns that none may lack, with their values. */
const tables: Record<string, { name: string; more?: Record<string, string> }> = {
  leads: { name: "last_name", more: { phone: "'+9198' || lpad(n::text, 8, '0')" } },
  contacts: { name: "last_name", more: { phone: "'+9198' || lpad(n::text, 8, '0')" } },
  companies: { name: "name", more: { phone: "'+9198' || lpad(n::text, 8, '0')" } },
  products: { name: "name" },
  activities: { name: "subject" },
  deals: {
    name: "name",
    more: {
      ...{ pipeline_id: "$1::uuid", stage_id: "$1::uuid", stage_entered_at: "now() - n * interval '1 s'" },
      position: "'h' || n",
    },
  },
};

let url: string;
let client: pg.Client;
beforeAll(async () => {
  url = await createDatabase();
  client = new pg.Client({ connectionString: url });
  await client.connect();
  // what deals cannot do without
  await client.query(
    "INSERT INTO pipelines (organization_id, id, name, stages, created_at, updated_at) SELECT one, $1, 'P', '[]', now(), now() FROM unnest($2::uuid[]) AS one",
    [mine, [mine, theirs, sorted]],
  );
  for (const [table, { name, more = {} }] of Object.entries(tables))
    await client.query(
      `INSERT INTO ${table} (id, organization_id, created_at, updated_at, ${[name, ...Object.keys(more)].join(", ")}, tags, custom_fields)
       SELECT gen_random_uuid(), CASE WHEN n <= 12500 THEN $1::uuid ELSE $2::uuid END, now() - n * interval '1 min', now() - n * interval '1 s',
         ${["'Name ' || n", ...Object.values(more)].join(", ")}, ARRAY['t' || n % 100] || CASE WHEN n > 2100 THEN '{late}'::text[] ELSE '{}' END, jsonb_build_object('city', 'c' || n % 1000, 'width', repeat(md5(n::text), 10))
       FROM generate_series(1, 16500) AS n`,
      [mine, theirs],
    );
  await client.query("ANALYZE");
}, 120_000);
afterAll(async () => {
  await client.end();
  await dropDatabase(url);
});

/** Runs work as the app's own role, in a transaction that is undone. */
async function asApp<T>(organizationId: string | null, work: () => Promise<T>): Promise<T> {
  await client.query("BEGIN");
  try {
    await client.query("SET LOCAL ROLE sangam_app");
    if (organizationId !== null)
      await client.query("SELECT set_config('app.organization_id', $1, true)", [organizationId]);
    return await work();
  } finally {
    await client.query("ROLLBACK");
  }
}

interface Looked {
  rows: { id: string }[];
  /** Lines of the plan that say by what an index was asked. */
  indexed: string[];
  /** Indexes that were asked, also inside of functions. */
  indexes: string[];
  seqScans: number;
  /** Rows that were read. */
  fetched: number;
}
/** A page of a list, and how PostgreSQL found it. */
async function look(listing: Listing, params: object, organizationId = mine): Promise<Looked> {
  const { way, ...given } = params as { way?: Way };
  const parsed = listParams(listing).parse(given);
  const { text, values = [] } = pageStatement(listing, { ...parsed, way }, () => ["deleted_at IS NULL"]);
  return asApp(organizationId, async () => {
    const { rows } = await client.query<{ id: string }>(text, [...values]);
    await client.query("RESET ROLE");
    const scanned = await client.query<Pick<Looked, "indexes" | "seqScans" | "fetched">>(
      `SELECT pg_stat_get_xact_tuples_fetched($1::regclass)::int AS fetched, pg_stat_get_xact_numscans($1::regclass)::int AS "seqScans",
         ARRAY(SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = $1::regclass AND pg_stat_get_xact_numscans(indexrelid) > 0) AS indexes`,
      [listing.table],
    );
    await client.query("SET LOCAL ROLE sangam_app");
    const plan = await client.query<{ "QUERY PLAN": string }>(`EXPLAIN ${text}`, [...values]);
    const indexed = plan.rows.map((row) => row["QUERY PLAN"]).filter((line) => line.includes("Index Cond"));
    return { rows, indexed, ...(scanned.rows[0] as Pick<Looked, "indexes" | "seqScans" | "fetched">) };
  });
}

const absent: Record<string, unknown> = {
  ...{ integer: 90, timestamp: "2099-01-01T00:00:00Z", uuid: theirs },
  ...{ text: "nosuch@nowhere.example", "text[]": "nosuch" },
};
/** Each way in which a field may be asked, and the index or the column that must serve it. */
function waysOf(listing: Listing): [params: object, served: { index?: string; column?: string }][] {
  const { table, fields, filterable, values = {}, stored = {}, finding } = listing;
  const found = { index: `${table}_find` };
  return filterable
    .flatMap((field): [object, { index?: string; column?: string }][] => {
      const type = fields[field] as string;
      const column = { column: columnOf(field) };
      const value =
        values[field]?.at(-1) ?? (stored[field] && field === "phone" ? "+14155552671" : absent[type]);
      if (type === "text[]") return [[{ filter: { [field]: { contains: "nosuch" } } }, found]];
      if (type === "integer" || type === "timestamp")
        return [[{ filter: { [field]: { gte: value } } }, column]];
      if (type === "boolean") return [[{ filter: { [field]: false } }, column]];
      if (type === "uuid") return [[{ filter: { [field]: value } }, column]];
      return [
        [{ filter: { [field]: value } }, finding?.terms.includes(field) ? found : column],
        [{ filter: { [field]: { like: "nosuch" } } }, found],
      ];
    })
    .concat(
      listing.sortable.flatMap((field): [object, { column: string }][] => [
        [{ sort: field }, { column: columnOf(field) }],
        [{ sort: `-${field}` }, { column: columnOf(field) }],
      ]),
      [
        ...[undefined, "whole", "begun", "near"].map((way): [object, { index: string }] => [
          { q: "nosuch", ...(way && { way }) },
          found,
        ]),
        [{ filter: { "customFields.city": "nosuch" } }, found],
        [{ filter: { "customFields.anything": "nosuch" } }, found],
      ],
    );
}

describe.each(listings.map((listing) => [listing.table, listing] as const))("%s", (table, listing) => {
  test.each(waysOf(listing).map(([params, served]) => [JSON.stringify(params), params, served] as const))(
    "%s is served by an index under the policy",
    async (_, params, { index, column }) => {
      const { indexes, indexed, seqScans, fetched, rows } = await look(listing, params);
      expect(seqScans).toBe(0);
      // the organization has 12,500
      expect(fetched).toBeLessThan(2500);
      if (index !== undefined)
        expect({ indexes, rows }).toEqual({ indexes: expect.arrayContaining([index]) as unknown, rows: [] });
      else if ("sort" in params) {
        const { rows: defs } = await client.query<{ def: string }>(
          "SELECT pg_get_indexdef(one::regclass) AS def FROM unnest($1::text[]) AS one",
          [indexes],
        );
        expect(defs.map(({ def }) => def).join("\n")).toMatch(
          new RegExp(`organization_id, ${column ?? ""}\\b`),
        );
      } else expect(indexed.join("\n")).toContain(column);
    },
  );

  test("what one organization finds, another does not", async () => {
    const rare = { q: "7777" };
    expect((await look(listing, rare)).rows).toHaveLength(1);
    expect((await look(listing, rare, theirs)).rows).toHaveLength(0);
    expect((await look(listing, { filter: { "customFields.city": "c77" } })).rows).toHaveLength(13);
    expect((await look(listing, { filter: { tags: { contains: "t7" } } })).rows).toHaveLength(51);
  });

  const functions = [
    [`find_${table}('name', NULL, NULL, NULL, 1000000)`, 12500, 4000],
    // not more than 2,000 of a word are looked at
    [`find_near_${table}('nome', 1000000)`, 2000, 2000],
  ] as const;
  test.each(functions)(
    "%s answers ids of the transaction's organization alone, whatever is set",
    async (call, mineHas, theirsHas) => {
      const find = async () =>
        (await client.query<{ ids: string[] }>(`SELECT ${call} AS ids`)).rows[0]?.ids ?? [];
      const owner = async (ids: string[]) =>
        (await client.query(`SELECT DISTINCT organization_id AS of FROM ${table} WHERE id = ANY ($1)`, [ids]))
          .rows as { of: string }[];
      for (const [organization, count] of [
        [mine, mineHas],
        [theirs, theirsHas],
      ] as const) {
        const ids = await asApp(organization, find);
        expect(ids).toHaveLength(count);
        expect(await owner(ids)).toEqual([{ of: organization }]);
      }
      expect(await asApp(null, find)).toEqual([]);
      expect(await asApp("", find)).toEqual([]);
      expect(await asApp("01900000-0000-7000-8000-000000000003", find)).toEqual([]);
      await expect(asApp("' OR true --", find)).rejects.toThrow(/invalid input syntax/);
      await asApp(theirs, async () => {
        await client.query("SET LOCAL search_path = pg_temp, pg_catalog, public");
        expect(await find()).toHaveLength(theirsHas);
      });
    },
  );

  test("what is common and far along the order is found as what is near", async () => {
    const { rows } = await look(listing, {
      filter: { tags: { contains: "late" } },
      limit: 3,
      fields: "tags",
    });
    const { rows: expected } = await client.query<{ id: string }>(
      `SELECT id FROM ${table} WHERE organization_id = $1 AND 'late' = ANY (tags) ORDER BY created_at DESC LIMIT 4`,
      [mine],
    );
    expect(rows.map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
  });

  test("pages go on through rows with and without a value, either way, as people sort", async () => {
    const { name: column = "", more = {} } = tables[table] ?? {};
    const { phone: _, ...needed } = more;
    const field = column.replace(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase());
    const given = ["Zed", "de Souza", "\u00c9mile", "emil", "Zed", null, "Abel", null, null, "zed"];
    const expectedOrder = ["Abel", "de Souza", "emil", "\u00c9mile", "zed", "Zed", "Zed", null, null, null];
    for (const name of given)
      await client.query(
        `INSERT INTO ${table} (id, organization_id, created_at, updated_at, ${[column, ...Object.keys(needed)].join(", ")})
         SELECT gen_random_uuid(), $2, now(), now(), ${["$3", ...Object.values(needed)].join(", ")} FROM (SELECT 1 AS n WHERE $1::uuid IS NOT NULL) AS one`,
        [mine, sorted, name],
      );
    const backwards = [...expectedOrder.slice(0, 7).reverse(), null, null, null];
    for (const [sort, expected] of [[field, expectedOrder] as const, [`-${field}`, backwards] as const])
      for (const limit of [1, 3, 4]) {
        const met: unknown[] = [];
        let cursor: string | undefined;
        do {
          const params = { ...listParams(listing).parse({ sort, limit }), cursor };
          const { rows } = await look(listing, { sort, limit, ...(cursor && { cursor }) }, sorted);
          const { data, page } = toPage({ rows, isCut: false }, listing, params, (row) => row);
          met.push(...data.map((row) => (row as unknown as Record<string, unknown>)[column]));
          cursor = page.nextCursor ?? undefined;
        } while (cursor !== undefined);
        expect({ sort, limit, met }).toEqual({ sort, limit, met: expected });
      }
  });

  test("every page of an order that has no values at all goes on to the end", async () => {
    for (const sort of listing.nullable ?? []) {
      const { rows } = await look(listing, { sort, limit: 200 });
      expect(new Set(rows.map(({ id }) => id)).size).toBe(201);
    }
  });
});

/** Values of custom fields, each of which is asked for too. */
const awkward = [
  ...[
    "Pune",
    "pune",
    "",
    " ",
    "a,b",
    '"',
    "\\",
    "[1]",
    "\u092a\u094d\u0930\u093f\u092f\u093e",
    "Jos\u00e9",
    "Jose\u0301",
  ],
  ...[
    "9",
    "9.0",
    "+9",
    "009",
    "-9",
    "-0",
    "0",
    "0.50",
    "007",
    "true",
    "false",
    "null",
    "1e3",
    "1".repeat(40),
  ],
  ...[9, -9, 0, 0.5, 1e21, 7, true, false],
  ...["2026-01-31", "2026-01-31T10:00:00.000Z", "2026-01-31T23:00:00+05:30", "2026-01-31 10:00", mine],
];
test.each(["undeclared", "text", "number", "boolean", "date", "datetime", "multiSelect", "reference"])(
  "what the index is asked of a custom field of type %s leaves out no row that has it",
  async (type) => {
    const organizationId = "01900000-0000-7000-8000-000000000005";
    const stored = [
      ...awkward,
      ...awkward.map((one) => [one, "other"]),
      { amount: "9", currency: "INR" },
      null,
    ];
    await client.query("DELETE FROM leads WHERE organization_id = $1", [organizationId]);
    await client.query(
      `INSERT INTO leads (id, organization_id, created_at, updated_at, last_name, custom_fields)
       SELECT gen_random_uuid(), $1, now(), now(), 'x', jsonb_build_object('a key', one) FROM jsonb_array_elements($2::jsonb) AS one`,
      [organizationId, JSON.stringify(stored)],
    );
    const customFields = new Map(type === "undeclared" ? [] : [["a key", customQueryField({ type })]]);
    const listing = { ...lead.listing, customFields };
    const missed: unknown[] = [];
    let asked = 0;
    for (const value of awkward)
      for (const op of ["eq", "contains"]) {
        const values = new Values();
        const test = { filter: { "customFields.a key": { [op]: String(value) } } };
        let matching: Matching;
        try {
          matching = matchConditions(listing, test, values);
        } catch {
          continue; // not of this type
        }
        if (matching.find === undefined) continue;
        asked++;
        const { rows } = await asApp(organizationId, () =>
          client.query(
            `SELECT custom_fields FROM leads WHERE ${matching.conditions.join(" AND ")} AND id <> ALL (${matching.find?.(1000)}::uuid[])`,
            [...values.list],
          ),
        );
        if (rows.length > 0) missed.push({ op, value, rows });
      }
    expect(asked).toBeGreaterThan(0);
    expect(missed).toEqual([]);
  },
);

test("every function that runs as the owner has a search_path of its own, and is not for everybody", async () => {
  const { rows } = await client.query(
    `SELECT oid::regprocedure::text AS name FROM pg_proc p WHERE prosecdef AND pronamespace = 'public'::regnamespace
     AND (NOT EXISTS (SELECT FROM unnest(proconfig) AS one WHERE one LIKE 'search\\_path=%')
       OR proacl IS NULL OR EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 0))`,
  );
  expect(rows).toEqual([]);
});
