/** Longest record of a file, in characters. */
export const longestRecord = 1024 * 1024;

/** A record of the file. */
export interface FileRecord {
  cells: string[];
  /** Why the line cannot be read; `cells` are it, cut at every separator. */
  flaw?: string;
}

/**
 * Reads the records of a text, the heading first, as many at a time as end in one piece of it. No piece of text stops it: what
 * cannot be read is one line, given with its flaw, and the next line is a record again. (A library that ends at the first broken
 * record, or takes the rest of the file for one cell, would lose what follows.)
 *
 * Quoting is that of RFC 4180, and what people make of it: blanks around a quoted cell; a quote inside of a cell that does not
 * begin with one; a quote inside of a quoted cell that was not doubled, as no separator or line end follows it. A line break in
 * a quoted cell belongs to it, unless what follows shows that the quote was never meant to be open.
 */
export async function* readRecords(
  pieces: AsyncIterable<string>,
  delimiter: string,
): AsyncGenerator<FileRecord[]> {
  const reader = new RecordReader(delimiter);
  let isFirst = true;
  for await (const piece of pieces) {
    const records = reader.read(isFirst ? withoutSeparatorLine(piece).text : piece, false);
    isFirst = false;
    if (records.length > 0) yield records;
  }
  const last = reader.read("", true);
  if (last.length > 0) yield last;
}

/** Takes off a first line that tells spreadsheets the separator (`sep=;`), and answers what it tells. */
export function withoutSeparatorLine(text: string): { text: string; delimiter?: string } {
  const [line, delimiter] = /^"?sep=(.)"?[ \t]*(?:\r\n|\n|\r|$)/i.exec(text) ?? [];
  // its line stays, empty, so that lines are counted as they are in the file
  return line === undefined || delimiter === undefined
    ? { text }
    : { text: `\n${text.slice(line.length)}`, delimiter };
}

/** Reads records from text that comes in pieces; holds the record in hand. */
export class RecordReader {
  readonly #delimiter: string;
  #rest = "";
  /** Of the beginning of `#rest`, from 1. */
  #line = 1;
  /** In a line that is too long, until its end. */
  #isSkipping = false;

  constructor(delimiter: string) {
    this.#delimiter = delimiter;
  }

