import { isUtf8 } from "node:buffer";

const lf = 10;
const cr = 13;

/** Errors of a file that is not UTF-8 text. */
export interface TextErrors {
  /** @param position of a NUL byte */
  binary(position: number): Error;
  /** @param byte position of what is no character, @param line it stands in, from 1 */
  notUtf8(byte: number, line: number): Error;
}

/**
 * Passes the chunks of a file on, each once it is known to be UTF-8 text up to a character that its end cuts.
 * @param chunkBytes size of each but the last, which is shorter
 */
export async function* utf8Chunks(
  chunks: AsyncIterable<Buffer>,
  chunkBytes: number,
  errors: TextErrors,
): AsyncGenerator<Buffer, undefined> {
  let offset = 0;
  let line = 1;
  let endsInCr = false;
  let carried = Buffer.alloc(0);
  for await (const bytes of chunks) {
    const nul = bytes.indexOf(0);
    if (nul !== -1) throw errors.binary(offset + nul);
    const text = carried.length > 0 ? Buffer.concat([carried, bytes]) : bytes;
    const tail = bytes.length < chunkBytes ? 0 : unfinishedTail(text);
    const invalid = firstInvalidByte(text.subarray(0, text.length - tail));
    if (invalid !== -1)
      throw errors.notUtf8(offset - carried.length + invalid, line + countLines(text.subarray(0, invalid)));
    carried = Buffer.from(text.subarray(text.length - tail));
    line += countLines(bytes) - (endsInCr && bytes[0] === lf ? 1 : 0);
    endsInCr = bytes.at(-1) === cr;
    offset += bytes.length;
    yield bytes;
  }
  if (carried.length > 0) throw errors.notUtf8(offset - carried.length, line);
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

/** Line breaks in `bytes`: LF, CRLF or CR. */
export function countLines(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, at + 1)) count++;
  for (let at = bytes.indexOf(13); at !== -1; at = bytes.indexOf(13, at + 1))
    if (bytes[at + 1] !== 10) count++;
  return count;
}
