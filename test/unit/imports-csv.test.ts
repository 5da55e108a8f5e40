import { describe, expect, test } from "@jest/globals";
import { stringify } from "csv-stringify/sync";
import fc from "fast-check";
import { foreignKind } from "../../mixins/upload/foreign-kind.ts";
import { countLines, firstInvalidByte, unfinishedTail } from "../../mixins/upload/text.ts";
import { armedCell, inertCell } from "../../mixins/values/cells.ts";
import { brokenCharacter, decoded, encodingOf, type Encoding } from "../../services/imports/file/encoding.ts";
import { detectFormat } from "../../services/imports/file/format.ts";
import { readRecords, type FileRecord } from "../../services/imports/file/records.ts";
import { kinds } from "../../entities/kinds.ts";
import type { AnyKind } from "../../mixins/records/kind/kind.ts";
import { isKnownColumn as isKnownOf, targetsOf } from "../../services/imports/targets.ts";

const isKnownColumn = isKnownOf(targetsOf(kinds.get("lead") as AnyKind));

const format = (text: string, columns: string[] = []) =>
  detectFormat(Buffer.from(text), true, { columns, isKnown: isKnownColumn });
const refusal = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return `${(error as { type: string }).type}: ${(error as Error).message}`;
  }
  return "accepted";
};

async function* pieces(text: string, size: number): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}
async function read(text: string, { size = 7, delimiter = "," } = {}): Promise<FileRecord[]> {
  const records: FileRecord[][] = [];
  for await (const some of readRecords(decoded(pieces(text, size), "utf-8"), delimiter)) records.push(some);
  return records.flat();
}
const cells = async (text: string, options = {}) => (await read(text, options)).map((record) => record.cells);

describe("the kind of a file", () => {
  test.each([
    ["504b0304140000000800", "a ZIP archive"],
    [
      Buffer.from("PK\x03\x04____[Content_Types].xml").toString("hex"),
      "an Excel workbook (XLSX, a ZIP archive)",
    ],
    ["d0cf11e0a1b11ae1", "an old Excel workbook (XLS)"],
    ["1f8b0800", "a gzip archive"],
    [Buffer.from("%PDF-1.7").toString("hex"), "a PDF document"],
    ["fffe4500", "UTF-16 text"],
    ["89504e470d0a1a0a", "a PNG image"],
    [Buffer.from("\ufeff<!DOCTYPE html>").toString("hex"), "a web page or XML document"],
    [Buffer.from('{"leads": []}').toString("hex"), "JSON"],
  ])("is told by its first bytes %s", (hex, kind) => {
    expect(foreignKind(Buffer.from(hex, "hex"))).toBe(kind);
  });

  test("is left open for text, also with letters that begin a ZIP", () => {
    expect(foreignKind(Buffer.from("PK,Name\n1,x"))).toBeUndefined();
    expect(foreignKind(Buffer.from("\ufeffEmail,Name\n"))).toBeUndefined();
  });
});

describe("UTF-8", () => {
  test("the first byte that belongs to no character is found", () => {
    expect(firstInvalidByte(Buffer.from("नमस्ते, Zoë"))).toBe(-1);
    expect(firstInvalidByte(Buffer.concat([Buffer.from("Zoë,"), Buffer.from([0xe9, 0x2c])]))).toBe(5);
    expect(firstInvalidByte(Buffer.from([0x61, 0xc3]))).toBe(1);
    expect(firstInvalidByte(Buffer.from([0xff]))).toBe(0);
  });

  test("the unfinished character at the end of a piece is measured", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 1 }), fc.nat(), (text, cut) => {
        const bytes = Buffer.from(text);
        const piece = bytes.subarray(0, cut % (bytes.length + 1));
        const whole = piece.subarray(0, piece.length - unfinishedTail(piece));
        expect(firstInvalidByte(whole)).toBe(-1);
        expect(unfinishedTail(piece)).toBeLessThan(4);
      }),
    );
  });
});

