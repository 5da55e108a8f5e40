import type { Readable } from "node:stream";

/** Bounds of a stream that comes from outside, and what to throw beyond them. */
export interface ChunkOptions {
  chunkBytes: number;
  maxBytes: number;
  tooLarge: () => Error;
  /** The stream failed before its end. */
  brokeOff: () => Error;
}

/**
 * Joins and cuts what arrives to chunks of `chunkBytes`; only the last is shorter. Holds no more than that, and
 * what came at once.
 */
export async function* equalChunks(file: Readable, options: ChunkOptions): AsyncGenerator<Buffer> {
  const { chunkBytes, maxBytes } = options;
  let waiting: Buffer[] = [];
  let size = 0;
  let total = 0;
  try {
    for await (const piece of file as AsyncIterable<Buffer | string>) {
      const bytes = Buffer.from(piece as Buffer);
      total += bytes.length;
      if (total > maxBytes) break;
      waiting.push(bytes);
      size += bytes.length;
      if (size < chunkBytes) continue;
      const joined = Buffer.concat(waiting);
      let at = 0;
      for (; at + chunkBytes <= joined.length; at += chunkBytes) yield joined.subarray(at, at + chunkBytes);
      waiting = at < joined.length ? [joined.subarray(at)] : [];
      size = joined.length - at;
    }
  } catch {
    throw options.brokeOff();
  }
  if (total > maxBytes) throw options.tooLarge();
  if (size > 0) yield Buffer.concat(waiting);
}
