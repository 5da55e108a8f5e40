import { parse } from "csv-parse/sync";
import { headingUnusable } from "./imports.errors.ts";

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

/** A cell that no spreadsheet takes for a formula (OWASP, CSV injection). */
export const inertCell = (cell: string): string => (/^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell);
