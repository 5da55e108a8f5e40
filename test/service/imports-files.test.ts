import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { parse } from "csv-parse/sync";
import fc from "fast-check";
import type { Meta } from "../../mixins/contract/meta.ts";
import { inspect } from "../support/database.ts";
import { buildMeta, ended, rejectedRows, upload } from "../support/imports.ts";
import { makeOrganization } from "../support/leads.ts";
import { startTestNode, type TestNode } from "../support/node.ts";

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode({ SERVICES: "identity,leads,imports,service:worker" });
});
afterAll(() => node.stop());

async function importFile(file: string | Buffer, params = {}, meta: Meta = buildMeta()) {
  const { id } = await upload(node, meta, file, params);
  return { meta, id, view: await ended(node, meta, id, 60_000) };
}
const rowsOf = async <T extends Record<string, unknown>>(meta: Meta, table: string, order = "1") =>
  (
    await Promise.all(
      node.databases.map((url) =>
        inspect<T>(url, `SELECT * FROM ${table} WHERE organization_id = $1 ORDER BY ${order}`, [
          meta.organizationId,
        ]),
      ),
    )
  ).flat();
const leadsOf = async (meta: Meta) =>
  (await node.call("leads.list", { sort: "createdAt", limit: 200 }, meta)).data;
const fieldsOf = async (meta: Meta) =>
  Object.fromEntries(
    (await rowsOf<{ key: string; type: string }>(meta, "custom_fields", "key")).map(({ key, type }) => [
      key,
      type,
    ]),
  );
const reasonsOf = async (meta: Meta, id: string): Promise<string[]> =>
  parse(await rejectedRows(node, meta, id), { relax_column_count: true })
    .slice(1)
    .map(([row = "", reason = ""]) => `${row} ${reason}`);
const counts = ({ created, updated, skipped, failed, processed, total }: Record<string, unknown>) => ({
  ...{ created, updated, skipped, failed, processed, total },
});

describe("a file as people make it", () => {
  const wide = (text: string) => Buffer.from(text, "utf16le");
  test.each<[string, string | Buffer, object]>([
    ["a bare quote in row 1", 'Email,Name\na@example.com,5" pipe\nb@example.com,B\n', {}],
    ["blanks before a quote", 'Email, Name\na@example.com, "A, B"\nb@example.com, "B" \n', {}],
    [
      "semicolons, and commas in a heading",
      "Email;Name, first;City\na@example.com;A;x\nb@example.com;B;y\n",
      {},
    ],
    ["sep=; as its first line", "sep=;\r\nEmail;Name\r\na@example.com;A\r\nb@example.com;B\r\n", {}],
    ["UTF-16LE and a mark", wide("\ufeffEmail,Name\na@example.com,प्रिया\nb@example.com,B\n"), {}],
    ["UTF-16BE and none", wide("Email,Name\na@example.com,प्रिया\nb@example.com,B\n").swap16(), {}],
    ["Windows-1252", Buffer.from("Email,Name\na@example.com,Zo\xeb\nb@example.com,B\n", "latin1"), {}],
    ["rows short and long by blank cells", "Email,Name,City\na@example.com\nb@example.com,B,x,,\n", {}],
    ["headings that stand twice", "Email,Name,Email\na@example.com,A,x\nb@example.com,B,y\n", {}],
    [
      "another separator, which is given",
      "Email^Name\na@example.com^A\nb@example.com^B\n",
      { delimiter: "^" },
    ],
    [
      "an encoding, which is given",
      wide("Email,Name\na@example.com,A\nb@example.com,B\n"),
      { encoding: "UTF-16LE" },
    ],
  ])("with %s is read", async (_what, file, params) => {
    const { meta, view } = await importFile(file, params);
    expect(counts(view)).toEqual({
      ...{ created: 2, updated: 0, skipped: 0, failed: 0 },
      processed: 2,
      total: 2,
    });
    expect((await leadsOf(meta)).map(({ email }) => email).sort()).toEqual([
      "a@example.com",
      "b@example.com",
    ]);
  });

  test("in Windows-1252 whose first umlaut stands in its last row is read", async () => {
    const rows = Array.from({ length: 12_000 }, (_, index) => `r${index}@example.com,plain ascii name`);
    const file = Buffer.from(`Email,Name\n${rows.join("\n")}\nlast@example.com,M\xfcller \x80\n`, "latin1");
    expect(file.length).toBeGreaterThan(256 * 1024);
    const { meta, view } = await importFile(file);
    expect(view).toMatchObject({ created: 12_001, options: { encoding: "windows-1252", delimiter: "," } });
    const { data } = await node.call("leads.list", { filter: { email: "last@example.com" } }, meta);
    expect(data[0]?.firstName).toBe("Müller €");
  });

  test("has its broken rows refused alone, and the others read", async () => {
    const file = Buffer.concat([
      Buffer.from('Email,Name\na@example.com,"A\nb@example.com,प्रिया\n,,\n'),
      Buffer.from([...Buffer.from("c@example.com,"), 0xff, 0x0a]),
      Buffer.from('d@example.com,D,surplus\ne@example.com,"E"\n'),
    ]);
    const { meta, id, view } = await importFile(file);
    expect(counts(view)).toMatchObject({ created: 2, failed: 4, processed: 6, total: 6 });
    expect(await reasonsOf(meta, id)).toEqual([
      "1 In line 2, a quote is opened and never closed.",
      "3 The row has only blank cells.",
      expect.stringMatching(/^4 The cell "Name" holds bytes that are no character of UTF-8/),
      "5 The row has 3 cells, the heading 2.",
    ]);
  });

  test("accounts for each of its rows, however broken", async () => {
    const meta = buildMeta();
    const cell = fc.string({
      unit: fc.constantFrom("a", "1", '"', ",", ";", " ", "\0", "é", "@", "'", "=", "\t"),
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(cell, { maxLength: 5 }), { maxLength: 50 }),
        fc.constantFrom(",", ";", "\t"),
        async (rows, delimiter) => {
          const heading = ["Email", "Name", "Phone", "Note"].join(delimiter);
          // NUL is no text: a file with it is refused as a whole
          const body = rows
            .map((cells) => cells.join(delimiter))
            .join("\n")
            .replaceAll("\0", "\u0001");
          const { id, view } = await importFile(`${heading}\n${body}\n`, { delimiter }, meta);
          expect(view.status).toBe("completed");
          expect(view.processed).toBe(view.created + view.updated + view.skipped + view.failed);
          expect(view.total).toBe(view.processed);
          expect(view.total).toBeLessThanOrEqual(rows.length);
          const told = (await reasonsOf(meta, id)).filter((reason) => !reason.includes("imported without"));
          expect(told).toHaveLength(view.failed + view.skipped);
        },
      ),
      { numRuns: 12 },
    );
  }, 120_000);
});