  read(piece: string, isEnd: boolean): FileRecord[] {
    const text = this.#rest === "" ? piece : this.#rest + piece;
    const records: FileRecord[] = [];
    let at = 0;
    while (at < text.length) {
      if (this.#isSkipping) {
        const end = lineEnd(text, at, isEnd);
        if (end === undefined) {
          // the last character may be half of a line end
          at = Math.max(at, text.length - 1);
          break;
        }
        at = end.next;
        this.#line++;
        this.#isSkipping = false;
        continue;
      }
      const whole = readRecord(text, at, this.#delimiter, isEnd);
      const isTooLong = (whole?.next ?? text.length) - at > longestRecord;
      const read = isTooLong ? this.#giveUp(text, at, isEnd) : whole;
      if (read === undefined) break;
      const { cells, flaw } = read;
      if (flaw !== undefined) records.push({ cells, flaw: `In line ${this.#line}, ${flaw}` });
      else if (cells.length > 1 || cells[0]?.trim() !== "") records.push({ cells });
      this.#line += read.lines;
      at = read.next;
    }
    this.#rest = isEnd ? "" : text.slice(at);
    return records;
  }

  /** The line at `at` alone: what begins there is larger than a record may be. */
  #giveUp(text: string, at: number, isEnd: boolean): Read {
    const line = lineEnd(text, at, isEnd);
    if (line && line.end - at <= longestRecord) return brokenLine(text, at, line, this.#delimiter);
    this.#isSkipping = true;
    return {
      ...{ cells: [text.slice(at, at + 100)], flaw: "the record is larger than 1 MB." },
      // its line end is looked for from here: the last character may be half of it
      ...{ lines: 0, next: line?.end ?? text.length - 1 },
    };
  }
}

interface Read extends FileRecord {
  /** Line ends in it, its own too. */
  lines: number;
  /** Where the next record begins. */
  next: number;
}

const quote = 34;
const isBlank = (code: number, delimiter: number): boolean =>
  (code === 32 || code === 160 || code === 9) && code !== delimiter;
const isLineEnd = (code: number): boolean => code === 10 || code === 13;

/** The record that begins at `start`; undefined when its end is not there yet. */
function readRecord(text: string, start: number, delimiter: string, isEnd: boolean): Read | undefined {
  const separator = delimiter.charCodeAt(0);
  const cells: string[] = [];
  let lines = 0;
  for (let at = start; ;) {
    let end = at;
    while (isBlank(text.charCodeAt(end), separator)) end++;
    if (end === text.length && !isEnd) return undefined;
    const quoted =
      text.charCodeAt(end) === quote ? readQuoted(text, end, separator, isEnd) : ("literal" as const);
    if (quoted === undefined) return undefined;
    if (quoted === "broken") {
      const line = lineEnd(text, start, isEnd);
      return line && brokenLine(text, start, line, delimiter);
    }
    if (quoted === "literal") {
      for (end = at; end < text.length; end++) {
        const code = text.charCodeAt(end);
        if (code === separator || code === 10 || code === 13) break;
      }
      cells.push(text.slice(at, end));
    } else {
      cells.push(quoted.cell);
      lines += quoted.lines;
      ({ end } = quoted);
    }
    if (text.charCodeAt(end) === separator) {
      at = end + 1;
      continue;
    }
    const line = lineEnd(text, end, isEnd);
    return line && { cells, lines: lines + 1, next: line.next };
  }
}

/**
 * The quoted cell that begins at `begin`. "literal": its quote is nothing but a character, as the cell goes on behind its
 * closing quote. "broken": its quote is never closed. undefined: its end is not there yet.
 */
function readQuoted(
  text: string,
  begin: number,
  separator: number,
  isEnd: boolean,
): { cell: string; lines: number; end: number } | "literal" | "broken" | undefined {
  let cell = "";
  let lines = 0;
  // a quote that was not doubled was seen in the first line
  let isStray = false;
  for (let at = begin + 1; ;) {
    const found = text.indexOf('"', at);
    lines += countBreaks(text, at, found === -1 ? text.length : found);
    if (isStray && lines > 0) return "literal";
    if (found === -1) {
      if (!isEnd) return undefined;
      return isStray ? "literal" : "broken";
    }
    let behind = found;
    while (text.charCodeAt(behind) === quote) behind++;
    let next = behind;
    while (isBlank(text.charCodeAt(next), separator)) next++;
    if (next === text.length && !isEnd) return undefined;
    const count = behind - found;
    const code = text.charCodeAt(next);
    const isAtBorder = next === text.length || code === separator || isLineEnd(code);
    if (count % 2 === 1 && isAtBorder)
      return { cell: cell + text.slice(at, found) + '"'.repeat((count - 1) / 2), lines, end: next };
    if (!isAtBorder && isAtCellStart(text, found, separator)) {
      // here another cell is opened
      if (isStray) return "literal";
      if (lines > 0 && count % 2 === 1) return "broken";
    }
    cell += text.slice(at, found) + '"'.repeat(Math.ceil(count / 2));
    if (count % 2 === 1 && lines === 0) isStray = true;
    at = behind;
  }
}

function isAtCellStart(text: string, at: number, separator: number): boolean {
  let before = at - 1;
  while (isBlank(text.charCodeAt(before), separator)) before--;
  const code = text.charCodeAt(before);
  return code === separator || isLineEnd(code);
}

function countBreaks(text: string, from: number, to: number): number {
  let count = 0;
  for (let at = from; at < to; at++) {
    const code = text.charCodeAt(at);
    if (code === 10 || (code === 13 && text.charCodeAt(at + 1) !== 10)) count++;
  }
  return count;
}

/** Where the line at `at` ends, and the next begins: LF, CRLF and CR, as files are edited on several systems. */
function lineEnd(text: string, at: number, isEnd: boolean): { end: number; next: number } | undefined {
  let end = at;
  while (end < text.length && !isLineEnd(text.charCodeAt(end))) end++;
  if (end === text.length) return isEnd ? { end, next: end } : undefined;
  if (text.charCodeAt(end) === 10) return { end, next: end + 1 };
  if (end + 1 === text.length && !isEnd) return undefined;
  return { end, next: text.charCodeAt(end + 1) === 10 ? end + 2 : end + 1 };
}

const brokenLine = (
  text: string,
  at: number,
  line: { end: number; next: number },
  delimiter: string,
): Read => ({
  cells: text.slice(at, line.end).split(delimiter),
  flaw: "a quote is opened and never closed.",
  lines: 1,
  next: line.next,
});