describe("the encoding", () => {
  const text = "Email;नाम\na@b.c;प्रिया\n";
  const wide = Buffer.from(text, "utf16le");
  const latin = Buffer.from([...Buffer.from("Email,Name\na@b.c,Zo"), 0xeb, 0x20, 0x80, 0x0a]);
  test.each<[string, Buffer, Encoding | undefined]>([
    ["UTF-16LE with its mark", Buffer.from(`\ufeff${text}`, "utf16le"), "utf-16le"],
    ["UTF-16BE with its mark", Buffer.from(`\ufeff${text}`, "utf16le").swap16(), "utf-16be"],
    ["UTF-16LE without", wide, "utf-16le"],
    ["UTF-16BE without", Buffer.from(wide).swap16(), "utf-16be"],
    ["Windows-1252", latin, "windows-1252"],
    ["UTF-8", Buffer.from(text), "utf-8"],
    ["UTF-8 with some wrong bytes", Buffer.concat([Buffer.from(text), Buffer.from([0xff])]), "utf-8"],
    [
      "UTF-8 with one wrong byte and little else",
      Buffer.concat([Buffer.from("Email,Name\na@b.c,Zoë\nb@b.c,Zo"), Buffer.from([0xeb, 0x0a])]),
      "utf-8",
    ],
    [
      "UTF-8 with a line of wrong bytes",
      Buffer.concat([Buffer.from("Name\nZoë\nZo"), Buffer.from([0xeb, 0xe9, 0xe8, 0x0a])]),
      "utf-8",
    ],
    ["nothing but ASCII", Buffer.from("Email\na@b.c"), undefined],
    ["a single NUL", Buffer.from("Email\n\0"), undefined],
  ])("of %s is told", (_what, bytes, encoding) => {
    expect(encodingOf(bytes, true)).toBe(encoding);
  });

  test("is read however the file is cut", async () => {
    const readAs = async (bytes: Buffer, encoding: Encoding, size: number) => {
      let all = "";
      const cut = (async function* () {
        for (let at = 0; at < bytes.length; at += size)
          yield await Promise.resolve(bytes.subarray(at, at + size));
      })();
      for await (const piece of decoded(cut, encoding)) all += piece;
      return all;
    };
    for (const size of [1, 2, 3, 1000]) {
      expect(await readAs(Buffer.from(`\ufeff${text}`, "utf16le"), "utf-16le", size)).toBe(text);
      expect(await readAs(Buffer.from(wide).swap16(), "utf-16be", size)).toBe(text);
      expect(await readAs(Buffer.from(`\ufeff${text}`), "utf-8", size)).toBe(text);
      const half = Buffer.concat([Buffer.from(text, "utf16le"), Buffer.from("A")]);
      expect(await readAs(half, "utf-16le", size)).toBe(text + brokenCharacter);
      expect(await readAs(latin, "windows-1252", size)).toBe("Email,Name\na@b.c,Zoë €\n");
    }
  });
});

