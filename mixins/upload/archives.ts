import { createReadStream } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import type { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createInflateRaw } from "node:zlib";
import { isUnsafeEntryName } from "./file-name.ts";
import { archiveUnsafe } from "./upload.errors.ts";

export interface ArchiveLimits {
  /** Default 2,000. */
  maxEntries?: number;
  /** Of all entries together, unpacked. Default 256 MiB. */
  maxUnpackedBytes?: number;
  /** Unpacked to packed, of the whole. Default 200; DEFLATE reaches 1,032. */
  maxRatio?: number;
}

interface Entry {
  name: string;
  method: number;
  packed: number;
  unpacked: number;
  /** Where its local header begins. */
  start: number;
}

const stored = 0;
const deflated = 8;
const endRecordBytes = 22;
const longestComment = 0xffff;
const mostDirectoryBytes = 8 * 1024 * 1024;

/**
 * Checks a ZIP archive (and so DOCX, XLSX …) without unpacking it anywhere: one reading of its directory, which
 * must agree with the entries, and of each entry's data, of which only the length is kept. Archives within are not
 * opened: whoever opens one, checks it.
 * @throws 422 ARCHIVE_UNSAFE
 */
export async function requireSafeZip(path: string, size: number, limits: ArchiveLimits = {}): Promise<void> {
  const file = await open(path);
  try {
    const entries = await readDirectory(file, size, limits.maxEntries ?? 2_000);
    const unpacked = entries.reduce((sum, entry) => sum + entry.unpacked, 0);
    if (unpacked > mostUnpacked(size, limits)) throw archiveUnsafe("it unpacks to too much");
    for (const entry of entries) await requireTrueSize(file, path, entry);
  } finally {
    await file.close();
  }
}

/** Checks that a gzip file does not unpack to too much. @throws 422 ARCHIVE_UNSAFE */
export async function requireSafeGzip(path: string, size: number, limits: ArchiveLimits = {}): Promise<void> {
  await unpackedSize(createReadStream(path), createGunzip(), mostUnpacked(size, limits));
}

const mostUnpacked = (
  size: number,
  { maxUnpackedBytes = 256 * 1024 * 1024, maxRatio = 200 }: ArchiveLimits,
) => Math.min(maxUnpackedBytes, size * maxRatio);

/**
 * Reads the central directory (APPNOTE.TXT, 4.3.12 and 4.3.16). Only the plainest form is accepted: readers differ
 * over the others.
 */
async function readDirectory(file: FileHandle, size: number, maxEntries: number): Promise<Entry[]> {
  const tail = await readAt(file, Math.max(0, size - endRecordBytes - longestComment), size);
  const at = tail.lastIndexOf("PK\x05\x06", undefined, "latin1");
  if (at === -1 || at + endRecordBytes > tail.length) throw archiveUnsafe("it has no directory");
  const end = tail.subarray(at);
  const count = end.readUInt16LE(10);
  const [length, start] = [end.readUInt32LE(12), end.readUInt32LE(16)];
  if (end.readUInt16LE(20) !== end.length - endRecordBytes) throw archiveUnsafe("something follows it");
  if (end.readUInt32LE(4) !== 0 || end.readUInt16LE(8) !== count)
    throw archiveUnsafe("it is a part of several");
  if (count > maxEntries) throw archiveUnsafe("it has too many entries");
  if (length > mostDirectoryBytes || start + length !== size - end.length)
    throw archiveUnsafe("its directory is not where it should be");
  const entries = parseDirectory(await readAt(file, start, start + length), count);
  await requireNoOverlap(file, entries, start);
  return entries;
}

