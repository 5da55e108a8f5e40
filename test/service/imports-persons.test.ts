import { beforeAll, describe, expect, test } from "@jest/globals";
import { parse } from "csv-parse/sync";
import fc from "fast-check";
import type { Meta } from "../../mixins/contract/meta.ts";
import { countsOf, Importing } from "../support/importing.ts";
import { buildMeta, rejectedRows } from "../support/imports.ts";
import { makeOrganization } from "../support/leads.ts";
import { shareNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let on: Importing;
beforeAll(async () => {
  node = await shareNode();
  on = new Importing(node);
});

describe("persons of a file", () => {
  const office =
    "Record ID,First Name,Email,Phone\n1,Asha,asha@example.com,022 2345 6789\n2,Ravi,ravi@example.com,022 2345 6789\n";

  test.each(["skip", "update"])(
    "with one office phone are two leads (%s), also matched by phone",
    async (onDuplicate) => {
      for (const matchBy of ["externalId,email", "phone", "externalId,email,phone"]) {
        const { meta, view } = await on.importFile(office, { onDuplicate, matchBy });
        expect(view).toMatchObject({ created: 2, failed: 0 });
        // the other batch, of the same file again
        expect((await on.importFile(office, { onDuplicate, matchBy }, meta)).view).toMatchObject({
          created: 0,
          failed: 0,
        });
        expect((await on.leadsOf(meta)).map(({ firstName }) => firstName).sort()).toEqual(["Asha", "Ravi"]);
      }
    },
  );

  test("whose phone is in doubt come in without it, and with the country that is named", async () => {
    const file = [
      "Email,Phone",
      "a@example.com,022-23456789/90",
      "b@example.com,(415) 555-2671",
      "c@example.com,9876543210.0",
      "d@example.com,+91 22 2345 6789 ext. 12",
      "e@example.com,+5215512345678",
      "f@example.com,\u202atel:+91 98765 43211\u202c",
      "",
    ].join("\n");
    const { meta, id, view } = await on.importFile(file);
    expect(view).toMatchObject({ created: 6, failed: 0 });
    expect((await on.leadsOf(meta)).map(({ email, phone }) => [email?.[0], phone]).sort()).toEqual([
      ["a", null],
      ["b", null],
      ["c", "+919876543210"],
      ["d", "+912223456789;ext=12"],
      ["e", "+525512345678"],
      ["f", "+919876543211"],
    ]);
    expect(await on.reasonsOf(meta, id)).toEqual([
      '1 imported without phone: "022-23456789/90" may be more than one number; write one',
      expect.stringMatching(/^2 imported without phone: "\(415\) 555-2671" is no number as IN writes them/),
    ]);
    const american = await on.importFile("Email,Phone\nb@example.com,(415) 555-2671\n", { country: "us" });
    expect((await on.leadsOf(american.meta))[0]?.phone).toBe("+14155552671");
    await expect(on.importFile("Email\n", { country: "XX" })).rejects.toMatchObject({ code: 422 });
  });

  test("in Brazil match with and without the ninth digit, each phone as it was given", async () => {
    const { meta } = await on.importFile("Name,Phone\nAna,+5511987654321\n");
    const { view } = await on.importFile(
      "Name,Phone\nAna,+55 11 8765-4321\nBia,+55 11 8765-4322\n",
      { matchBy: "phone" },
      meta,
    );
    expect(view).toMatchObject({ created: 1, skipped: 1 });
    expect((await on.leadsOf(meta)).map(({ phone }) => phone).sort()).toEqual([
      "+551187654322",
      "+5511987654321",
    ]);
  });

  test("whose ids a spreadsheet has damaged are refused", async () => {
    const rows = Array.from({ length: 10 }, (_, index) => `5.1E+10,p${index}@example.com`);
    const { meta, id, view } = await on.importFile(`Record ID,Email\n${rows.join("\n")}\n7,ok@example.com\n`);
    expect(view).toMatchObject({ created: 1, failed: 10 });
    expect((await on.reasonsOf(meta, id))[0]).toMatch(
      /^1 The cell "Record ID" is 5.1E\+10: a spreadsheet has cut/,
    );
  });

  test.each(["Email", "Record ID"])(
    "of one file sent twice at once are 2,000 leads, none failed (%s)",
    async (key) => {
      const rows = Array.from({ length: 2000 }, (_, index) =>
        key === "Email" ? `p${index}@example.com` : `id-${index}`,
      );
      const file = `${key},First Name\n${rows.map((row) => `${row},N`).join("\n")}\n`;
      const meta = buildMeta();
      const both = await Promise.all([on.importFile(file, {}, meta), on.importFile(file, {}, meta)]);
      const sum = (field: "created" | "skipped" | "failed") =>
        both.reduce((all, { view }) => all + view[field], 0);
      expect([sum("created"), sum("skipped"), sum("failed")]).toEqual([2000, 2000, 0]);
      expect(await on.rowsOf(meta, "leads")).toHaveLength(2000);
    },
    60_000,
  );
});

describe("the report of an import", () => {
  test("lists skipped rows with the rejected, and imports as it is once mended", async () => {
    const { meta } = await on.importFile("Email,Name\nold@example.com,Old\n");
    const file = 'Email,Name,City\nold@example.com,Old,x\nbad,"\'=Rao",Pune,too many\n';
    const { id, view } = await on.importFile(file, {}, meta);
    expect(view).toMatchObject({ created: 0, skipped: 1, failed: 1 });
    const report = await rejectedRows(node, meta, id);
    expect(parse(report, { relax_column_count: true })).toEqual([
      ["row", "reason", "Email", "Name", "City"],
      [
        "1",
        expect.stringMatching(/^skipped: the lead [\w-]{36} has this email$/),
        "old@example.com",
        "Old",
        "x",
      ],
      ["2", "The row has 4 cells, the heading 3.", "bad", "'=Rao", "Pune", "too many"],
    ]);
    const again = await on.importFile(
      report.replace("bad,", "mended@example.com,").replace(",too many", ""),
      {},
      meta,
    );
    expect(again.view).toMatchObject({ created: 1, skipped: 1, failed: 0 });
    expect(await on.leadsOf(meta)).toContainEqual(
      expect.objectContaining({
        email: "mended@example.com",
        firstName: "=Rao",
        customFields: { city: "Pune" },
      }),
    );
    // its own columns stand there once
    expect((await rejectedRows(node, meta, again.id)).split("\n")[0]).toBe("row,reason,Email,Name,City");
  });
});

describe("words of a file", () => {
  const file = [
    "First Name,Email,Lead Status,Email consent,Owner",
    "Select,a@example.com,Open - Not Contacted,opted out,nobody@example.com",
    "Asha,b@example.com,Qualified,opted in,",
    "",
  ].join("\n");
  const mapping = { "Email consent": "consent.email", Owner: null };

  test("are suggested meanings by a dry run, with which they come in", async () => {
    const { meta, view } = await on.importFile(file, { mapping, dryRun: true });
    const { suggestedValues } = view.options;
    expect(suggestedValues).toEqual({
      "Lead Status": { "Open - Not Contacted": "new" },
      "Email consent": { "opted out": false, "opted in": true },
    });
    const done = await on.importFile(file, { mapping, values: JSON.stringify(suggestedValues) }, meta);
    expect(done.view).toMatchObject({ created: 2, failed: 0, options: { values: suggestedValues } });
    expect(
      (await on.leadsOf(meta)).map(({ firstName, status, consent }) => [firstName, status, consent]).sort(),
    ).toEqual([
      ["Asha", "qualified", { email: true }],
      ["Select", "new", { email: false }],
    ]);
    expect(await on.fieldsOf(meta)).toEqual({});
  });

  test("without one go to a custom field, and are told", async () => {
    const { meta, id, view } = await on.importFile(file, { mapping: { ...mapping, "Email consent": null } });
    expect(view).toMatchObject({ created: 2, failed: 0 });
    expect((await on.leadsOf(meta)).find(({ firstName }) => firstName === "Select")).toMatchObject({
      status: "new",
      customFields: { leadStatus: "Open - Not Contacted" },
    });
    expect(await on.reasonsOf(meta, id)).toEqual([
      expect.stringMatching(
        /^1 imported without status: "Open - Not Contacted" means nothing here and is kept/,
      ),
    ]);
  });

  test("may name owners by their emails or ids; who is no user is kept aside, and told", async () => {
    const org = await makeOrganization(node, { rep: "sales_rep" });
    const meta = org.as("admin");
    const { data } = await node.call("identity.listUsers", {}, meta);
    const rep = data.find(({ id }) => id === org.userId("rep"));
    const owned = `Email,Owner\na@example.com,${rep?.email?.toUpperCase()}\nb@example.com,${rep?.id}\nc@example.com,Nobody Else\n`;
    const { id, view } = await on.importFile(owned, { mapping: { Owner: "assignedTo" } }, meta);
    expect(view).toMatchObject({ created: 3, failed: 0 });
    expect(
      (await on.leadsOf(meta))
        .map(({ email, assignedTo, customFields }) => [email, assignedTo, customFields])
        .sort(),
    ).toEqual([
      ["a@example.com", rep?.id, {}],
      ["b@example.com", rep?.id, {}],
      ["c@example.com", null, { owner: "Nobody Else" }],
    ]);
    expect(await on.reasonsOf(meta, id)).toEqual([
      expect.stringMatching(/^3 imported without assignedTo: "Nobody Else" means nothing here and is kept/),
    ]);
  });

  test("of a column that the file does not have are refused", async () => {
    await expect(on.importFile(file, { values: { Nope: { a: "b" } } })).rejects.toMatchObject({
      type: "MAPPING_UNKNOWN_COLUMN",
    });
  });
});

test("what export writes, import reads elsewhere: the same records", async () => {
  const from = (await makeOrganization(node)).as("admin");
  const word = fc.string({
    unit: fc.constantFrom("a", "Z", " ", ",", ";", '"', "'", "=", "+", "-", "@", "é", "प", "\n", "1"),
    minLength: 1,
    maxLength: 12,
  });
  const text = word.filter((value) => value.trim() !== "" && value === value.trim());
  const lead = fc.record(
    {
      firstName: text,
      companyName: text,
      phone: fc.constantFrom("+919876543210", "+912223456789;ext=12", "+551187654321"),
      status: fc.constantFrom("new" as const, "qualified" as const),
      tags: fc.uniqueArray(text, { maxLength: 3 }),
      customFields: fc.dictionary(fc.constantFrom("city", "seats", "isBig", "due"), text, { maxKeys: 3 }),
      consent: fc.dictionary(fc.constantFrom("email", "sms"), fc.oneof(fc.boolean(), text)),
    },
    { requiredKeys: [] },
  );
  const items = fc
    .sample(lead, { numRuns: 150, seed: 7 })
    .map((one, index) => ({ ...one, externalId: `e${index}` }));
  const { results } = await node.call("leads.bulkCreate", { items }, from);
  expect(results.filter(({ status }) => status !== 201)).toEqual([]);
  const first = (await on.leadsOf(from))[0];
  await node.call("leads.convert", { id: first?.id ?? "" }, from);

  const stream = await node.broker.call<AsyncIterable<Buffer>, object>(
    "leads.export",
    { format: "csv" },
    { meta: { ...from } },
  );
  let file = "";
  for await (const piece of stream) file += String(piece);
  const { meta, view, id } = await on.importFile(file);
  expect({ view: countsOf(view), told: await on.reasonsOf(meta, id) }).toEqual({
    view: { created: 150, updated: 0, skipped: 0, failed: 0, processed: 150, total: 150 },
    told: [],
  });
  const same = async (whose: Meta) =>
    (await on.leadsOf(whose))
      .map(
        ({
          id: _id,
          createdAt: _createdAt,
          updatedAt: _updatedAt,
          version: _version,
          lastActivityAt: _last,
          ...rest
        }) => rest,
      )
      .sort((a, b) => Number(a.externalId?.slice(1)) - Number(b.externalId?.slice(1)));
  expect(await same(meta)).toEqual(await same(from));
}, 60_000);