describe("the heading", () => {
  test.each([
    ["Email,Name\na@b.c,x", ",", ["Email", "Name"]],
    ["Email;Name\na@b.c;x", ";", ["Email", "Name"]],
    ["Email\tName\r\n", "\t", ["Email", "Name"]],
    ["Email|Name\r", "|", ["Email", "Name"]],
    ['\ufeff"Email","Last, First"\n', ",", ["Email", "Last, First"]],
    ["\n\r\n Email , ,Name", ",", ["Email", "column 2", "Name"]],
    ["Email", ",", ["Email"]],
    // a semicolon file with commas in a heading, judged by its rows
    ["Mail;Name, first, middle;Ort\na@b.c;x;Bonn\nb@b.c;y;Ulm", ";", ["Mail", "Name, first, middle", "Ort"]],
    ["sep=;\r\nA,B;C,D\r\n1;2", ";", ["A,B", "C,D"]],
    ["Note\nhello, world\n", ";", ["Note"]],
    // headings that stand twice
    ["Email,Name,Email,Email", ",", ["Email", "Name", "Email (2)", "Email (3)"]],
    ["row,reason,Email,row", ",", ["row (2)", "reason", "Email", "row"]],
    ['Size 5",Name\n1,x', ",", ['Size 5"', "Name"]],
  ])("of %j names the columns", (text, delimiter, columns) => {
    expect(format(text)).toEqual({ delimiter, columns, encoding: "utf-8" });
  });

  test("is read with the separator that gives the mapped columns, even if another gives more", () => {
    const text = "Name, first, middle, last;Email\n";
    expect(detectFormat(Buffer.from(text), true).delimiter).toBe(",");
    expect(format(text, ["Email"])).toMatchObject({
      delimiter: ";",
      columns: ["Name, first, middle, last", "Email"],
    });
  });

  test("is read with the separator and the encoding that are given", () => {
    const given = { delimiter: "^", encoding: "windows-1252" as const };
    expect(detectFormat(Buffer.from("Caf\xe9^B,C\n", "latin1"), true, given)).toEqual({
      ...given,
      columns: ["Café", "B,C"],
    });
  });

  test.each([
    ["Email^Name^Phone\na^b^c", /^DELIMITER_UNKNOWN: .*"Email\^Name\^Phone" is one column/],
    ["Email:Name", /^DELIMITER_UNKNOWN/],
    ['Email,"Name\na,b', /^HEADING_UNREADABLE: .*In line 1, a quote is opened and never closed/],
    ["\n\n", /^HEADING_UNREADABLE: The file has no heading/],
    ["\ufeff", /^HEADING_UNREADABLE/],
    [`Email,${"x".repeat(201)}`, /^COLUMN_NAME_TOO_LONG/],
    [Array.from({ length: 501 }, (_, i) => `c${i}`).join(","), /^TOO_MANY_COLUMNS: The file has 501/],
    ["Asha,asha@example.com\nRavi,ravi@example.com", /^HEADING_MISSING: ((?!asha).)*$/],
  ])("of case %# is refused in words", (text, message) => {
    expect(refusal(() => format(text))).toMatch(message);
  });

  test("must end within the first chunk", () => {
    expect(refusal(() => detectFormat(Buffer.alloc(1024, "x"), false))).toMatch(/^HEADING_TOO_LONG/);
  });
});

