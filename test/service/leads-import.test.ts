import { beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { v7 as uuidv7 } from "uuid";
import { inspect } from "../support/database.ts";
import { makeOrganization, shardUrl, type TestOrganization } from "../support/leads.ts";
import { eventually } from "../support/eventually.ts";
import { shareNode, type TestNode } from "../support/node.ts";

type OnDuplicate = "skip" | "update" | "create";

let node: TestNode;
let org: TestOrganization<"a" | "b">;
beforeAll(async () => {
  node = await shareNode();
});
beforeEach(async () => {
  org = await makeOrganization(node, { a: "sales_rep", b: "sales_rep" });
});

const sql = <T extends Record<string, unknown>>(text: string, ...values: unknown[]) =>
  inspect<T>(shardUrl(node, org.id), text, values);

/** An import that runs, as the imports service would have claimed it. */
async function startImport(onDuplicate: OnDuplicate = "skip", isDryRun = false) {
  const importId = uuidv7();
  await sql(
    `INSERT INTO imports (organization_id, id, file_name, mapping, on_duplicate, is_dry_run, status, epoch, created_at, updated_at)
     VALUES ($1, $2, 'f.csv', '{}', $3, $4, 'running', 1, now(), now())`,
    org.id,
    importId,
    onDuplicate,
    isDryRun,
  );
  let processed = 0;
  return {
    importId,
    async send(inputs: unknown[], overrides: Record<string, unknown> = {}) {
      const counts = await node.call(
        "leads.importBatch",
        {
          importId,
          epoch: 1,
          processedBefore: processed,
          onDuplicate,
          isDryRun,
          rows: inputs.map((input, index) => ({
            rowNumber: processed + index + 1,
            input,
            record: { n: `${index}` },
          })),
          ...overrides,
        },
        org.as("admin"),
      );
      processed += inputs.length;
      return counts;
    },
    async row() {
      const [row] = await sql<Record<string, number>>("SELECT * FROM imports WHERE id = $1", importId);
      return row;
    },
    async rollBack(limit = 500) {
      await sql("UPDATE imports SET status = 'rolling_back', epoch = 2 WHERE id = $1", importId);
      return node.call("leads.rollbackImport", { importId, epoch: 2, limit }, org.as("admin"));
    },
  };
}
const leads = async () => (await node.call("leads.list", { sort: "createdAt" }, org.as("admin"))).data;
const create = (input: Record<string, unknown>) => node.call("leads.create", input, org.as("admin"));

describe("a batch of an import", () => {
  test("writes leads, counts, rejected rows and events together", async () => {
    const run = await startImport();
    const counts = await run.send([
      { email: "a@x.example", phone: "98765 43210" },
      { email: "nonsense" },
      { phone: "12" },
      {},
      { email: "A@x.example" },
    ]);
    expect(counts).toEqual({ created: 1, updated: 0, skipped: 1, failed: 3 });
    expect(await run.row()).toMatchObject({ processed: 5, created: 1, updated: 0, skipped: 1, failed: 3 });
    expect(await leads()).toMatchObject([
      { email: "a@x.example", phone: "+919876543210", score: 30, version: 1 },
    ]);
    const errors = await sql(
      "SELECT row_number, reason, record FROM import_errors WHERE import_id = $1 ORDER BY 1",
      run.importId,
    );
    expect(errors).toMatchObject([
      { row_number: 2, reason: expect.stringContaining("email: "), record: { n: "1" } },
      { row_number: 3, reason: expect.stringContaining("phone: is not a phone number") },
      { row_number: 4, reason: expect.stringContaining("give at least one of") },
      { row_number: 5, reason: "skipped: row 1 has this email", record: { n: "4" } },
    ]);
    expect(await sql("SELECT type FROM events WHERE organization_id = $1", org.id)).toEqual([
      { type: "lead.created" },
    ]);
  });

  test("keeps the reason of rows that the parser rejected", async () => {
    const run = await startImport();
    const rows = [{ rowNumber: 1, input: {}, record: { a: "x" }, error: "too long" }];
    expect(await run.send([{}], { rows })).toMatchObject({ failed: 1 });
    expect(await sql("SELECT reason, record FROM import_errors")).toContainEqual({
      reason: "too long",
      record: { a: "x" },
    });
  });

  test("is written once: sent again, or by a run that was overtaken, it changes nothing", async () => {
    const run = await startImport();
    await run.send([{ email: "once@x.example" }]);
    for (const overrides of [{ processedBefore: 0 }, { epoch: 0 }, { importId: uuidv7() }])
      await expect(run.send([{ email: "twice@x.example" }], overrides)).rejects.toMatchObject({
        code: 409,
        type: "IMPORT_FENCED",
      });
    const stranger = await makeOrganization(node);
    await expect(
      node.call(
        "leads.importBatch",
        {
          importId: run.importId,
          epoch: 1,
          processedBefore: 1,
          onDuplicate: "skip",
          isDryRun: false,
          rows: [{ rowNumber: 2, input: { email: "z@x.example" }, record: {} }],
        },
        stranger.as("admin"),
      ),
    ).rejects.toMatchObject({ type: "IMPORT_FENCED" });
    expect(await leads()).toHaveLength(1);
    expect(await run.row()).toMatchObject({ processed: 1, created: 1 });
  });

  test("the same batch sent many times at once is written once", async () => {
    const run = await startImport("create");
    const outcomes = await Promise.allSettled(
      Array.from({ length: 5 }, () => run.send([{ email: "p@x.example" }], { processedBefore: 0 })),
    );
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(await leads()).toHaveLength(1);
  });

  test("skip leaves stored leads alone, found by external id, email or, if that is asked for, phone", async () => {
    await create({ externalId: "e1" });
    await create({ email: "stored@x.example" });
    await create({ phone: "+14155550100" });
    const run = await startImport("skip");
    const rows = [
      { externalId: "e1", title: "x" },
      { email: "STORED@x.example", title: "x" },
      { phone: "001 415 555 0100", title: "x" },
      { email: "fresh@x.example" },
    ];
    const counts = await run.send(rows, { matchBy: ["externalId", "email", "phone"] });
    expect(counts).toEqual({ created: 1, updated: 0, skipped: 3, failed: 0 });
    expect((await leads()).map((lead) => lead.title)).toEqual([null, null, null, null]);
  });

  test("finds among many of one email and phone one that no stronger key tells apart", async () => {
    const office = { email: "office@x.example", phone: "+912223456789" };
    for (let place = 0; place < 5; place++) await create({ ...office, externalId: `o${place}` });
    const open = await create({ ...office, title: "open" });
    const run = await startImport("update");
    const counts = await run.send([
      { ...office, externalId: "o3", title: "by id" },
      { ...office, externalId: "fresh", title: "by email" },
      { phone: office.phone, title: "by nothing" },
    ]);
    expect(counts).toEqual({ created: 1, updated: 2, skipped: 0, failed: 0 });
    const titles = new Map((await leads()).map((lead) => [lead.externalId, [lead.id, lead.title]]));
    expect(titles.get("fresh")).toEqual([open.id, "by email"]);
    expect(titles.get("o3")?.[1]).toBe("by id");
    expect(titles.get("o0")?.[1]).toBeNull();
  });

  test("update overwrites what the row gives, rescores, and makes one version of many rows", async () => {
    const stored = await create({ email: "u@x.example", firstName: "Old", customFields: { keep: 1 } });
    const run = await startImport("update");
    const counts = await run.send([
      { email: "u@x.example", firstName: "New", title: "CEO" },
      { email: "u@x.example", customFields: { more: 2 } },
    ]);
    expect(counts).toEqual({ created: 0, updated: 2, skipped: 0, failed: 0 });
    expect(await leads()).toMatchObject([
      {
        firstName: "New",
        title: "CEO",
        customFields: { keep: 1, more: 2 },
        version: 2,
        score: stored.score + 20,
      },
    ]);
    const [event] = (await node.call("leads.timeline", { id: stored.id, limit: 1 }, org.as("admin"))).data;
    expect(event?.type).toBe("lead.updated");
    const { changes } = event?.data as { changes: Record<string, unknown> };
    const { scoreReasons, ...told } = changes;
    expect(scoreReasons).toHaveLength(2);
    expect(told).toEqual({
      firstName: ["Old", "New"],
      title: [null, "CEO"],
      score: [stored.score, stored.score + 20],
      "customFields.more": [null, 2],
    });
  });

  test("create makes everybody again, but gives no external id twice", async () => {
    await create({ externalId: "e1", email: "c@x.example" });
    const run = await startImport("create");
    const counts = await run.send([{ email: "c@x.example" }, { externalId: "e1" }]);
    expect(counts).toEqual({ created: 1, updated: 0, skipped: 0, failed: 1 });
  });

  test("a dry run counts and names bad rows, and writes no lead", async () => {
    await create({ email: "d@x.example" });
    const run = await startImport("update", true);
    const counts = await run.send([
      { email: "d@x.example", title: "t" },
      { email: "e@x.example" },
      { email: "bad" },
    ]);
    expect(counts).toEqual({ created: 1, updated: 1, skipped: 0, failed: 1 });
    expect(await run.row()).toMatchObject({ processed: 3, created: 1, updated: 1, failed: 1 });
    expect(await leads()).toMatchObject([{ email: "d@x.example", title: null, version: 1 }]);
    expect(await sql("SELECT FROM import_errors WHERE import_id = $1", run.importId)).toHaveLength(1);
    expect(await sql("SELECT FROM import_record_changes WHERE import_id = $1", run.importId)).toHaveLength(0);
  });

  test("gives new leads to the pool that wants them, and takes rows without an assignee who is unknown", async () => {
    await node.call(
      "leads.createPool",
      {
        name: "P",
        strategy: "round_robin",
        members: [{ userId: org.userId("a") }, { userId: org.userId("b") }],
      },
      org.as("admin"),
    );
    const run = await startImport();
    const inputs = Array.from({ length: 9 }, (_, index) => ({ email: `pool${index}@x.example` }));
    const counts = await run.send([...inputs, { email: "n@x.example", assignedTo: uuidv7() }]);
    expect(counts).toMatchObject({ created: 10, failed: 0 });
    const assigned = (await leads()).map((lead) => lead.assignedTo);
    expect(assigned.filter((user) => user === org.userId("a"))).toHaveLength(5);
    expect(assigned.filter((user) => user === org.userId("b"))).toHaveLength(5);
    expect(
      await sql("SELECT row_number, reason FROM import_errors WHERE import_id = $1", run.importId),
    ).toEqual([
      {
        row_number: 10,
        reason: expect.stringMatching(
          /^imported without assignedTo: [\w-]+ is no active user of the organization$/,
        ),
      },
    ]);
  });
});

describe("rolling an import back", () => {
  test("deletes what it made, gives back what it changed, and keeps what somebody worked on", async () => {
    const changed = await create({ email: "changed@x.example", firstName: "Before", customFields: { a: 1 } });
    const worked = await create({ email: "worked@x.example" });
    const run = await startImport("update");
    await run.send([
      { email: "changed@x.example", firstName: "After", customFields: { a: 2, b: 3 }, title: "CEO" },
      { email: "worked@x.example", title: "Import" },
      { email: "made@x.example" },
      { email: "made-and-worked@x.example" },
    ]);
    // a later batch of the same import touches a lead again: what counts is what it was before the import
    await run.send([{ email: "changed@x.example", source: "twice" }]);
    const find = async (email: string) => (await leads()).find((lead) => lead.email === email);
    const id = (await find("made-and-worked@x.example"))?.id as string;
    await node.call("leads.update", { id, title: "Called" }, org.as("admin"));
    await node.call("leads.update", { id: worked.id, title: "Mine" }, org.as("admin"));

    expect(await run.rollBack()).toEqual({ undone: 2, kept: 2, remaining: 0 });
    expect(await find("made@x.example")).toBeUndefined();
    expect(await find("made-and-worked@x.example")).toMatchObject({ title: "Called" });
    expect(await find("worked@x.example")).toMatchObject({ title: "Mine" });
    const back = await find("changed@x.example");
    expect(back).toEqual({ ...changed, version: 4, updatedAt: back?.updatedAt });
    expect(await run.rollBack()).toEqual({ undone: 0, kept: 0, remaining: 0 });
  });

  test("goes on in steps, and only for the run that owns it", async () => {
    const run = await startImport();
    await run.send(Array.from({ length: 5 }, (_, index) => ({ email: `s${index}@x.example` })));
    expect(await run.rollBack(3)).toEqual({ undone: 3, kept: 0, remaining: 2 });
    await expect(
      node.call("leads.rollbackImport", { importId: run.importId, epoch: 1, limit: 3 }, org.as("admin")),
    ).rejects.toMatchObject({ code: 409, type: "IMPORT_FENCED" });
    expect(await run.rollBack(3)).toEqual({ undone: 2, kept: 0, remaining: 0 });
    expect(await leads()).toEqual([]);
  });

  test("frees external ids, so that the mended file can be imported", async () => {
    const first = await startImport();
    await first.send([{ externalId: "x1" }, { externalId: "x2" }]);
    await first.rollBack();
    const second = await startImport();
    expect(await second.send([{ externalId: "x1" }, { externalId: "x2" }])).toMatchObject({
      created: 2,
      failed: 0,
    });
  });

  test("leaves an external id with the lead that has taken it since", async () => {
    const lead = await create({ externalId: "old", email: "moved@x.example" });
    const run = await startImport("update");
    await run.send([{ externalId: "old", email: "moved@x.example", title: "T" }]);
    await sql("UPDATE leads SET external_id = 'new' WHERE id = $1", lead.id);
    await create({ externalId: "old" });
    expect(await run.rollBack()).toEqual({ undone: 1, kept: 0, remaining: 0 });
    expect(await node.call("leads.get", { id: lead.id }, org.as("admin"))).toMatchObject({
      externalId: "new",
      title: null,
    });
  });

  test("undoes what nodes of the release before have written: they know the table by its former name and column", async () => {
    const run = await startImport();
    await create({ externalId: "x1" });
    const [lead] = await leads();
    await node.runtime.database.transaction({ organizationId: org.id }, async (tx) => {
      for (const version of [7, 1])
        await tx.execute({
          text: `INSERT INTO import_changes (organization_id, import_id, lead_id, version, before)
            SELECT $1, $2, c.lead_id, c.version, c.before
            FROM json_to_recordset($3) AS c (lead_id uuid, version integer, before jsonb)
            ON CONFLICT (organization_id, import_id, lead_id) DO UPDATE SET version = excluded.version`,
          values: [org.id, run.importId, JSON.stringify([{ lead_id: lead?.id, version, before: null }])],
        });
      expect(await tx.query({ text: "SELECT lead_id FROM import_changes" })).toHaveLength(1);
    });
    const stranger = await makeOrganization(node);
    const seen = await node.runtime.database.transaction({ organizationId: stranger.id }, (tx) =>
      tx.query({ text: "SELECT FROM import_changes" }),
    );
    expect(seen).toEqual([]);
    expect(await run.rollBack()).toEqual({ undone: 1, kept: 0, remaining: 0 });
    expect(await leads()).toEqual([]);
  });

  test("a new score alone is nobody's work", async () => {
    const run = await startImport();
    await run.send([{ email: "scored@x.example" }]);
    await node.call(
      "leads.setScoringRules",
      {
        rules: [
          {
            factor: "e",
            points: 77,
            detail: "d",
            conditions: [{ field: "email", op: "isnull", value: false }],
          },
        ],
      },
      org.as("admin"),
    );
    await eventually(async () => (await leads())[0]?.score === 77);
    expect(await run.rollBack()).toEqual({ undone: 1, kept: 0, remaining: 0 });
  });
});
