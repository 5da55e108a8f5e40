import { text } from "node:stream/consumers";
import type { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { parse } from "csv-parse/sync";
import { pageBytes } from "../../mixins/database/statement.ts";
import { limits } from "../../mixins/organizations/limits.ts";
import { inspect } from "../support/database.ts";
import { ended, rejectedRows, upload } from "../support/imports.ts";
import { makeOrganization, shardUrl, type TestOrganization } from "../support/leads.ts";
import { eventually } from "../support/eventually.ts";
import { startTestNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let org: TestOrganization;
beforeAll(async () => {
  node = await startTestNode({ SERVICES: "identity,leads,custom-fields,imports,events,worker,teams" });
  org = await makeOrganization(node);
});
afterAll(() => node.stop());

const keys = <V>(prefix: string, count: number, value: V): Record<string, V> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`${prefix}${index}`, value]));
const create = (input: Record<string, unknown>, of = org) => node.call("leads.create", input, of.as("admin"));
const update = (id: string, input: Record<string, unknown>, of = org) =>
  node.call("leads.update", { id, ...input }, of.as("admin"));
/** A refusal that names the limit. */
const refused = (path: string, message: RegExp) => ({
  code: 422,
  data: { errors: [{ path, message: expect.stringMatching(message) }] },
});
const tooLarge = refused("", /a record may have 65536 bytes, this would have \d+/);
const half = { customFields: keys("half", 8, "x".repeat(4_500)) };
const otherHalf = { customFields: keys("other", 8, "x".repeat(4_500)) };

describe("a record has a size, whatever writes it:", () => {
  test("a lead that is too large is not created", async () => {
    await expect(create({ firstName: "A", customFields: keys("k", 16, "x".repeat(4_500)) })).rejects.toMatchObject(tooLarge); // prettier-ignore
    // 3 bytes each
    await expect(create({ firstName: "A", customFields: keys("k", 6, "न".repeat(4_500)) })).rejects.toMatchObject(tooLarge); // prettier-ignore
    await expect(create({ firstName: "A", consent: keys("k", 51, true) })).rejects.toMatchObject({
      code: 422,
    });
  });

  test("changes that merge stop at the limit, and say what it is and what there is now", async () => {
    const { id } = await create({ firstName: "A", ...half });
    await expect(update(id, otherHalf)).rejects.toMatchObject(refused("", /65536 bytes, this would have 7\d{4}; it has 3\d{4} now/)); // prettier-ignore
    await update(id, { customFields: keys("a", 90, 1) });
    await expect(update(id, { customFields: keys("b", 90, 1) })).rejects.toMatchObject(
      refused("customFields", /may have 100 custom fields, this would have 188; it has 98 now/),
    );
    await update(id, { consent: keys("a", 30, true) });
    await expect(update(id, { consent: keys("b", 30, true) })).rejects.toMatchObject(
      refused("consent", /may have 50 consent keys, this would have 60; it has 30 now/),
    );
    // room is made by emptying
    await update(id, { customFields: { ...keys("half", 8, null), ...keys("other", 8, "x".repeat(4_500)) } });
  });

  test("an upsert", async () => {
    const upsert = (input: Record<string, unknown>) =>
      node.call("leads.upsert", { externalId: "big", ...input }, org.as("admin"));
    await upsert(half);
    await expect(upsert(otherHalf)).rejects.toMatchObject(tooLarge);
  });

  test("an item of a batch, which does not fail the rest", async () => {
    const big = { firstName: "A", customFields: keys("k", 16, "x".repeat(4_500)) };
    const { results } = await node.call(
      "leads.bulkCreate",
      { items: [{ firstName: "B" }, big] },
      org.as("admin"),
    );
    expect(results).toMatchObject([
      { status: 201 },
      { status: 422, error: { errors: [{ path: "", code: "record_too_large" }] } },
    ]);
  });

  test("a row of an import, which is refused with the reason, new or merged into a lead", async () => {
    const wide = (name: string, cells: number) => [
      `${name}@big.example`,
      ...Array.from({ length: 16 }, (_, index) => (index < cells ? "x".repeat(4_500) : "")),
    ];
    const heading = ["email", ...Array.from({ length: 16 }, (_, index) => `f${index}`)];
    const csv = [heading, wide("fits", 8), wide("new", 16), wide("merged", 8)]
      .map((row) => row.join(","))
      .join("\n");
    await create({ email: "merged@big.example", ...half });
    const meta = org.as("admin");
    const { id } = await upload(node, meta, csv, { onDuplicate: "update" });
    expect(await ended(node, meta, id)).toMatchObject({
      status: "completed",
      created: 1,
      updated: 0,
      failed: 2,
    });
    const rows = parse<Record<string, string>>(await rejectedRows(node, meta, id), { columns: true });
    expect(rows.map(({ row, reason }) => [row, reason])).toEqual([
      ["2", expect.stringMatching(/65536 bytes, this would have 7\d{4}$/)],
      ["3", expect.stringMatching(/65536 bytes, this would have 7\d{4}; it has 3\d{4} now/)],
    ]);
  });

  test("rules that would put too much into every lead they score", async () => {
    const rules = (count: number, detail: string, value: string[]) =>
      Array.from({ length: count }, (_, index) => ({
        ...{ factor: `f${index}`, points: 1, detail },
        conditions: [{ field: "email", op: "in" as const, value }],
      }));
    const set = (given: ReturnType<typeof rules>) =>
      node.call("leads.setScoringRules", { rules: given }, org.as("admin"));
    await expect(set(rules(100, "x".repeat(300), ["a"]))).rejects.toMatchObject(
      refused("rules.*.factor and rules.*.detail", /may take 16384 bytes as JSON, this would take 3\d{4}/),
    );
    await expect(set(rules(30, "x", Array<string>(100).fill("y".repeat(50))))).rejects.toMatchObject(
      refused("rules", /may take 65536 bytes as JSON/),
    );
    expect(await set(rules(100, "x".repeat(100), ["a"]))).toMatchObject({ version: 1 });
  });

  test("a pool's members and criteria", async () => {
    const criteria = [{ field: "email", op: "in" as const, value: Array<string>(100).fill("y".repeat(400)) }];
    const pool = { name: "P", strategy: "round_robin" as const, members: [] };
    await expect(node.call("leads.createPool", { ...pool, criteria }, org.as("admin"))).rejects.toMatchObject(
      refused("members and criteria", /may take 32768 bytes/),
    );
  });
});

