import type { FileRecord } from "./file/records.ts";

/** A record of the file with its place; the first after the heading is 1. */
export interface NumberedRow extends FileRecord {
  rowNumber: number;
}

/** A batch ends with its `rows`th row, or before the row that would make it larger than `bytes`. */
export interface BatchLimits {
  rows: number;
  bytes: number;
}

/** Bytes of a row's text. */
export const textBytes = (cells: readonly string[]): number =>
  cells.reduce((sum, cell) => sum + Buffer.byteLength(cell), 0);

/**
 * Cuts rows into batches, in order; a row over the limit makes a batch of its own.
 * @param sizeOf bytes a row counts for
 */
export function* cut(
  rows: Iterable<NumberedRow>,
  limits: BatchLimits,
  sizeOf: (cells: readonly string[]) => number,
): Generator<NumberedRow[]> {
  let batch: NumberedRow[] = [];
  let bytes = 0;
  for (const row of rows) {
    const size = sizeOf(row.cells);
    if (batch.length > 0 && (batch.length === limits.rows || bytes + size > limits.bytes)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(row);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

/** Joins what the reader gives to groups, without the heading and the first `skip` rows. */
export async function* groups(
  records: AsyncIterable<FileRecord[]>,
  skip: number,
  limits: BatchLimits,
): AsyncGenerator<NumberedRow[]> {
  let group: NumberedRow[] = [];
  let bytes = 0;
  let rowNumber = -1;
  for await (const some of records)
    for (const row of some) {
      rowNumber++;
      if (rowNumber <= skip) continue;
      group.push({ ...row, rowNumber });
      bytes += textBytes(row.cells);
      if (group.length < limits.rows && bytes < limits.bytes) continue;
      yield group;
      group = [];
      bytes = 0;
    }
  if (group.length > 0) yield group;
}
