import { existsSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { xlsxStream } from "../../mixins/files/xlsx-writer.ts";
import { isUnsafeEntryName, safeFileName } from "../../mixins/upload/file-name.ts";
import { receiveUpload, type UploadPolicy } from "../../mixins/upload/upload-guard.ts";
import { eventually } from "../support/eventually.ts";
import { buildZip, type ZipEntry } from "../support/zip.ts";

const xlsx = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
const everything: UploadPolicy = {
  types: ["text/plain", "text/csv", "text/markdown", "application/json", "application/pdf", "image/png", "image/gif", "image/jpeg", "image/svg+xml", "application/zip", "application/gzip", xlsx], // prettier-ignore
  maxBytes: 4 * 1024 * 1024,
};
const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64"); // prettier-ignore
const gif = Buffer.from("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7", "base64");
const pdf = Buffer.from("%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n");

const receive = (bytes: string | Buffer, name = "", type?: string, policy: Partial<UploadPolicy> = {}) =>
  receiveUpload(Readable.from([Buffer.from(bytes)]), { name, ...(type !== undefined && { type }) }, { ...everything, ...policy }); // prettier-ignore
const outcome = async (...args: Parameters<typeof receive>): Promise<string> => {
  try {
    await using file = await receive(...args);
    return file.type;
  } catch (error) {
    return (error as { type: string }).type;
  }
};
const leftovers = () => readdirSync(tmpdir()).filter((name) => name.startsWith("sangam-upload-"));
/** Other test files take uploads in the same folder: what came meanwhile goes again. */
const leavesNothing = (before: readonly string[]) =>
  eventually(() => leftovers().every((name) => before.includes(name)));

describe("a file name", () => {
  test.each([
    ["report.pdf", "report.pdf"],
    ["Übersicht नमस्ते.pdf", "Übersicht नमस्ते.pdf"],
    ["../../etc/passwd", "passwd"],
    ["..\\..\\windows\\system32\\x.dll", "x.dll"],
    ["/etc/passwd", "passwd"],
    ["C:\\Users\\ana\\list.csv", "list.csv"],
    ["C:list.csv", "list.csv"],
    ["\\\\server\\share\\list.csv", "list.csv"],
    ["a/", "file"],
    ["..", "file"],
    [".", "file"],
    ["", "file"],
    ["   ", "file"],
    [".htaccess", "htaccess"],
    ["name.csv. . .", "name.csv"],
    ["list.csv\0.exe", "list.csv.exe"],
    ["a\r\nSet-Cookie: x", "aSet-Cookie_ x"],
    ["invoice\u202Efdp.exe", "invoicefdp.exe"],
    ["a\u200Bb\u2066c\ufeff.txt", "abc.txt"],
    ["x\u2028y.txt", "xy.txt"],
    ['a<b>:"|?*.txt', "a_b______.txt"],
    ["list.csv:stream", "list.csv_stream"],
    ["CON", "_CON"],
    ["nul.txt", "_nul.txt"],
    ["com1.tar.gz", "_com1.tar.gz"],
    ["LPT¹", "_LPT¹"],
    ["console.txt", "console.txt"],
    ["e\u0301.txt", "é.txt"],
  ])("%j is kept as %j", (given, kept) => {
    expect(safeFileName(given)).toBe(kept);
  });

  test("that is too long keeps its extension and whole characters", () => {
    const name = safeFileName(`${"न".repeat(300)}.csv`);
    expect(Buffer.byteLength(name)).toBeLessThanOrEqual(200);
    expect(name).toMatch(/^न+\.csv$/);
    expect(safeFileName(`a.${"b".repeat(300)}`)).toHaveLength(200);
  });

  test("is safe whatever is given, and stays as it is when it is given again", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 400 }), (given) => {
        const name = safeFileName(given);
        const isPlain = !/[/\\<>:"|?*\p{Cc}\p{Cf}]|^\.|[. ]$/u.test(name) && !isUnsafeEntryName(name);
        return isPlain && Buffer.byteLength(name) <= 200 && safeFileName(name) === name;
      }),
      { numRuns: 1_000 },
    );
  });
});

test("a file that is accepted has its size, hash, type and bytes, and goes when it is disposed of", async () => {
  const before = leftovers();
  const file = await receive(png, "../photo.PNG", "image/png");
  expect(file).toMatchObject({ name: "photo.PNG", type: "image/png", bytes: png.length });
  expect(file.sha256).toMatch(/^[0-9a-f]{64}$/);
  expect(await buffer(file.read())).toEqual(png);
  await file[Symbol.asyncDispose]();
  expect(existsSync(file.path)).toBe(false);
  await leavesNothing(before);
});

