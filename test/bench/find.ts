import { mkdtempSync, chmodSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import pg from "pg";
import { startEmbeddedPostgres } from "../../mixins/database/embedded-postgres.ts";
import { migrate } from "../../mixins/database/migrate.ts";
import type { QueryField } from "../../mixins/records/conditions/fields.ts";
import { listParams, type Way } from "../../mixins/records/finding/listing.ts";
import { pageStatement } from "../../mixins/records/finding/page.ts";
import { lead } from "../../entities/lead.ts";

// What a page of leads costs PostgreSQL under row-level security, as the app's role, by filter, order and search: the statements
// of GET /leads over one connection, beside a bare SELECT 1. See docs/performance.md.

const { values: options } = parseArgs({
  options: { rows: { type: "string", default: "1000000" }, rounds: { type: "string", default: "40" } },
});
const rows = Number(options.rows);
const rounds = Number(options.rounds);
/** With an indexed custom field. */
const listing = {
  ...lead.listing,
  customFields: new Map([
    [
      "budget",
      { type: "number", isJson: true, index: { kind: "lead", column: "number" } } satisfies QueryField,
    ],
  ]),
};
/** The largest organization, with 300,000 of a million; 99 others share the rest. */
const largest = "01900000-0000-7000-8000-000000000001";
const aimMs = 45;

const load = `INSERT INTO leads (id, organization_id, created_at, updated_at, external_id, first_name, last_name, email, phone,
    company_name, title, source, status, score, tags, custom_fields, last_activity_at)
  SELECT gen_random_uuid(),
    CASE WHEN n % 10 < 3 THEN '${largest}'::uuid ELSE ('01900000-0000-7000-8000-0000000001' || lpad((n % 99)::text, 2, '0'))::uuid END,
    now() - n * interval '37 s', now() - (n * 7919 % ${rows}) * interval '11 s', 'ext-' || n,
    (ARRAY['Asha','Ravi','Priya','Kim','Jose','Anna','Müller','Noor','Sara','Omar'])[1 + (n / 10 % 10)::int],
    initcap(substr(md5((n % 50000)::text), 1, 7)), 'user' || n || '@mail' || n % 300 || '.example',
    '+9198' || lpad((n * 7919 % 100000000)::text, 8, '0'), 'Firm ' || substr(md5((n % 20000)::text), 1, 7) || ' Ltd',
    (ARRAY['CTO','CEO','Buyer','Head of Sales'])[1 + (n / 7 % 4)::int], (ARRAY['web','fair','referral','ads'])[1 + (n / 3 % 4)::int],
    (ARRAY['new','contacted','qualified','unqualified'])[1 + (n / 5 % 4)::int], (n * 31 % 101)::int,
    ARRAY['t' || n % 9973, CASE WHEN n % 3 = 0 THEN 'hot' ELSE 'cold' END],
    jsonb_build_object('city', (ARRAY['Pune','Goa','Delhi'])[1 + (n % 3)::int], 'tier', 't' || n % 29989, 'budget', n * 7919 % 1000003),
    CASE WHEN n % 4 > 0 THEN now() - (n * 31 % ${rows}) * interval '13 s' END
  FROM generate_series($1::bigint, $2::bigint) AS n`;

const cases: Record<string, object> = {
  "no filter": {},
  ...{
    "q rare": { q: "user40001" },
    "q common": { q: "asha" },
    "q of all": { q: "firm" },
    "q absent": { q: "nosuchword" },
  },
  ...{ "q two words": { q: "muller mail7" }, "q phone part": { q: "98007919" } },
  // as a list without an order asks, one way after the other
  ...Object.fromEntries(
    (
      [
        ["whole", "user40001", "asha", "firm", "nosuchword"],
        ["begun", "user4000", "ash", "fir", "asha"],
        ["near", "priyo", "firn", "exemple", "asha firn", "nosuchword"],
      ] as const
    ).flatMap(([way, ...given]) => given.map((q) => [`q ${way} ${q}`, { q, way }])),
  ),
  ...Object.fromEntries(
    (
      [
        ["externalId", "ext-40001", "ext-40002", "nosuch"],
        ["firstName", "Asha", "Omar", "Nosuch"],
        ["lastName", "9d7f311", "Cfcd208", "Nosuch"],
        ["email", "user40001@mail101.example", "user40002@mail102.example", "no@such.example"],
        ["phone", "+919800007919", "+919816759000", "+919999999999"],
        ["companyName", "Firm cfcd208 Ltd", "Firm c4ca423 Ltd", "Nosuch"],
        ["title", "CTO", "Head of Sales", "Nosuch"],
        ["source", "web", "ads", "nosuch"],
        ["status", "new", "qualified", "converted"],
        ["assignedTo", largest, largest, largest],
        ["customFields.city", "Pune", "Goa", "Nosuch"],
        ["customFields.tier", "t77", "t78", "nosuch"],
      ] as const
    ).flatMap(([field, ...given]) =>
      given.map((value) => [`${field} = ${value}`, { filter: { [field]: value } }]),
    ),
  ),
  ...Object.fromEntries(
    ["t77", "hot", "nosuch"].map((tag) => [`tags contains ${tag}`, { filter: { tags: { contains: tag } } }]),
  ),
  ...Object.fromEntries(
    [
      ["email", "user4000"],
      ["email", "example"],
      ["email", "nosuch"],
      ["lastName", "abc"],
      ["lastName", "abc*"],
      ["companyName", "firm 1*"],
      ["companyName", "firm zz*"],
    ].map(([field = "", like]) => [`${field} like ${like}`, { filter: { [field]: { like } } }]),
  ),
  ...Object.fromEntries(
    ["createdAt", "updatedAt", "lastActivityAt", "convertedAt"].flatMap((field) =>
      ["2099-01-01", "2020-01-01"].map((gte) => [`${field} >= ${gte}`, { filter: { [field]: { gte } } }]),
    ),
  ),
  ...Object.fromEntries(
    (
      [
        ["gte", 999_000],
        ["gte", 2_000_000],
        ["gte", 1000],
        ["lt", 100],
        ["eq", 7919],
      ] as const
    ).map(([op, value]) => [
      `customFields.budget ${op} ${value}`,
      { filter: { "customFields.budget": { [op]: value } } },
    ]),
  ),
  ...Object.fromEntries(
    ["customFields.budget", "-customFields.budget"].map((sort) => [`sort ${sort}`, { sort }]),
  ),
  "sort customFields.budget, source = web": {
    sort: "customFields.budget",
    filter: { source: "web" },
  },
  ...{ "score >= 100": { filter: { score: { gte: 100 } } }, "score < 0": { filter: { score: { lt: 0 } } } },
  ...Object.fromEntries(
    lead.listing.sortable.flatMap((field) => [field, `-${field}`]).map((sort) => [`sort ${sort}`, { sort }]),
  ),
};

const folder = mkdtempSync(join(tmpdir(), "sangam-bench-"));
chmodSync(folder, 0o755);
const server = await startEmbeddedPostgres(folder, () => undefined, { settings: { shared_buffers: "1GB" } });
try {
  await server.createDatabase("find");
  const url = server.url("find");
  await migrate(url, { control: true });
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const chunk = 10_000;
  const began = performance.now();
  for (let from = 1; from <= rows; from += chunk)
    await client.query(load, [from, Math.min(rows, from + chunk - 1)]);
  const loadedMs = performance.now() - began;
  await client.query(
    `INSERT INTO custom_field_index (organization_id, kind, key, record_id, number)
     SELECT organization_id, 'lead', 'budget', id, v.number FROM leads, indexed_value('number', custom_fields -> 'budget') AS v`,
  );
  await client.query("VACUUM ANALYZE leads");
  await client.query("VACUUM ANALYZE custom_field_index");
  console.log(`${rows} leads written with all indexes, ${((loadedMs * 1000) / rows).toFixed(0)} µs each`);
  await client.query("SET ROLE sangam_app");
  await client.query("SELECT set_config('app.organization_id', $1, false)", [largest]);
  console.log("| asked | rows | median ms | p95 ms | SELECT 1, p95 ms |\n|---|---|---|---|---|");
  let missed = 0;
  for (const [name, params] of Object.entries(cases)) {
    const { way, ...given } = params as { way?: Way };
    const {
      text,
      values = [],
      ...rest
    } = pageStatement(listing, { ...listParams(listing).parse(given), way }, () => ["deleted_at IS NULL"]);
    const statement = { ...rest, text, values: [...values] };
    const [found, bare] = [
      await time(client, statement),
      await time(client, { text: "SELECT 1", values: [] }),
    ];
    if (found.p95 > aimMs) missed += 1;
    console.log(
      `| ${name} | ${found.rows} | ${found.median.toFixed(1)} | ${found.p95.toFixed(1)} | ${bare.p95.toFixed(1)} |`,
    );
  }
  console.log(`p95 above ${aimMs} ms: ${missed} of ${Object.keys(cases).length}`);
  await client.end();
} finally {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}

/** A statement's median and p95 over the rounds. */
async function time(client: pg.Client, statement: { text: string; values: unknown[] }) {
  const taken: number[] = [];
  let count = 0;
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    count = (await client.query(statement)).rowCount ?? 0;
    taken.push(performance.now() - start);
  }
  taken.sort((one, other) => one - other);
  const at = (part: number) => taken[Math.min(rounds - 1, Math.floor(rounds * part))] ?? 0;
  return { rows: count, median: at(0.5), p95: at(0.95) };
}
