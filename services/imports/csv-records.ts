import { parse } from "csv-parse";
import { appError } from "../../mixins/contract/errors.ts";
import { countLines } from "../../mixins/upload/text.ts";
import { csvFailure, parseOptions } from "./csv.rules.ts";

/** The file cannot be read further. Its message is for the person who made the file. */
export const unreadableFile = "IMPORT_FILE_UNREADABLE";

/**
 * Reads the records of a CSV file, the heading first, as many at a time as end in one chunk of it.
 * Records before a broken one are always given.
 * @throws IMPORT_FILE_UNREADABLE naming the line where the broken record begins
 */
export async function* csvRecords(
  chunks: AsyncIterable<Buffer>,
  delimiter: string,
): AsyncGenerator<string[][]> {
  let records: string[][] = [];
  let recordsEnd = 0;
  const parser = parse({
    ...parseOptions(delimiter),
    // taken here, because those waiting in the parser's own queue are lost when it fails
    on_record: (record: string[], { bytes }) => {
      records.push(record);
      recordsEnd = bytes;
      return null;
    },
  });
  let failure: Error | undefined;
  parser.on("error", (error) => (failure ??= error));
  const lines = new LineOfRecord();
  try {
    for await (const chunk of chunks) {
      await new Promise<void>((done) => parser.write(chunk, () => done()));
      lines.advance(chunk, recordsEnd);
      if (records.length > 0) yield records;
      records = [];
      if (failure) break;
    }
    if (!failure) {
      await new Promise<void>((done) => parser.end(() => done()));
      if (records.length > 0) yield records;
    }
    if (failure) throw appError(422, unreadableFile, `In line ${lines.line}, ${csvFailure(failure)}`);
  } finally {
    parser.destroy();
  }
}

/** Follows the line where the next record begins; the parser's own count is wrong after CRLF in quotes. */
class LineOfRecord {
  line = 1;
  /** The file from the end of the last record on. */
  #rest = Buffer.alloc(0);
  #restStart = 0;

  /** Takes the next chunk, and where the last record of the file so far ends. */
  advance(chunk: Buffer, recordsEnd: number): void {
    const known = Buffer.concat([this.#rest, chunk]);
    const passed = Math.max(recordsEnd - this.#restStart, 0);
    this.line += countLines(known.subarray(0, passed));
    this.#rest = Buffer.from(known.subarray(passed));
    this.#restStart += passed;
  }
}