function parseDirectory(directory: Buffer, count: number): Entry[] {
  const entries: Entry[] = [];
  const names = new Set<string>();
  let at = 0;
  for (let index = 0; index < count; index++) {
    if (at + 46 > directory.length || directory.readUInt32LE(at) !== 0x02014b50)
      throw archiveUnsafe("its directory is broken");
    const nameEnd = at + 46 + directory.readUInt16LE(at + 28);
    const next = nameEnd + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
    if (next > directory.length) throw archiveUnsafe("its directory is broken");
    const name = directory.toString("utf8", at + 46, nameEnd);
    const isLink = ((directory.readUInt32LE(at + 38) >>> 16) & 0o170000) === 0o120000;
    if (isUnsafeEntryName(name) || isLink)
      throw archiveUnsafe("an entry would be unpacked outside of its folder");
    if (names.has(name.toLowerCase())) throw archiveUnsafe("two entries have the same name");
    names.add(name.toLowerCase());
    if ((directory.readUInt16LE(at + 8) & 0x2041) !== 0) throw archiveUnsafe("it is encrypted");
    entries.push({
      name,
      method: directory.readUInt16LE(at + 10),
      packed: directory.readUInt32LE(at + 20),
      unpacked: directory.readUInt32LE(at + 24),
      start: directory.readUInt32LE(at + 42),
    });
    at = next;
  }
  if (at !== directory.length) throw archiveUnsafe("its directory is broken");
  return entries;
}

/** Entries that share bytes multiply what they unpack to (Fifield, A better zip bomb, 2019). */
async function requireNoOverlap(file: FileHandle, entries: Entry[], directoryStart: number): Promise<void> {
  entries.sort((one, other) => one.start - other.start);
  if ((entries[0]?.start ?? 0) !== 0) throw archiveUnsafe("something stands before it");
  for (const [index, entry] of entries.entries()) {
    const end = (await dataStart(file, entry)) + entry.packed;
    if (end > (entries[index + 1]?.start ?? directoryStart)) throw archiveUnsafe("its entries overlap");
  }
}

/** Where the data of an entry begin, once its local header says the same as the directory. */
async function dataStart(file: FileHandle, { name, method, start }: Entry): Promise<number> {
  const header = await readAt(file, start, start + 30);
  if (header.length < 30 || header.readUInt32LE(0) !== 0x04034b50) throw archiveUnsafe("an entry is broken");
  const nameEnd = start + 30 + header.readUInt16LE(26);
  const localName = (await readAt(file, start + 30, nameEnd)).toString("utf8");
  if (localName !== name || header.readUInt16LE(8) !== method)
    throw archiveUnsafe("an entry is not what the directory says");
  return nameEnd + header.readUInt16LE(28);
}

async function requireTrueSize(file: FileHandle, path: string, entry: Entry): Promise<void> {
  const { method, packed, unpacked } = entry;
  if (method !== stored && method !== deflated) throw archiveUnsafe("an entry is packed in an unusual way");
  const start = await dataStart(file, entry);
  const size =
    method === stored || packed === 0
      ? packed
      : await unpackedSize(
          createReadStream(path, { start, end: start + packed - 1 }),
          createInflateRaw(),
          unpacked,
        );
  if (size !== unpacked) throw archiveUnsafe("an entry is not what the directory says");
}

/** Bytes that come out of `decoder`, of which none is kept. @throws 422 when they are more than `most` */
async function unpackedSize(packed: Readable, decoder: Transform, most: number): Promise<number> {
  let size = 0;
  let isTooMuch = false;
  try {
    await pipeline(packed, decoder, async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) {
        size += chunk.length;
        if ((isTooMuch = size > most)) return;
      }
    });
  } catch {
    if (!isTooMuch) throw archiveUnsafe("it is broken");
  }
  if (isTooMuch) throw archiveUnsafe("it unpacks to too much");
  return size;
}

async function readAt(file: FileHandle, start: number, end: number): Promise<Buffer> {
  const buffer = Buffer.alloc(end - start);
  const { bytesRead } = await file.read(buffer, 0, buffer.length, start);
  return buffer.subarray(0, bytesRead);
}
