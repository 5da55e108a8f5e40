import { isUtf8 } from "node:buffer";
import { parse } from "csv-parse/sync";
import { fileUnsupported, headingUnusable } from "./imports.errors.ts";

/** Longest record of a file, in bytes. */
export const maxRecordBytes = 1024 * 1024;
/** Most columns of a file. */
export const maxColumns = 500;
const maxNameLength = 200;

/** How a file is written: what separates its cells, and its columns in order. */
export interface CsvFormat {
  delimiter: string;
  columns: string[];
}

/** Options of csv-parse that every reading of a file shares; quoting follows RFC 4180 strictly. */
export const parseOptions = (delimiter: string) => ({
  delimiter,
  bom: true,
  // named, because the parser would take the first line's for all: files are edited on several systems
  record_delimiter: ["\r\n", "\n", "\r"],
  relax_column_count: true,
  skip_empty_lines: true,
  max_record_size: maxRecordBytes,
});

const signatures: readonly [bytes: string, kind: string][] = [
  ["d0cf11e0a1b11ae1", "an old Excel workbook (XLS)"],
  ["1f8b", "a gzip archive"],
  ["377abcaf271c", "a 7z archive"],
  ["526172211a07", "a RAR archive"],
  ["fd377a585a00", "an xz archive"],
  ["28b52ffd", "a Zstandard archive"],
  ["25504446", "a PDF document"],
  ["89504e47", "a PNG image"],
  ["ffd8ff", "a JPEG image"],
  ["47494638", "a GIF image"],
  ["fffe", "UTF-16 text"],
  ["feff", "UTF-16 text"],
  ["7f454c46", "a program"],
];

/** What a file that begins with `head` is, with its article, if it is surely not CSV. */
export function foreignKind(head: Buffer): string | undefined {
  if (["504b0304", "504b0506"].includes(head.toString("hex", 0, 4)))
    return head.includes("[Content_Types].xml") || head.includes("xl/")
      ? "an Excel workbook (XLSX, a ZIP archive)"
      : "a ZIP archive";
  const start = head.toString("hex", 0, 8);
  const known = signatures.find(([bytes]) => start.startsWith(bytes));
  if (known) return known[1];
  const text = head
    .toString("utf8", 0, 200)
    .replace(/^\ufeff/, "")
    .trimStart()
    .toLowerCase();
  if (/^(<!doctype|<html|<\?xml)/.test(text)) return "a web page or XML document";
  if (/^(\{|\[\s*[[{])/.test(text)) return "JSON";
  return undefined;
}

/** @throws 415 when bytes of a file, from position `offset` on, cannot be text */
export function requireText(bytes: Buffer, offset: number): void {
  const nul = bytes.indexOf(0);
  if (nul !== -1) throw fileUnsupported(`a binary file (a NUL byte at position ${offset + nul})`);
}

/** Bytes at the end of `bytes` that begin a character whose rest is missing: 0 to 3. */
export function unfinishedTail(bytes: Buffer): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back] as number;
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? back : 0;
  }
  return 0;
}

/** Position of the first byte that is not UTF-8, or -1. A character cut off at the end is not UTF-8 either. */
export function firstInvalidByte(bytes: Buffer): number {
  if (isUtf8(bytes)) return -1;
  // the longest valid prefix, by halving; a prefix may end inside a character
  const isValid = (length: number) => {
    const prefix = bytes.subarray(0, length);
    return isUtf8(prefix.subarray(0, length - unfinishedTail(prefix)));
  };
  let valid = 0;
  let invalid = bytes.length + 1;
  while (invalid - valid > 1) {
    const middle = (valid + invalid) >> 1;
    if (isValid(middle)) valid = middle;
    else invalid = middle;
  }
  return valid - unfinishedTail(bytes.subarray(0, valid));
}

const delimiters = [",", ";", "\t", "|"];
const otherSeparators = /[:^~#!*¦§]|[\x01-\x08\x0e-\x1f]/;

/**
 * Finds how a file is written by its heading: the separator under which most of the `expected` columns are
 * found and, among those, the one that gives most columns.
 * @param head the file's first bytes
 * @param isWhole whether that is all of it
 * @throws 422 saying what is wrong with the heading
 */
export function detectFormat(head: Buffer, isWhole: boolean, expected: readonly string[]): CsvFormat {
  if (!isWhole && !head.includes("\n") && !head.includes("\r"))
    throw headingUnusable(
      "HEADING_TOO_LONG",
      `The first line is longer than ${head.length / 1024} KB; is this CSV?`,
    );
  let failure: string | undefined;
  let best: (CsvFormat & { found: number }) | undefined;
  for (const delimiter of delimiters) {
    let names: string[];
    try {
      const [first] = parse(head, { ...parseOptions(delimiter), to: 1 });
      if (first === undefined) continue;
      names = first;
    } catch (error) {
      failure ??= `The heading cannot be read: ${csvFailure(error)}`;
      continue;
    }
    const columns = names.map((name, index) => name.trim() || `column ${index + 1}`);
    const found = expected.filter((name) => columns.includes(name)).length;
    if (!best || found > best.found || (found === best.found && columns.length > best.columns.length))
      best = { delimiter, columns, found };
  }
  if (!best)
    throw headingUnusable(
      "HEADING_UNREADABLE",
      failure ?? "The file has no heading; its first line must name the columns.",
    );
  requireUsable(best.columns);
  return { delimiter: best.delimiter, columns: best.columns };
}

function requireUsable(columns: string[]): void {
  const [only = ""] = columns;
  if (columns.length === 1 && otherSeparators.test(only))
    throw headingUnusable(
      "DELIMITER_UNKNOWN",
      `The heading "${only.slice(0, 100)}" is one column; separate columns with comma, semicolon, tab or |.`,
    );
  if (columns.length > maxColumns)
    throw headingUnusable(
      "TOO_MANY_COLUMNS",
      `The file has ${columns.length} columns; ${maxColumns} are allowed.`,
    );
  const twice = columns.find((name, index) => columns.indexOf(name) !== index);
  if (twice !== undefined)
    throw headingUnusable(
      "DUPLICATE_COLUMN",
      `The heading names the column "${twice}" twice; names must differ.`,
    );
  const long = columns.find((name) => name.length > maxNameLength);
  if (long !== undefined)
    throw headingUnusable(
      "COLUMN_NAME_TOO_LONG",
      `The column name "${long.slice(0, 40)}…" is longer than ${maxNameLength} characters; is the first line a heading?`,
    );
}

/** Why csv-parse gave up on a record, for the person who made the file. */
export function csvFailure(error: unknown): string {
  const { code, message } = error as { code?: string; message: string };
  switch (code) {
    case "CSV_QUOTE_NOT_CLOSED":
      return "a quote is opened and never closed.";
    case "CSV_MAX_RECORD_SIZE":
      return "the record is larger than 1 MB; perhaps a quote is not closed.";
    case "CSV_INVALID_CLOSING_QUOTE":
      return 'text follows a closing quote; inside a quoted cell, write a quote twice ("").';
    case "INVALID_OPENING_QUOTE":
      return 'a quote stands inside an unquoted cell; quote the cell and write the quote twice ("").';
    default:
      return message;
  }
}

/** Line breaks in `bytes`: LF, CRLF or CR. */
export function countLines(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, at + 1)) count++;
  for (let at = bytes.indexOf(13); at !== -1; at = bytes.indexOf(13, at + 1))
    if (bytes[at + 1] !== 10) count++;
  return count;
}

/** A cell that no spreadsheet takes for a formula (OWASP, CSV injection). */
export const inertCell = (cell: string): string => (/^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell);
