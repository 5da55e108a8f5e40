import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { buildMeta, upload } from "../support/imports.ts";
import { inspect } from "../support/database.ts";
import { startTestNode, type TestNode } from "../support/node.ts";

let node: TestNode;
beforeAll(async () => {
  // nobody works: what is uploaded stays as it is
  node = await startTestNode({ SERVICES: "imports,leads" });
});
afterAll(() => node.stop());

const meta = buildMeta();
/** Rows of a table in all databases of the node. */
const count = async (table: string): Promise<number> => {
  const counts = await Promise.all(
    node.databases.map((url) => inspect<{ n: number }>(url, `SELECT count(*)::int AS n FROM ${table}`)),
  );
  return counts.reduce((sum, [row]) => sum + (row?.n ?? 0), 0);
};
const stored = async () => ({ imports: await count("imports"), chunks: await count("import_chunks") });
const refusal = (file: string | Buffer | Readable, params = {}) =>
  upload(node, meta, file, params).then(
    () => ({ type: "ACCEPTED", code: 202, message: "" }),
    (error: { type: string; code: number; message: string }) => error,
  );
const megabyte = Buffer.alloc(1024 * 1024, "Email,Name\n");
async function* repeated(bytes: Buffer, times: number): AsyncGenerator<Buffer> {
  for (let turn = 0; turn < times; turn++) yield await Promise.resolve(bytes);
}

describe("a file that cannot be imported", () => {
  test.each([
    [
      "a ZIP archive renamed to .csv",
      Buffer.from("PK\x03\x04\x14\0\0\0\x08\0", "latin1"),
      415,
      "UNSUPPORTED_FILE",
      /a ZIP archive, not CSV/,
    ],
    [
      "an Excel workbook",
      Buffer.from("PK\x03\x04[Content_Types].xml", "latin1"),
      415,
      "UNSUPPORTED_FILE",
      /Excel workbook/,
    ],
    ["a PDF", "%PDF-1.7\n", 415, "UNSUPPORTED_FILE", /PDF/],
    [
      "a NUL byte in the second chunk",
      `Email\n${"a@b.c\n".repeat(50_000)}\0`,
      415,
      "UNSUPPORTED_FILE",
      /NUL byte at position 300006/,
    ],
    ["an empty file", "", 422, "FILE_EMPTY", /empty/],
    ["an unknown separator", "Email^Name\na^b\n", 422, "DELIMITER_UNKNOWN", /comma, semicolon, tab/],
    ["a row in place of its heading", "Asha,asha@b.c\n", 422, "HEADING_MISSING", /^((?!asha).)*$/],
    ["an unclosed quote in the heading", 'Email,"Name\na,b\n', 422, "HEADING_UNREADABLE", /never closed/],
  ])("is refused with a sentence and leaves nothing: %s", async (_what, file, code, type, message) => {
    const before = await stored();
    const error = await refusal(file);
    expect([error.code, error.type]).toEqual([code, type]);
    expect(error.message).toMatch(message);
    expect(await stored()).toEqual(before);
  });

  test("for more than 200 MB is refused, and what was stored of it is deleted", async () => {
    const before = await stored();
    expect(await refusal(Readable.from(repeated(megabyte, 201)))).toMatchObject({
      code: 413,
      type: "FILE_TOO_LARGE",
    });
    expect(await stored()).toEqual(before);
  }, 120_000);

  test("because the upload broke off leaves nothing, and the node stays up", async () => {
    const before = await stored();
    const breaking = Readable.from(
      (async function* () {
        yield* repeated(megabyte, 2);
        throw new Error("connection reset");
      })(),
    );
    expect(await refusal(breaking)).toMatchObject({ code: 400, type: "UPLOAD_BROKE_OFF" });
    expect(await stored()).toEqual(before);
    expect(await refusal("Email\na@b.c\n")).toMatchObject({ type: "ACCEPTED" });
  });

  test("because none was sent is a 400", async () => {
    await expect(node.call("imports.create", {}, meta)).rejects.toMatchObject({
      code: 400,
      type: "FILE_REQUIRED",
    });
  });
});

describe("a mapping", () => {
  test("to an unknown field is refused before the file is read", async () => {
    expect(await refusal("Email\na@b.c\n", { mapping: { Email: "mail" } })).toMatchObject({
      code: 422,
      data: { errors: [{ path: "mapping.Email", code: "unknown_field" }] },
    });
  });

  test("of a column that the file does not have is refused, naming the columns it has", async () => {
    const error = await refusal("E-mail;Name\n", { mapping: '{"Email":"email"}' });
    expect(error).toMatchObject({ code: 422, type: "MAPPING_UNKNOWN_COLUMN" });
    expect(error.message).toContain('"E-mail", "Name"');
  });

  test("that is not JSON is refused", async () => {
    expect(await refusal("Email\n", { mapping: "{" })).toMatchObject({
      code: 422,
      type: "VALIDATION_FAILED",
    });
  });
});

