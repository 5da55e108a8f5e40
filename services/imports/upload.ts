import { Readable } from "node:stream";
import { v7 as uuidv7 } from "uuid";
import type { Database } from "../../mixins/database/database.ts";
import {
  countLines,
  detectFormat,
  firstInvalidByte,
  foreignKind,
  requireText,
  unfinishedTail,
} from "./csv.rules.ts";
import {
  fileEmpty,
  fileMissing,
  fileNotUtf8,
  fileTooLarge,
  fileUnsupported,
  mappingInvalid,
  mappingNamesUnknownColumn,
  uploadBrokeOff,
} from "./imports.errors.ts";
import { deferChunk, deleteImport, insertUpload } from "./imports.repository.ts";
import {
  mappingErrors,
  resolveMapping,
  unknownColumns,
  type ColumnTargets,
  type Mapping,
} from "./mapping.rules.ts";

/** Bytes of one row of import_chunks: what the upload and the reading of a file hold in memory. */
export const chunkBytes = 256 * 1024;
/** Largest file. */
export const maxFileMegabytes = 200;

/** What the uploader asks for. */
export interface UploadRequest {
  organizationId: string;
  createdBy: string | null;
  fileName: string;
  mapping: Mapping;
  onDuplicate: string;
  isDryRun: boolean;
}

/**
 * Stores a file as an import in status `uploading`, chunk by chunk, each in a transaction of its own: any node
 * can go on from there, and no transaction lasts as long as the upload. What is refused leaves nothing behind;
 * when this process dies on the way, the pollers delete the rest after an hour.
 * @returns id of the import
 * @throws 400 when the upload breaks off, 413, 415 for what is not text, 422 for another encoding or heading
 */
export async function storeUpload(
  database: Database,
  file: unknown,
  request: UploadRequest,
): Promise<string> {
  if (!(file instanceof Readable)) throw fileMissing();
  // an error of the stream after the last read belongs to nobody, and would end the process
  file.on("error", () => undefined);
  const chunks = textChunks(file);
  try {
    const errors = mappingErrors(request.mapping);
    if (errors.length > 0) throw mappingInvalid(errors);
    const first = await chunks.next();
    if (first.done) throw fileEmpty();
    const upload = { ...request, id: uuidv7(), mapping: readHeading(first.value, request.mapping) };
    const { organizationId } = request;
    await database.transaction({ organizationId }, (tx) => insertUpload(tx, upload));
    try {
      let position = 0;
      for (let next: IteratorResult<Buffer> = first; !next.done; next = await chunks.next()) {
        const bytes = next.value;
        await database.transaction({ organizationId }, (tx) =>
          Promise.resolve(deferChunk(tx, upload.id, position++, bytes)),
        );
      }
    } catch (error) {
      await discardUpload(database, organizationId, upload.id);
      throw error;
    }
    return upload.id;
  } finally {
    file.destroy();
  }
}

/** Deletes an import that is still `uploading`. */
export const discardUpload = (
  database: Database,
  organizationId: string,
  importId: string,
): Promise<number> => database.transaction({ organizationId }, (tx) => deleteImport(tx, importId));

function readHeading(head: Buffer, mapping: Mapping): ColumnTargets {
  const { columns } = detectFormat(head, head.length < chunkBytes, Object.keys(mapping));
  const unknown = unknownColumns(mapping, columns);
  if (unknown.length > 0) throw mappingNamesUnknownColumn(unknown, columns);
  const targets = resolveMapping(columns, mapping);
  if (!Array.isArray(targets)) throw mappingInvalid([targets]);
  return targets;
}

const lf = 10;
const cr = 13;

/** The file in chunks of equal size, known to be UTF-8 text. */
async function* textChunks(file: Readable): AsyncGenerator<Buffer, undefined> {
  let offset = 0;
  let line = 1;
  let endsInCr = false;
  let carried = Buffer.alloc(0);
  for await (const bytes of equalChunks(file)) {
    if (offset === 0) {
      const kind = foreignKind(bytes);
      if (kind !== undefined) throw fileUnsupported(kind);
    }
    requireText(bytes, offset);
    const isLast = bytes.length < chunkBytes;
    const text = carried.length > 0 ? Buffer.concat([carried, bytes]) : bytes;
    const tail = isLast ? 0 : unfinishedTail(text);
    const invalid = firstInvalidByte(text.subarray(0, text.length - tail));
    if (invalid !== -1)
      throw fileNotUtf8(offset - carried.length + invalid, line + countLines(text.subarray(0, invalid)));
    carried = Buffer.from(text.subarray(text.length - tail));
    line += countLines(bytes) - (endsInCr && bytes[0] === lf ? 1 : 0);
    endsInCr = bytes.at(-1) === cr;
    offset += bytes.length;
    yield bytes;
  }
  if (carried.length > 0) throw fileNotUtf8(offset - carried.length, line);
}

/** Joins and cuts what arrives to chunks of `chunkBytes`; only the last is shorter. */
async function* equalChunks(file: Readable): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let size = 0;
  let total = 0;
  try {
    for await (const piece of file as AsyncIterable<Buffer | string>) {
      const bytes = Buffer.from(piece as Buffer);
      total += bytes.length;
      if (total > maxFileMegabytes * 1024 * 1024) throw fileTooLarge(maxFileMegabytes);
      waiting.push(bytes);
      size += bytes.length;
      if (size < chunkBytes) continue;
      const joined = Buffer.concat(waiting);
      let at = 0;
      for (; at + chunkBytes <= joined.length; at += chunkBytes) yield joined.subarray(at, at + chunkBytes);
      waiting = at < joined.length ? [joined.subarray(at)] : [];
      size = joined.length - at;
    }
  } catch (error) {
    throw (error as { type?: string }).type === "FILE_TOO_LARGE" ? error : uploadBrokeOff();
  }
  if (size > 0) yield Buffer.concat(waiting);
}
