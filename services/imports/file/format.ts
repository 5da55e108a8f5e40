import { headingUnusable } from "../imports.errors.ts";
import { decodedHead, encodingOf, type Encoding } from "./encoding.ts";
import { RecordReader, withoutSeparatorLine, type FileRecord } from "./records.ts";

/** Most columns of a file. */
export const maxColumns = 500;
const maxNameLength = 200;

/** How a file is written: its characters, what separates its cells, and its columns in order, each with a name of its own. */
export interface FileFormat {
  encoding: Encoding;
  delimiter: string;
  columns: string[];
}

/** What is known of a file beforehand. */
export interface Expectation {
  /** Columns that a mapping names. */
  columns?: readonly string[];
  /** Whether a heading is one that files use. */
  isKnown?: (heading: string) => boolean;
  delimiter?: string | undefined;
  encoding?: Encoding | undefined;
}

const delimiters = [",", ";", "\t", "|"];
const otherSeparators = /[:^~#!*¦§]|[\x01-\x08\x0e-\x1f]/;
/** By so many records a separator is judged. */
const sampledRecords = 200;

/**
 * Finds how a file is written. The separator is what a first line `sep=;` says, else the one under which most of the expected
 * columns are found and, among those, the one that cuts most rows as it cuts the heading.
 * @param head the file's first bytes
 * @param isWhole whether that is all of it
 * @throws 422 saying what is wrong with the heading
 */
export function detectFormat(head: Buffer, isWhole: boolean, expected: Expectation = {}): FileFormat {
  const encoding = expected.encoding ?? encodingOf(head, true) ?? "utf-8";
  const { text, delimiter: told } = withoutSeparatorLine(decodedHead(head, encoding));
  if (!isWhole && !/[\n\r]/.test(text))
    throw headingUnusable(
      "HEADING_TOO_LONG",
      `The first line is longer than ${head.length / 1024} KB; is this CSV?`,
    );
  const given = expected.delimiter ?? told;
  const [best] = (given === undefined ? delimiters : [given])
    .flatMap((delimiter) => judge(text, isWhole, delimiter, expected) ?? [])
    .sort(byMerit);
  if (!best)
    throw headingUnusable(
      "HEADING_UNREADABLE",
      "The file has no heading; its first line must name the columns.",
    );
  const { heading, delimiter } = best;
  if (heading.flaw !== undefined)
    throw headingUnusable("HEADING_UNREADABLE", `The heading cannot be read: ${heading.flaw}`);
  requireUsable(heading.cells, given !== undefined);
  return { encoding, delimiter, columns: columnNames(heading.cells) };
}

interface Candidate {
  delimiter: string;
  heading: FileRecord;
  /** In the order in which they count; more is better. */
  merits: number[];
}

function judge(
  text: string,
  isWhole: boolean,
  delimiter: string,
  expected: Expectation,
): Candidate | undefined {
  const [heading, ...rows] = new RecordReader(delimiter).read(text, isWhole).slice(0, sampledRecords + 1);
  if (heading === undefined) return undefined;
  const names = heading.cells.map((name) => name.trim());
  const isKnown = expected.isKnown ?? (() => false);
  const isAlike = ({ cells, flaw }: FileRecord) => flaw === undefined && cells.length === names.length;
  // one column is no proof of a separator: nothing is separated
  const alike = names.length === 1 ? 0 : rows.filter(isAlike).length;
  return {
    delimiter,
    heading,
    merits: [
      (expected.columns ?? []).filter((name) => names.includes(name)).length,
      // within a tenth of the rows two separators are alike, and the headings decide
      rows.length === 0 ? 0 : Math.round((10 * alike) / rows.length),
      names.filter(isKnown).length,
      names.length,
      -rows.filter(({ cells }) => cells.length > names.length).length,
    ],
  };
}

function byMerit(a: Candidate, b: Candidate): number {
  const place = a.merits.findIndex((merit, index) => merit !== b.merits[index]);
  return place === -1 ? 0 : (b.merits[place] ?? 0) - (a.merits[place] ?? 0);
}

function requireUsable(cells: readonly string[], isTold: boolean): void {
  const [only = ""] = cells;
  if (cells.length === 1 && !isTold && otherSeparators.test(only))
    throw headingUnusable(
      "DELIMITER_UNKNOWN",
      `The heading "${only.slice(0, 100)}" is one column; separate columns with comma, semicolon, tab or |, or name the separator in \`delimiter\`.`,
    );
  if (cells.length > maxColumns)
    throw headingUnusable(
      "TOO_MANY_COLUMNS",
      `The file has ${cells.length} columns; ${maxColumns} are allowed.`,
    );
  const long = cells.find((name) => name.trim().length > maxNameLength);
  if (long !== undefined)
    throw headingUnusable(
      "COLUMN_NAME_TOO_LONG",
      `The column name "${long.slice(0, 40)}…" is longer than ${maxNameLength} characters; is the first line a heading?`,
    );
  if (cells.some((name) => /^\S+@\S+\.\S+$/.test(name.trim())))
    throw headingUnusable(
      "HEADING_MISSING",
      "A cell of the first line is an email address: it seems to be a row. The first line must name the columns.",
    );
}

/** The first two columns of the file of rejected rows. */
export const reportColumns = ["row", "reason"] as const;

/** Whether a file is one of rejected rows, mended: what those two columns hold is ours. */
export const isReport = (columns: readonly string[]): boolean =>
  reportColumns.every((name, index) => unnumbered(columns[index] ?? "") === name);

/** Each column by a name that no other has: a heading that stands twice is counted, one that is empty named by its place. */
function columnNames(headings: readonly string[]): string[] {
  const trimmed = headings.map((heading) => cleaned(heading));
  const names = new Array<string>(trimmed.length);
  const taken = new Set<string>();
  const own = isReport(trimmed) ? reportColumns.length : 0;
  // what the report has added gives way to the file's own columns
  for (const index of [...trimmed.keys()].toSorted((a, b) => Number(a < own) - Number(b < own) || a - b)) {
    const heading = trimmed[index] || `column ${index + 1}`;
    let name = heading;
    for (let copy = 2; taken.has(name) || (copy > 2 && trimmed.includes(name)); copy++)
      name = `${heading} (${copy})`;
    taken.add(name);
    names[index] = name;
  }
  return names;
}

const unnumbered = (name: string): string => name.replace(/ \(\d+\)$/, "");
/** Without what no name holds and what cannot be stored: control characters and halves of characters. */
const cleaned = (heading: string): string =>
  heading
    .replaceAll(/[\0-\x1f\x7f]/g, " ")
    .toWellFormed()
    .trim();