describe("custom fields of a file", () => {
  test("have keys of their headings, so that two files never share one", async () => {
    const { meta } = await importFile("Email,नाम,शहर\na@example.com,प्रिया,पुणे\n");
    await importFile("Email,जन्मदिन,टिप्पणी\na@example.com,2001-02-03,x\n", { onDuplicate: "update" }, meta);
    const [lead] = await leadsOf(meta);
    expect(Object.values(lead?.customFields ?? {}).sort()).toEqual(["2001-02-03", "x", "पुणे", "प्रिया"].sort());
    const labels = (await rowsOf<{ label: string }>(meta, "custom_fields")).map(({ label }) => label);
    expect(labels.sort()).toEqual(["नाम", "शहर", "जन्मदिन", "टिप्पणी"].sort());
  });

  test("have one type, decided by all rows before the first is written", async () => {
    const row = (i: number) =>
      `t${i}@example.com,NO,1.10,9007199254740993,${i === 1700 ? "maybe" : i % 2 ? "yes" : "no"},${i}`;
    const rows = Array.from({ length: 1800 }, (_, index) => row(index)).join("\n");
    const { meta, view } = await importFile(`Email,Country,Version,Number,Opt in,Visits\n${rows}\n`);
    expect(view).toMatchObject({ created: 1800, failed: 0 });
    expect(await fieldsOf(meta)).toEqual({
      ...{ country: "text", version: "text", number: "text", optIn: "text", visits: "number" },
    });
    const leads = await rowsOf<{ custom_fields: Record<string, unknown> }>(meta, "leads");
    expect(
      leads.every(
        ({ custom_fields: { country, version, number, optIn, visits } }) =>
          country === "NO"
          && version === "1.10"
          && number === "9007199254740993"
          && typeof optIn === "string"
          && typeof visits === "number",
      ),
    ).toBe(true);
  });

  test("that an admin has defined keep their type: a cell that does not fit is left out, and told", async () => {
    const meta = buildMeta();
    for (const [key, type] of [
      ["seats", "number"],
      ["due", "date"],
    ] as const)
      await node.call("leads.createCustomField", { key, type }, meta);
    const file =
      "Email,Seats,Due\na@example.com,abc,tomorrow\nb@example.com,5,2026-02-28\nc@example.com,1.10,2026-02-30\n";
    const { id, view } = await importFile(file, {}, meta);
    expect(view).toMatchObject({ created: 3, failed: 0 });
    expect(await fieldsOf(meta)).toEqual({ due: "date", seats: "number" });
    expect((await leadsOf(meta)).map(({ email, customFields }) => [email, customFields]).sort()).toEqual([
      ["a@example.com", {}],
      ["b@example.com", { due: "2026-02-28", seats: 5 }],
      ["c@example.com", { seats: 1.1 }],
    ]);
    expect(await reasonsOf(meta, id)).toEqual([
      expect.stringMatching(
        /^1 imported without customFields.seats: "abc" must be a number; customFields.due: "tomorrow"/,
      ),
      expect.stringMatching(/^3 imported without customFields.due: "2026-02-30" must be a day that there is/),
    ]);
  });
});

