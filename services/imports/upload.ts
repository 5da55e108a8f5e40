import { Readable } from "node:stream";
import { v7 as uuidv7 } from "uuid";
import type { Database } from "../../mixins/database/database.ts";
import { equalChunks } from "../../mixins/upload/chunks.ts";
import { foreignKind } from "../../mixins/upload/foreign-kind.ts";
import { utf8Chunks } from "../../mixins/upload/text.ts";
import { detectFormat } from "./csv.rules.ts";
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

/** The file in chunks of equal size, known to be UTF-8 text. */
function textChunks(file: Readable): AsyncGenerator<Buffer, undefined> {
  const chunks = equalChunks(file, {
    chunkBytes,
    maxBytes: maxFileMegabytes * 1024 * 1024,
    tooLarge: () => fileTooLarge(maxFileMegabytes),
    brokeOff: uploadBrokeOff,
  });
  return utf8Chunks(ofNoForeignKind(chunks), chunkBytes, {
    binary: (position) => fileUnsupported(`a binary file (a NUL byte at position ${position})`),
    notUtf8: fileNotUtf8,
  });
}

async function* ofNoForeignKind(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let isFirst = true;
  for await (const bytes of chunks) {
    const kind = isFirst ? foreignKind(bytes) : undefined;
    if (kind !== undefined) throw fileUnsupported(kind);
    isFirst = false;
    yield bytes;
  }
}