describe("custom fields have a number:", () => {
  test("sensitive ones end at 20, and an import leaves undefined what is beyond the last of all", async () => {
    const own = await makeOrganization(node);
    const url = shardUrl(node, own.id);
    const admin = own.as("admin");
    await inspect(
      url,
      `INSERT INTO custom_fields (organization_id, id, entity, key, type, label, is_sensitive, created_at, updated_at)
       SELECT $1, gen_random_uuid(), 'lead', 'k' || n, 'text', n, n <= 20, now(), now()
       FROM generate_series(1, $2::int - 1) n`,
      [own.id, limits.customFields.most],
    );
    await expect(
      node.call("custom-fields.create", { key: "s", isSensitive: true }, admin),
    ).rejects.toMatchObject({
      code: 409,
      type: "LIMIT_REACHED",
      message: expect.stringMatching(/20 sensitive/),
    });
    const { id } = await upload(node, admin, "email,brandNew,another\na@b.example,7,8");
    expect(await ended(node, admin, id)).toMatchObject({ status: "completed", created: 1 });
    const { data } = await node.call("leads.list", { filter: { email: "a@b.example" } }, admin);
    expect(data).toMatchObject([
      { customFields: { brandNew: expect.anything(), another: expect.anything() } },
    ]);
    expect(
      await inspect(url, "SELECT count(*)::int AS count FROM custom_fields WHERE organization_id = $1", [
        own.id,
      ]),
    ).toEqual([{ count: limits.customFields.most }]);
  });
});

describe("a lead that is too large from before there was a limit", () => {
  let old: TestOrganization;
  let id: string;
  beforeAll(async () => {
    old = await makeOrganization(node);
    ({ id } = await create({ firstName: "Old" }, old));
    await inspect(
      shardUrl(node, old.id),
      `UPDATE leads SET custom_fields = (SELECT jsonb_object_agg('k' || n, repeat('x', 5000)) FROM generate_series(1, 1000) n)
       WHERE id = $1`,
      [id],
    );
  });

  test("is shown, alone and in lists", async () => {
    const admin = old.as("admin");
    expect(Object.keys((await node.call("leads.get", { id }, admin)).customFields)).toHaveLength(1_000);
    expect((await node.call("leads.list", {}, admin)).data).toHaveLength(1);
  });

  test("may become smaller, change otherwise, not grow, and be neither copied nor made a contact", async () => {
    await expect(update(id, { customFields: { more: "x" } }, old)).rejects.toMatchObject({
      code: 422,
      data: { errors: [{ code: "record_too_large" }, { code: "too_many" }] },
    });
    const smaller = await update(id, { customFields: keys("k", 100, null) }, old);
    expect(Object.keys(smaller.customFields)).toHaveLength(901);
    expect((await update(id, { status: "contacted", assignedTo: old.userId("admin") }, old)).version).toBeGreaterThan(smaller.version); // prettier-ignore
    await expect(node.call("leads.convert", { id }, old.as("admin"))).rejects.toMatchObject({ code: 422 });
  });

  test("can be deleted and restored", async () => {
    await node.call("leads.remove", { id }, old.as("admin"));
    expect(await node.call("leads.restore", { id }, old.as("admin"))).toMatchObject({ id });
  });
});