test("a value of another type than its custom field's is refused, whoever writes it", async () => {
  const meta = buildMeta();
  for (const [key, type] of [
    ["seats", "number"],
    ["due", "date"],
  ] as const)
    await node.call("leads.createCustomField", { key, type }, meta);
  const lead = await node.call(
    "leads.create",
    { lastName: "Rao", customFields: { seats: 5, other: "x" } },
    meta,
  );
  const refusal = (field: string) => ({
    code: 422,
    data: { errors: [expect.objectContaining({ path: `customFields.${field}`, code: "wrong_type" })] },
  });
  const wrong = { customFields: { seats: "abc" } };
  await expect(node.call("leads.create", { lastName: "Rao", ...wrong }, meta)).rejects.toMatchObject(
    refusal("seats"),
  );
  for (const due of ["tomorrow", "2026-02-30"])
    await expect(
      node.call("leads.update", { id: lead.id, customFields: { due } }, meta),
    ).rejects.toMatchObject(refusal("due"));
  await expect(
    node.call("leads.upsert", { externalId: "e", customFields: { seats: true } }, meta),
  ).rejects.toMatchObject(refusal("seats"));
  const { results } = await node.call("leads.bulkCreate", { items: [{ lastName: "Rao", ...wrong }] }, meta);
  expect(results[0]).toMatchObject({ status: 422 });
  expect(await leadsOf(meta)).toHaveLength(1);
});