describe("its type", () => {
  const zip = buildZip([{ name: "a.txt", data: "a" }]);
  test.each<[string, string | Buffer, string, string | undefined, string]>([
    ["is by its bytes when nothing is claimed", png, "", undefined, "image/png"],
    ["may be claimed by another name", png, "a.png", "image/x-png; q=1", "image/png"],
    ["is not claimed by octet-stream", pdf, "a.pdf", "application/octet-stream", "application/pdf"],
    ["of text is by its name", "a,b\n1,2\n", "a.csv", "text/csv", "text/csv"],
    ["of text may be what Windows calls it", "a,b\n", "a.csv", "application/vnd.ms-excel", "text/csv"],
    ["of text without a name is plain", "नमस्ते", "", undefined, "text/plain"],
    ["of text is not by its first letters", "BM is what it begins with", "a.txt", "text/plain", "text/plain"],
    ["of JSON is by its name", "{}", "a.json", undefined, "application/json"],
    ["is refused when its name says otherwise", png, "a.pdf", undefined, "FILE_TYPE_MISMATCH"],
    ["is refused when its declaration says otherwise", png, "a.png", "application/pdf", "FILE_TYPE_MISMATCH"],
    ["is refused when a program's name is given to it", pdf, "a.pdf.exe", undefined, "FILE_TYPE_MISMATCH"],
    ["is refused when text is declared and an image comes", png, "a.txt", "text/plain", "FILE_TYPE_MISMATCH"],
    ["is refused when an archive is called an image", zip, "a.png", "image/png", "FILE_TYPE_MISMATCH"],
    [
      "is refused when it is a program",
      "\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0",
      "a.txt",
      undefined,
      "UNSUPPORTED_FILE",
    ],
    [
      "is refused when it is a program of Windows",
      "MZ\x90\0\x03\0\0\0",
      "a.png",
      "image/png",
      "UNSUPPORTED_FILE",
    ],
    [
      "is refused when it is a web page called text",
      "<!DOCTYPE html><script>",
      "a.txt",
      "text/plain",
      "UNSUPPORTED_FILE",
    ],
    [
      "is refused when it is a web page behind a comment",
      "\ufeff <!-- x --> <script>1</script>",
      "a.txt",
      "text/plain",
      "UNSUPPORTED_FILE",
    ],
    ["is refused when nobody knows it", "\x01\x02\x03\xff\xfe", "", undefined, "UNSUPPORTED_FILE"],
    [
      "is refused when text ends within a character",
      Buffer.from("é").subarray(0, 1),
      "a.txt",
      undefined,
      "UNSUPPORTED_FILE",
    ],
    ["is nothing when there are no bytes", "", "a.txt", "text/plain", "FILE_EMPTY"],
  ])("%s", async (_what, bytes, name, declared, expected) => {
    const binary = typeof bytes === "string" && /[\x7f-\xff]/.test(bytes) && !/[^\0-\xff]/.test(bytes);
    expect(await outcome(binary ? Buffer.from(bytes, "latin1") : bytes, name, declared)).toBe(expected);
  });

  test("is refused when it is not on the list", async () => {
    expect(await outcome(png, "a.png", "image/png", { types: ["application/pdf"] })).toBe("UNSUPPORTED_FILE");
    const svg = '<svg xmlns="http://www.w3.org/2000/svg"/>';
    expect(await outcome(svg, "a.svg", "image/svg+xml", { types: ["image/png"] })).toBe("UNSUPPORTED_FILE");
    expect(await outcome(svg, "a.txt", "text/plain", { types: ["text/plain"] })).toBe("UNSUPPORTED_FILE");
  });
});