describe("many records as large as they may be", () => {
  const count = 100;
  let large: TestOrganization;
  beforeAll(async () => {
    large = await makeOrganization(node);
    const admin = large.as("admin");
    for (let index = 0; index < count; index += 10)
      await node.call(
        "leads.bulkCreate",
        {
          items: Array.from({ length: 10 }, (_, offset) => ({
            email: `l${index + offset}@large.example`,
            customFields: keys("k", 13, "x".repeat(4_900)),
          })),
        },
        admin,
      );
    await eventually(
      async () => (await node.call("events.list", { since: 0, limit: 1 }, admin)).head === count,
    );
  });
  const bytes = (value: unknown) => Buffer.byteLength(JSON.stringify(value));

  test("are listed by pages that end at a number of bytes, each once", async () => {
    const seen = new Set<string>();
    let cursor: string | undefined;
    let pages = 0;
    do {
      const page = await node.call(
        "leads.list",
        { limit: 200, ...(cursor && { cursor }) },
        large.as("admin"),
      );
      expect(bytes(page.data)).toBeLessThan(pageBytes);
      if (page.page.hasMore) expect(page.data.length).toBeGreaterThan(20);
      for (const { id } of page.data) seen.add(id);
      pages++;
      expect(page.page.hasMore).toBe(page.page.nextCursor !== null);
      cursor = page.page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    expect(seen.size).toBe(count);
    expect(pages).toBeGreaterThan(3);
  });

  test("are in the feed, which answers 4 MB at most and says where it goes on", async () => {
    const seqs: number[] = [];
    for (let since = 0; ;) {
      const answer = await node.call("events.list", { since, limit: 1_000 }, large.as("admin"));
      // and the one event that a page has in any case
      expect(bytes(answer.data)).toBeLessThan(2 * pageBytes + 100_000);
      seqs.push(...answer.data.map(({ seq }) => seq));
      if (answer.next === answer.head) break;
      since = answer.next;
    }
    expect(seqs).toEqual(Array.from({ length: count }, (_, index) => index + 1));
  });

  test("are exported whole", async () => {
    const csv = (await node.call("leads.export", { fields: "email" }, large.as("admin"))) as Readable;
    expect((await text(csv)).trim().split("\n")).toHaveLength(count + 1);
    const wide = (await node.call("leads.export", {}, large.as("admin"))) as Readable;
    expect(parse(await text(wide), { columns: true })).toHaveLength(count);
  });

  test("have a timeline that is cut likewise, and goes on by its cursor", async () => {
    const { data } = await node.call("leads.list", { limit: 1, fields: "id" }, large.as("admin"));
    const id = (data[0] as { id: string }).id;
    for (let change = 0; change < 45; change++) await update(id, { title: `T${change}` }, large);
    let seen = 0;
    let cursor: string | undefined;
    do {
      const page = await node.call(
        "leads.timeline",
        { id, limit: 200, ...(cursor && { cursor }) },
        large.as("admin"),
      );
      expect(bytes(page.data)).toBeLessThan(pageBytes + 100_000);
      seen += page.data.length;
      cursor = page.page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    expect(seen).toBe(46);
  });

  test("are changed by an import whose rows touch more of them than fit into memory together, and turned back", async () => {
    const meta = large.as("admin");
    const csv = [
      "email,title",
      ...Array.from({ length: count }, (_, index) => `l${index}@large.example,Imported`),
    ];
    const { id } = await upload(node, meta, csv.join("\n"), { onDuplicate: "update" });
    expect(await ended(node, meta, id, 60_000)).toMatchObject({
      status: "completed",
      updated: count,
      failed: 0,
    });
    expect((await node.call("leads.list", { filter: { title: "Imported" }, limit: 1, count: true, fields: "id" }, meta)).page.total).toBe(count); // prettier-ignore
    await node.call("imports.rollback", { id }, meta);
    await eventually(
      async () => (await node.call("imports.get", { id }, meta)).status === "rolled_back",
      60_000,
    );
    expect((await node.call("leads.list", { filter: { title: "Imported" }, limit: 1, count: true, fields: "id" }, meta)).page.total).toBe(0); // prettier-ignore
  });

  test("are rescored to the last", async () => {
    const rule = { factor: "f", points: 77, detail: "d", conditions: [{ field: "email", op: "isnull" as const, value: false }] }; // prettier-ignore
    await node.call("leads.setScoringRules", { rules: [rule] }, large.as("admin"));
    await eventually(
      async () => (await node.call("leads.list", { filter: { score: 77 }, limit: 1, count: true, fields: "id" }, large.as("admin"))).page.total === count, // prettier-ignore
      60_000,
    );
  });
});