describe("persons of a file", () => {
  const office =
    "Record ID,First Name,Email,Phone\n1,Asha,asha@example.com,022 2345 6789\n2,Ravi,ravi@example.com,022 2345 6789\n";

  test.each(["skip", "update"])(
    "with one office phone are two leads (%s), also matched by phone",
    async (onDuplicate) => {
      for (const matchBy of ["externalId,email", "phone", "externalId,email,phone"]) {
        const { meta, view } = await importFile(office, { onDuplicate, matchBy });
        expect(view).toMatchObject({ created: 2, failed: 0 });
        // the other batch, of the same file again
        expect((await importFile(office, { onDuplicate, matchBy }, meta)).view).toMatchObject({
          created: 0,
          failed: 0,
        });
        expect((await leadsOf(meta)).map(({ firstName }) => firstName).sort()).toEqual(["Asha", "Ravi"]);
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
    const { meta, id, view } = await importFile(file);
    expect(view).toMatchObject({ created: 6, failed: 0 });
    expect((await leadsOf(meta)).map(({ email, phone }) => [email?.[0], phone]).sort()).toEqual([
      ["a", null],
      ["b", null],
      ["c", "+919876543210"],
      ["d", "+912223456789;ext=12"],
      ["e", "+525512345678"],
      ["f", "+919876543211"],
    ]);
    expect(await reasonsOf(meta, id)).toEqual([
      '1 imported without phone: "022-23456789/90" may be more than one number; write one',
      expect.stringMatching(/^2 imported without phone: "\(415\) 555-2671" is no number as IN writes them/),
    ]);
    const american = await importFile("Email,Phone\nb@example.com,(415) 555-2671\n", { country: "us" });
    expect((await leadsOf(american.meta))[0]?.phone).toBe("+14155552671");
    await expect(importFile("Email\n", { country: "XX" })).rejects.toMatchObject({ code: 422 });
  });

  test("in Brazil match with and without the ninth digit, each phone as it was given", async () => {
    const { meta } = await importFile("Name,Phone\nAna,+5511987654321\n");
    const { view } = await importFile(
      "Name,Phone\nAna,+55 11 8765-4321\nBia,+55 11 8765-4322\n",
      { matchBy: "phone" },
      meta,
    );
    expect(view).toMatchObject({ created: 1, skipped: 1 });
    expect((await leadsOf(meta)).map(({ phone }) => phone).sort()).toEqual([
      "+551187654322",
      "+5511987654321",
    ]);
  });

  test("whose ids a spreadsheet has damaged are refused", async () => {
    const rows = Array.from({ length: 10 }, (_, index) => `5.1E+10,p${index}@example.com`);
    const { meta, id, view } = await importFile(`Record ID,Email\n${rows.join("\n")}\n7,ok@example.com\n`);
    expect(view).toMatchObject({ created: 1, failed: 10 });
    expect((await reasonsOf(meta, id))[0]).toMatch(
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
      const both = await Promise.all([importFile(file, {}, meta), importFile(file, {}, meta)]);
      const sum = (field: "created" | "skipped" | "failed") =>
        both.reduce((all, { view }) => all + view[field], 0);
      expect([sum("created"), sum("skipped"), sum("failed")]).toEqual([2000, 2000, 0]);
      expect(await rowsOf(meta, "leads")).toHaveLength(2000);
    },
    60_000,
  );
});

describe("the report of an import", () => {
  test("lists skipped rows with the rejected, and imports as it is once mended", async () => {
    const { meta } = await importFile("Email,Name\nold@example.com,Old\n");
    const file = 'Email,Name,City\nold@example.com,Old,x\nbad,"\'=Rao",Pune\n';
    const { id, view } = await importFile(file, {}, meta);
    expect(view).toMatchObject({ created: 0, skipped: 1, failed: 1 });
    const report = await rejectedRows(node, meta, id);
    expect(parse(report)).toEqual([
      ["row", "reason", "Email", "Name", "City"],
      [
        "1",
        expect.stringMatching(/^skipped: the lead [\w-]{36} has this email$/),
        "old@example.com",
        "Old",
        "x",
      ],
      ["2", expect.stringMatching(/^email: /), "bad", "'=Rao", "Pune"],
    ]);
    const again = await importFile(report.replace("bad,", "mended@example.com,"), {}, meta);
    expect(again.view).toMatchObject({ created: 1, skipped: 1, failed: 0 });
    expect(await leadsOf(meta)).toContainEqual(
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
    const { meta, view } = await importFile(file, { mapping, dryRun: true });
    const { suggestedValues } = view.options;
    expect(suggestedValues).toEqual({
      "Lead Status": { "Open - Not Contacted": "new" },
      "Email consent": { "opted out": false, "opted in": true },
    });
    const done = await importFile(file, { mapping, values: JSON.stringify(suggestedValues) }, meta);
    expect(done.view).toMatchObject({ created: 2, failed: 0, options: { values: suggestedValues } });
    expect(
      (await leadsOf(meta)).map(({ firstName, status, consent }) => [firstName, status, consent]).sort(),
    ).toEqual([
      ["Asha", "qualified", { email: true }],
      ["Select", "new", { email: false }],
    ]);
    expect(await fieldsOf(meta)).toEqual({});
  });

  test("without one go to a custom field, and are told", async () => {
    const { meta, id, view } = await importFile(file, { mapping: { ...mapping, "Email consent": null } });
    expect(view).toMatchObject({ created: 2, failed: 0 });
    expect((await leadsOf(meta)).find(({ firstName }) => firstName === "Select")).toMatchObject({
      status: "new",
      customFields: { leadStatus: "Open - Not Contacted" },
    });
    expect(await reasonsOf(meta, id)).toEqual([
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
    const { id, view } = await importFile(owned, { mapping: { Owner: "assignedTo" } }, meta);
    expect(view).toMatchObject({ created: 3, failed: 0 });
    expect(
      (await leadsOf(meta))
        .map(({ email, assignedTo, customFields }) => [email, assignedTo, customFields])
        .sort(),
    ).toEqual([
      ["a@example.com", rep?.id, {}],
      ["b@example.com", rep?.id, {}],
      ["c@example.com", null, { owner: "Nobody Else" }],
    ]);
    expect(await reasonsOf(meta, id)).toEqual([
      expect.stringMatching(/^3 imported without assignedTo: "Nobody Else" means nothing here and is kept/),
    ]);
  });

  test("of a column that the file does not have are refused", async () => {
    await expect(importFile(file, { values: { Nope: { a: "b" } } })).rejects.toMatchObject({
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
  const first = (await leadsOf(from))[0];
  await node.call("leads.convert", { id: first?.id ?? "" }, from);

  const stream = await node.broker.call<AsyncIterable<Buffer>, object>(
    "leads.export",
    { format: "csv" },
    { meta: { ...from } },
  );
  let file = "";
  for await (const piece of stream) file += String(piece);
  const { meta, view, id } = await importFile(file);
  expect({ view: counts(view), told: await reasonsOf(meta, id) }).toEqual({
    view: { created: 150, updated: 0, skipped: 0, failed: 0, processed: 150, total: 150 },
    told: [],
  });
  const same = async (whose: Meta) =>
    (await leadsOf(whose))
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