describe("a stream", () => {
  test("is cut off at the limit, whatever it goes on to send, and leaves nothing", async () => {
    const before = leftovers();
    let sent = 0;
    const endless = Readable.from(
      (function* () {
        for (;;) {
          sent += 65_536;
          yield Buffer.alloc(65_536, "a");
        }
      })(),
    );
    await expect(receiveUpload(endless, { name: "a.txt" }, everything)).rejects.toMatchObject({
      code: 413,
      type: "FILE_TOO_LARGE",
    });
    expect(sent).toBeLessThan(everything.maxBytes + 10 * 65_536);
    expect(endless.destroyed).toBe(true);
    await leavesNothing(before);
    const limit = everything.maxBytes;
    expect(await outcome(Buffer.alloc(limit, "a"), "a.txt")).toBe("text/plain");
    expect(await outcome(Buffer.alloc(limit + 1, "a"), "a.txt")).toBe("FILE_TOO_LARGE");
  });

  test("that breaks off, and what is no stream, is a 400", async () => {
    const before = leftovers();
    const breaking = Readable.from(
      (function* () {
        yield Buffer.from("a");
        throw new Error("connection reset");
      })(),
    );
    await expect(receiveUpload(breaking, { name: "a" }, everything)).rejects.toMatchObject({
      code: 400,
      type: "UPLOAD_BROKE_OFF",
    });
    await expect(receiveUpload("text", { name: "a" }, everything)).rejects.toMatchObject({
      type: "FILE_REQUIRED",
    });
    await leavesNothing(before);
  });
});

describe("an archive", () => {
  const good: ZipEntry[] = [{ name: "docs/" , method: 0 }, { name: "docs/a.txt", data: "text ".repeat(50) }, { name: "b.bin", data: "x", method: 0 }]; // prettier-ignore
  const check = (entries: ZipEntry[], options?: { count?: number }) =>
    outcome(buildZip(entries, options), "a.zip", "application/zip");

  test("that is plain is accepted, and so is a real workbook", async () => {
    expect(await check(good)).toBe("application/zip");
    const rows = async function* () {
      yield await Promise.resolve(Array.from({ length: 2_000 }, (_, row) => [row, "value", "value"]));
    };
    const bytes = await buffer(xlsxStream({ name: "s", columns: ["a", "b", "c"], rows: rows() }));
    expect(await outcome(bytes, "a.xlsx", xlsx)).toBe(xlsx);
    expect(await outcome(bytes, "a.xlsx", xlsx, { archives: { maxUnpackedBytes: 1_000 } })).toBe(
      "ARCHIVE_UNSAFE",
    );
  });

  test.each<[string, ZipEntry[]]>([
    ["a bomb", [{ name: "a", data: Buffer.alloc(8 * 1024 * 1024) }]],
    ["a bomb that hides its size", [{ name: "a", data: Buffer.alloc(8 * 1024 * 1024), unpacked: 100 }]],
    ["entries that share their bytes", [{ name: "a", data: "x".repeat(100) }, { name: "b", data: "x".repeat(100), localName: "a", sameAs: 0 }]], // prettier-ignore
    ["too many entries", Array.from({ length: 2_001 }, (_, index) => ({ name: `${index}` }))],
    ["a size that is not true", [{ name: "a", data: "text", unpacked: 5 }]],
    ["a stored size that is not true", [{ name: "a", data: "text", method: 0, unpacked: 500 }]],
    ["an encrypted entry", [{ name: "a", data: "x", flags: 1 }]],
    ["an unusual compression", [{ name: "a", data: "x", method: 12 }]],
    ["two names for an entry", [{ name: "a.txt", data: "x", localName: "a.exe" }]],
    ["the same name twice", [{ name: "a.txt" }, { name: "A.txt" }]],
    ["a link", [{ name: "a", data: "/etc/passwd", mode: 0o120777 }]],
    ...[
      "../a",
      "a/../../b",
      "/etc/cron.d/x",
      "C:\\x",
      "c:x",
      "a\\..\\b",
      "..",
      "a\0.txt",
      "a\u202Etxt.exe",
      "nul",
      "x/con.txt",
      "",
    ].map(
      // prettier-ignore
      (name): [string, ZipEntry[]] => [`the entry ${JSON.stringify(name)}`, [{ name, data: "x" }]],
    ),
  ])("with %s is refused", async (_what, entries) => {
    expect(await check(entries)).toBe("ARCHIVE_UNSAFE");
  });

  test("with anything before, behind or missing from it is refused", async () => {
    const bytes = buildZip(good);
    for (const other of [
      Buffer.concat([bytes, Buffer.from("more")]),
      Buffer.concat([bytes, bytes]),
      bytes.subarray(0, -1),
      bytes.subarray(0, 60),
      buildZip(good, { count: 2 }),
      buildZip(good, { count: 4 }),
    ])
      expect(await outcome(other, "a.zip")).toBe("ARCHIVE_UNSAFE");
  });

  test("that is broken anywhere is refused or unpacks to what it says, and never anything else", async () => {
    const bytes = buildZip(good);
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, mask) => {
        const broken = Buffer.from(bytes);
        broken[at] = (broken[at] as number) ^ mask;
        expect(["application/zip", "ARCHIVE_UNSAFE", "UNSUPPORTED_FILE", "FILE_TYPE_MISMATCH"]).toContain(
          await outcome(broken, "a.zip"),
        );
      }),
      { numRuns: 200 },
    );
  });

  test("of gzip is bounded too", async () => {
    expect(await outcome(gzipSync("text"), "a.gz", "application/x-gzip")).toBe("application/gzip");
    expect(await outcome(gzipSync(Buffer.alloc(64 * 1024 * 1024)), "a.gz")).toBe("ARCHIVE_UNSAFE");
    const several = Buffer.concat(Array.from({ length: 20 }, () => gzipSync(Buffer.alloc(1024 * 1024))));
    expect(await outcome(several, "a.gz")).toBe("ARCHIVE_UNSAFE");
    expect(await outcome(gzipSync("text").subarray(0, -4), "a.gz")).toBe("ARCHIVE_UNSAFE");
  });
});