describe("an accepted file", () => {
  test("is pending, with every column's target, and stored byte for byte", async () => {
    const text = `\ufeffEmail;Página;Nota\r\n${"a@b.c;3;ñ\r\n".repeat(70_000)}`;
    const bytes = Buffer.from(text);
    const cut = async function* () {
      for (let at = 0; at < bytes.length; at += 99_991)
        yield await Promise.resolve(bytes.subarray(at, at + 99_991));
    };
    const { id, status } = await upload(node, meta, Readable.from(cut()), {
      fileName: "leads.csv",
      mapping: JSON.stringify({ Nota: null }),
      dryRun: "true",
    });
    expect(status).toBe("pending");
    const view = await node.call("imports.get", { id }, meta);
    expect(view).toMatchObject({
      fileName: "leads.csv",
      isDryRun: true,
      onDuplicate: "skip",
      mapping: { Email: "email", Página: "customFields.pagina", Nota: null },
      processed: 0,
      total: null,
    });
    expect(Object.keys(view.mapping)).toEqual(["Email", "Página", "Nota"]);
    const chunks = await Promise.all(
      node.databases.map((url) =>
        inspect<{ bytes: Buffer }>(
          url,
          "SELECT bytes FROM import_chunks WHERE import_id = $1 ORDER BY position",
          [id],
        ),
      ),
    );
    const sizes = chunks.flat().map((chunk) => chunk.bytes.length);
    expect(Math.max(...sizes)).toBe(256 * 1024);
    expect(Buffer.concat(chunks.flat().map((chunk) => chunk.bytes)).equals(bytes)).toBe(true);
  });

  test("waits for a service of its kind that is away, and is not failed for it", async () => {
    const { id } = await upload(node, meta, "Email\nwait@b.c\n");
    // as a node with contacts has taken it
    for (const url of node.databases)
      await inspect(url, "UPDATE imports SET kind = 'contact' WHERE id = $1", [id]);
    const asSystem = { meta: { organizationId: meta.organizationId, role: "system" } };
    await expect(node.broker.call("imports.runOfKind", { importId: id }, asSystem)).rejects.toMatchObject({
      type: "SERVICE_UNAVAILABLE",
    });
    const view = await node.call("imports.get", { id }, meta);
    expect(view).toMatchObject({ status: "running", failure: null, processed: 0 });
  });

  test("under a repeated Idempotency-Key is the first one, and the second upload leaves nothing", async () => {
    const keyed = { ...meta, idempotency: { key: "once", fingerprint: "f" } };
    const first = await upload(node, keyed, "Email\nkey@b.c\n");
    const before = await stored();
    expect(await upload(node, keyed, "Email\nkey@b.c\n")).toEqual(first);
    expect(await stored()).toEqual(before);
    await expect(
      upload(node, { ...keyed, idempotency: { key: "once", fingerprint: "other" } }, "Email\n"),
    ).rejects.toMatchObject({ type: "IDEMPOTENCY_KEY_REUSED" });
    expect(await stored()).toEqual(before);
  });

  test("belongs to its organization: for another there is no such import", async () => {
    const { id } = await upload(node, meta, "Email\nmine@b.c\n");
    const stranger = buildMeta();
    const notFound = { code: 404, type: "IMPORT_NOT_FOUND" };
    await expect(node.call("imports.get", { id }, stranger)).rejects.toMatchObject(notFound);
    await expect(node.call("imports.errors", { id }, stranger)).rejects.toMatchObject(notFound);
    await expect(node.call("imports.rollback", { id }, stranger)).rejects.toMatchObject(notFound);
    await expect(node.call("imports.rollback", { id }, meta)).rejects.toMatchObject({
      type: "IMPORT_NOT_FINISHED",
    });
  });

  test.each(["sales_rep", "viewer"])("needs more than the role %s", async (role) => {
    await expect(upload(node, { ...meta, role }, "Email\n")).rejects.toMatchObject({ code: 403 });
  });
});

test("an upload that died is deleted after an hour, not before", async () => {
  const ages = { young: "59 minutes", old: "61 minutes" };
  const [url = ""] = node.databases;
  for (const [name, age] of Object.entries(ages))
    await inspect(
      url,
      `WITH i AS (INSERT INTO imports (id, organization_id, created_at, updated_at, file_name, mapping, on_duplicate, status)
         VALUES (gen_random_uuid(), gen_random_uuid(), now() - $1::interval, now(), $2, '[]', 'skip', 'uploading')
         RETURNING *)
       INSERT INTO import_chunks (organization_id, import_id, position, bytes)
       SELECT organization_id, id, 0, 'x' FROM i`,
      [age, name],
    );
  await node.broker.call(
    "imports.forgetDeadUploads",
    { scheduledFor: new Date().toISOString() },
    { meta: { role: "system" } },
  );
  expect(await inspect(url, "SELECT file_name FROM imports WHERE status = 'uploading'")).toEqual([
    { file_name: "young" },
  ]);
  const chunks = await inspect(
    url,
    "SELECT 1 FROM import_chunks JOIN imports ON id = import_id WHERE status = 'uploading'",
  );
  expect(chunks).toHaveLength(1);
  expect(await inspect(url, "SELECT 1 FROM import_chunks WHERE bytes = 'x'")).toHaveLength(1);
});
