import { beforeAll, describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { countsOf, Importing } from "../support/importing.ts";
import { buildMeta } from "../support/imports.ts";
import { shareNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let on: Importing;
beforeAll(async () => {
  node = await shareNode();
  on = new Importing(node);
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
    const { meta, view } = await on.importFile(file, params);
    expect(countsOf(view)).toEqual({
      ...{ created: 2, updated: 0, skipped: 0, failed: 0 },
      processed: 2,
      total: 2,
    });
    expect((await on.leadsOf(meta)).map(({ email }) => email).sort()).toEqual([
      "a@example.com",
      "b@example.com",
    ]);
  });

  test("in Windows-1252 whose first umlaut stands in its last row is read", async () => {
    const rows = Array.from({ length: 12_000 }, (_, index) => `r${index}@example.com,plain ascii name`);
    const file = Buffer.from(`Email,Name\n${rows.join("\n")}\nlast@example.com,M\xfcller \x80\n`, "latin1");
    expect(file.length).toBeGreaterThan(256 * 1024);
    const { meta, view } = await on.importFile(file);
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
    const { meta, id, view } = await on.importFile(file);
    expect(countsOf(view)).toMatchObject({ created: 2, failed: 4, processed: 6, total: 6 });
    expect(await on.reasonsOf(meta, id)).toEqual([
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
          const { id, view } = await on.importFile(`${heading}\n${body}\n`, { delimiter }, meta);
          expect(view.status).toBe("completed");
          expect(view.processed).toBe(view.created + view.updated + view.skipped + view.failed);
          expect(view.total).toBe(view.processed);
          expect(view.total).toBeLessThanOrEqual(rows.length);
          const told = (await on.reasonsOf(meta, id)).filter(
            (reason) => !reason.includes("imported without"),
          );
          expect(told).toHaveLength(view.failed + view.skipped);
        },
      ),
      { numRuns: 12 },
    );
  }, 120_000);
});

describe("custom fields of a file", () => {
  test("have keys of their headings, so that two files never share one", async () => {
    const { meta } = await on.importFile("Email,नाम,शहर\na@example.com,प्रिया,पुणे\n");
    await on.importFile("Email,जन्मदिन,टिप्पणी\na@example.com,2001-02-03,x\n", { onDuplicate: "update" }, meta);
    const [lead] = await on.leadsOf(meta);
    expect(Object.values(lead?.customFields ?? {}).sort()).toEqual(["2001-02-03", "x", "पुणे", "प्रिया"].sort());
    const labels = (await on.rowsOf<{ label: string }>(meta, "custom_fields")).map(({ label }) => label);
    expect(labels.sort()).toEqual(["नाम", "शहर", "जन्मदिन", "टिप्पणी"].sort());
  });

  test("have one type, decided by all rows before the first is written", async () => {
    const row = (i: number) =>
      `t${i}@example.com,NO,1.10,9007199254740993,${i === 1700 ? "maybe" : i % 2 ? "yes" : "no"},${i}`;
    const rows = Array.from({ length: 1800 }, (_, index) => row(index)).join("\n");
    const { meta, view } = await on.importFile(`Email,Country,Version,Number,Opt in,Visits\n${rows}\n`);
    expect(view).toMatchObject({ created: 1800, failed: 0 });
    expect(await on.fieldsOf(meta)).toEqual({
      ...{ country: "text", version: "text", number: "text", optIn: "text", visits: "number" },
    });
    const leads = await on.rowsOf<{ custom_fields: Record<string, unknown> }>(meta, "leads");
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
      await node.call("custom-fields.create", { key, type }, meta);
    const file =
      "Email,Seats,Due\na@example.com,abc,tomorrow\nb@example.com,5,2026-02-28\nc@example.com,1.10,2026-02-30\n";
    const { id, view } = await on.importFile(file, {}, meta);
    expect(view).toMatchObject({ created: 3, failed: 0 });
    expect(await on.fieldsOf(meta)).toEqual({ due: "date", seats: "number" });
    expect((await on.leadsOf(meta)).map(({ email, customFields }) => [email, customFields]).sort()).toEqual([
      ["a@example.com", {}],
      ["b@example.com", { due: "2026-02-28", seats: 5 }],
      ["c@example.com", { seats: 1.1 }],
    ]);
    expect(await on.reasonsOf(meta, id)).toEqual([
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
    await node.call("custom-fields.create", { key, type }, meta);
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
  expect(await on.leadsOf(meta)).toHaveLength(1);
});