describe("a file that is two things", () => {
  test.each<[string, Buffer, string]>([
    ["an image and a script", Buffer.concat([gif, Buffer.from("<script>alert(1)</script>")]), "a.gif"],
    ["an image and a web page, far behind", Buffer.concat([gif, Buffer.alloc(600_000), Buffer.from("<!DOCTYPE html>")]), "a.gif"], // prettier-ignore
    ["an image and a script across the end of a chunk", Buffer.concat([gif, Buffer.alloc(256 * 1024 - gif.length - 3), Buffer.from("<sCRipt src=x>")]), "a.gif"], // prettier-ignore
    ["an image and PHP", Buffer.concat([png, Buffer.from("<?php system($_GET[0]);")]), "a.png"],
    ["an image and an archive", Buffer.concat([png, buildZip([{ name: "a", data: "x" }])]), "a.png"],
    ["a document and a web page", Buffer.concat([pdf, Buffer.from("<html ><body>")]), "a.pdf"],
  ])("is refused: %s", async (_what, bytes, name) => {
    expect(await outcome(bytes, name)).toBe("FILE_UNSAFE");
  });

  test("is not what an image with ordinary metadata is", async () => {
    const xmp = '<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF/></x:xmpmeta>';
    expect(await outcome(Buffer.concat([png, Buffer.from(xmp)]), "a.png")).toBe("image/png");
  });
});

describe("an SVG image", () => {
  const svg = (inner: string, head = "") => `${head}<svg xmlns="http://www.w3.org/2000/svg">${inner}</svg>`;
  test.each([
    svg('<path d="M0 0L1 1" fill="url(#g)"/><use href="#a"/>'),
    svg("<title>one = two</title>", '<?xml version="1.0" encoding="UTF-8"?>\n<!-- drawn -->\n'),
  ])("that only draws is accepted", async (text) => {
    expect(await outcome(text, "a.svg", "image/svg+xml")).toBe("image/svg+xml");
  });

  test.each([
    svg("<script>alert(1)</script>"),
    svg("<SCRIPT/>"),
    svg('<x:script xmlns:x="http://www.w3.org/2000/svg"/>'),
    svg("<g onload=alert(1)></g>"),
    svg('<g\nonClick = "x"/>'),
    svg('<g fill="red"onload="x"/>'),
    svg('<a href="javascript:alert(1)"><text>x</text></a>'),
    svg('<a href="&#106;avascript:alert(1)"/>'),
    svg('<a href="&#x6A;ava&#x09;script&colon;alert(1)"/>'),
    svg('<a href="java\nscript:alert(1)"/>'),
    svg("<foreignObject><body/></foreignObject>"),
    svg('<iframe src="x"/>'),
    svg('<image href="https://evil.example/x.png"/>'),
    svg('<image xlink:href="//evil.example/x.png"/>'),
    svg("<style>@import 'x.css';</style>"),
    svg('<rect fill="url(http://evil.example/#a)"/>'),
    svg('<use href="data:image/svg+xml;base64,PHN2Zz4="/>'),
    svg('<animate attributeName="href" to="x"/>'),
    svg("&x;", '<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
    svg("", '<?xml-stylesheet href="x.css"?>'),
    svg("", '<?xml version="1.0" encoding="UTF-7"?>'),
  ])("that does more is refused: %s", async (text) => {
    expect(await outcome(text, "a.svg", "image/svg+xml")).toBe("FILE_UNSAFE");
  });
});