describe("records", () => {
  test("are the same however the file is cut, with LF, CRLF and CR mixed", async () => {
    const text = '\ufeffa,b\r\n1,"x\r\n""y"\n\n2,ü\r3,z';
    for (const size of [1, 2, 3, 5, 1000])
      expect(await cells(text, { size })).toEqual([
        ["a", "b"],
        ["1", 'x\r\n"y'],
        ["2", "ü"],
        ["3", "z"],
      ]);
  });

  test.each([
    ['5" pipe,x', ['5" pipe', "x"]],
    ['1, "a,b" ,2', ["1", "a,b", "2"]],
    ['"Acme" Ltd,x', ['"Acme" Ltd', "x"]],
    ['"He said "hi, there" to me",x', ['He said "hi, there" to me', "x"]],
    ['"a"b,"a"b,c', ['"a"b', '"a"b', "c"]],
    ['"","x"', ["", "x"]],
    ['"""x""",y', ['"x"', "y"]],
    ["1,2,", ["1", "2", ""]],
    [",,", ["", "", ""]],
    ["\t1,2", ["\t1", "2"]],
  ])("of the line %j are %j", async (line, expected) => {
    for (const size of [1, 1000])
      expect(await cells(`${line}\nnext,row\n`, { size })).toEqual([expected, ["next", "row"]]);
  });

  test("whose quote is never closed are that line alone, which is named, and the next is read", async () => {
    const text = 'a,b\r\n1,"x\r\ny"\r\n2,"z\r\n3,w\r\n4,v';
    for (const size of [1, 4, 1000])
      expect(await read(text, { size })).toEqual([
        { cells: ["a", "b"] },
        { cells: ["1", "x\r\ny"] },
        { cells: ["2", '"z'], flaw: "In line 4, a quote is opened and never closed." },
        { cells: ["3", "w"] },
        { cells: ["4", "v"] },
      ]);
  });

  test("that open a quote before one that opens another are that line alone", async () => {
    expect(await read('a,b\n1,"5 inch\n2,"ok"\n')).toEqual([
      { cells: ["a", "b"] },
      { cells: ["1", '"5 inch'], flaw: expect.stringContaining("In line 2") },
      { cells: ["2", "ok"] },
    ]);
  });

  test("keep a line break, and a quote that was not doubled behind it", async () => {
    expect(await cells('1,"one\nhe said "hi" ok",x\n2,y,z')).toEqual([
      ["1", 'one\nhe said "hi" ok', "x"],
      ["2", "y", "z"],
    ]);
  });

  test("may be 1 MB long; of a longer one its line alone is refused", async () => {
    const atLimit = "x".repeat(1024 * 1024 - 2);
    expect((await cells(`a,b\n1,${atLimit}\n`, { size: 65536 }))[1]?.[1]).toHaveLength(atLimit.length);
    const long = await read(`a,b\n1,${"y".repeat(1_200_000)}\r\n2,z\n`, { size: 65536 });
    expect(long.map(({ flaw }) => flaw)).toEqual([
      undefined,
      "In line 2, the record is larger than 1 MB.",
      undefined,
    ]);
    expect(long[2]?.cells).toEqual(["2", "z"]);
    const open = await read(`a,b\n1,2\n3,"${"y\n".repeat(600_000)}`, { size: 65536 });
    expect(open).toHaveLength(2 + 1 + 599_999);
    expect(open[2]?.flaw).toBe("In line 3, a quote is opened and never closed.");
  });

  test("of other lengths than the heading are given as they stand", async () => {
    expect(await cells("a,b\n1\n1,2,3\n")).toEqual([["a", "b"], ["1"], ["1", "2", "3"]]);
  });

  test("of a file that a library writes are what was written", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.string({ unit: anyUnit }), { minLength: 2, maxLength: 4 }), { maxLength: 20 }),
        fc.constantFrom(",", ";", "\t"),
        fc.integer({ min: 1, max: 50 }),
        async (rows, delimiter, size) => {
          const text = stringify(rows, { delimiter, quoted: true });
          expect(await cells(text, { delimiter, size })).toEqual(rows);
        },
      ),
    );
  });

  test("of any text hold each of its lines once, and are the same however it is cut", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: anyUnit, maxLength: 12 }), { maxLength: 50 }),
        fc.integer({ min: 1, max: 9 }),
        async (lines, size) => {
          const text = lines.join("\n");
          const records = await read(text, { size });
          expect(records).toEqual(await read(text, { size: 100_000 }));
          // every letter stands in a record, in the order of the text
          const letters = (all: string) => all.replaceAll(/[^a-z]/g, "");
          expect(letters(records.flatMap((record) => record.cells).join(""))).toBe(letters(text));
        },
      ),
    );
  });

  test("are read in a time that grows with the file, whatever its quotes", async () => {
    for (const line of ['"""x', '"a"b,', '"x', 'y "z', '""b,', 'a,"', '"a b"c'])
      await read(`${line}\n`.repeat(20_000), { size: 256 * 1024 });
    await read('"a"b,'.repeat(200_000), { size: 256 * 1024 });
    await read('""b,'.repeat(200_000), { size: 256 * 1024 });
  }, 20_000);
});
const anyUnit = fc.constantFrom("a", "b", "z", '"', '""', ",", ";", " ", "\t", "é", "'");

test("line breaks of all systems are counted", () => {
  expect(countLines(Buffer.from("a\nb\r\nc\rd"))).toBe(3);
  expect(countLines(Buffer.from("a\r"))).toBe(1);
});

test.each([
  ["=1+1", "'=1+1"],
  ["+91 98", "'+91 98"],
  ["-5", "'-5"],
  ["@SUM(A1)", "'@SUM(A1)"],
  ["\t=1", "'\t=1"],
  ["a=1", "a=1"],
  ["", ""],
])("the cell %j is written as %j, which no spreadsheet takes for a formula", (cell, inert) => {
  expect(inertCell(cell)).toBe(inert);
});

test.each(["=1+1", "+91 98", "-5", "@SUM(A1)", "\t=1", "a=1", "", "'a", "'=1", "''@"])(
  "the cell %j is read back as it was before that",
  (cell) => {
    expect(armedCell(inertCell(cell))).toBe(cell);
  },
);
