import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { foreignKind } from "../../mixins/upload/foreign-kind.ts";
import { countLines, firstInvalidByte, unfinishedTail } from "../../mixins/upload/text.ts";
import { csvRecords } from "../../services/imports/csv-records.ts";
import { detectFormat, inertCell } from "../../services/imports/csv.rules.ts";

const format = (text: string, expected: string[] = []) => detectFormat(Buffer.from(text), true, expected);
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
async function read(text: string, { size = 7, delimiter = "," } = {}) {
  const records: string[][] = [];
  let failure: string | undefined;
  try {
    for await (const some of csvRecords(pieces(text, size), delimiter)) records.push(...some);
  } catch (error) {
    failure = (error as Error).message;
  }
  return { records, failure };
}

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
    ["89504e470d0a1a0a", "a PNG image"],
    ["fffe4500", "UTF-16 text"],
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

describe("the heading", () => {
  test.each([
    ["Email,Name\na@b.c,x", ",", ["Email", "Name"]],
    ["Email;Name\na@b.c;x", ";", ["Email", "Name"]],
    ["Email\tName\r\n", "\t", ["Email", "Name"]],
    ["Email|Name\r", "|", ["Email", "Name"]],
    ['\ufeff"Email","Last, First"\n', ",", ["Email", "Last, First"]],
    ["\n\r\n Email , ,Name", ",", ["Email", "column 2", "Name"]],
    ["Email", ",", ["Email"]],
  ])("of %j names the columns", (text, delimiter, columns) => {
    expect(format(text)).toEqual({ delimiter, columns });
  });

  test("is read with the separator that gives the mapped columns, even if another gives more", () => {
    const text = "Name, first, middle, last;Email\n";
    expect(format(text).delimiter).toBe(",");
    expect(format(text, ["Email"])).toEqual({
      delimiter: ";",
      columns: ["Name, first, middle, last", "Email"],
    });
  });

  test.each([
    ["Email^Name^Phone\na^b^c", /^DELIMITER_UNKNOWN: .*"Email\^Name\^Phone" is one column/],
    ["Email:Name", /^DELIMITER_UNKNOWN/],
    ["Email,Name,Email", /^DUPLICATE_COLUMN: .*"Email" twice/],
    ['Email,"Name\na,b', /^HEADING_UNREADABLE: .*never closed/],
    ["\n\n", /^HEADING_UNREADABLE: The file has no heading/],
    ["\ufeff", /^HEADING_UNREADABLE/],
    [`Email,${"x".repeat(201)}`, /^COLUMN_NAME_TOO_LONG/],
    [Array.from({ length: 501 }, (_, i) => `c${i}`).join(","), /^TOO_MANY_COLUMNS: The file has 501/],
  ])("of case %# is refused in words", (text, message) => {
    expect(refusal(() => format(text))).toMatch(message);
  });

  test("must end within the first chunk", () => {
    expect(refusal(() => detectFormat(Buffer.alloc(1024, "x"), false, []))).toMatch(/^HEADING_TOO_LONG/);
  });
});

describe("records", () => {
  test("are the same however the file is cut, with LF, CRLF and CR mixed", async () => {
    const text = '\ufeffa,b\r\n1,"x\r\n""y"\n\n2,ü\r3,z';
    const expected = {
      records: [
        ["a", "b"],
        ["1", 'x\r\n"y'],
        ["2", "ü"],
        ["3", "z"],
      ],
      failure: undefined,
    };
    for (const size of [1, 2, 3, 5, 1000]) expect(await read(text, { size })).toEqual(expected);
  });

  test("before a broken one are given, and the line where it begins is named", async () => {
    const unclosed = 'a,b\r\n1,"x\r\ny"\r\n2,"z\r\n3,w\r\n';
    for (const size of [1, 4, 1000]) {
      const { records, failure } = await read(unclosed, { size });
      expect(records).toEqual([
        ["a", "b"],
        ["1", "x\r\ny"],
      ]);
      expect(failure).toBe("In line 4, a quote is opened and never closed.");
    }
    expect(await read('a,b\n1,2\n3,4"x\n5,6')).toEqual({
      records: [
        ["a", "b"],
        ["1", "2"],
      ],
      failure: expect.stringContaining("In line 3, a quote stands inside an unquoted cell"),
    });
    expect((await read('a\n"1"2\n')).failure).toContain("In line 2, text follows a closing quote");
  });

  test("may be 1 MB long and no longer", async () => {
    const atLimit = "x".repeat(1024 * 1024 - 2);
    expect((await read(`a,b\n1,${atLimit}\n`, { size: 65536 })).records[1]?.[1]).toHaveLength(atLimit.length);
    const { records, failure } = await read(`a,b\n1,2\n3,"${"y\n".repeat(600_000)}`, { size: 65536 });
    expect(records).toEqual([
      ["a", "b"],
      ["1", "2"],
    ]);
    expect(failure).toMatch(/^In line 3, the record is larger than 1 MB/);
  });

  test("of other lengths than the heading are given as they stand", async () => {
    expect((await read("a,b\n1\n1,2,3\n")).records).toEqual([["a", "b"], ["1"], ["1", "2", "3"]]);
  });
});

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
