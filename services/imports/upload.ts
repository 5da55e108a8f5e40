import { Readable } from "node:stream";
import { v7 as uuidv7 } from "uuid";
import type { Database } from "../../mixins/database/database.ts";
import { equalChunks } from "../../mixins/upload/chunks.ts";
import { foreignKind } from "../../mixins/upload/foreign-kind.ts";
import { encodingOf, type Encoding } from "./file/encoding.ts";
import { detectFormat } from "./file/format.ts";
import {
  fileEmpty,
  fileMissing,
  fileTooLarge,
  fileUnsupported,
  mappingInvalid,
  mappingNamesUnknownColumn,
  uploadBrokeOff,
} from "./imports.errors.ts";
import {
  addOptions,
  deferChunk,
  deleteImport,
  insertUpload,
  type ImportOptions,
} from "./imports.repository.ts";
import {
  mappingErrors,
  resolveMapping,
  unknownColumns,
  type ColumnTargets,
  type Mapping,
} from "./mapping.rules.ts";
import { isKnownColumn, type KindTargets } from "./targets.ts";

/** Bytes of one row of import_chunks: what the upload and the reading of a file hold in memory. */
export const chunkBytes = 256 * 1024;
/** Largest file. */
export const maxFileMegabytes = 200;

/** What the uploader asks for. */
export interface UploadRequest {
  organizationId: string;
  createdBy: string | null;
  /** Of which records the file is, and what the uploader may fill of them. */
  targets: KindTargets;
  fileName: string;
  mapping: Mapping;
  onDuplicate: string;
  isDryRun: boolean;
  /** As far as the uploader names them. */
  options: ImportOptions;
}

/**
 * Stores a file as an import in status `uploading`, chunk by chunk, each in a transaction of its own: any node
 * can go on from there, and no transaction lasts as long as the upload. What is refused leaves nothing behind;
 * when this process dies on the way, the pollers delete the rest after an hour.
 * @returns id of the import
 * @throws 400 when the upload breaks off, 413, 415 for what is not text, 422 for a heading that cannot be used
 */
export async function storeUpload(
  database: Database,
  file: unknown,
  request: UploadRequest,
): Promise<string> {
  if (!(file instanceof Readable)) throw fileMissing();
  // an error of the stream after the last read belongs to nobody, and would end the process
  file.on("error", () => undefined);
  const judge = new EncodingJudge(request.options.encoding);
  const chunks = textChunks(file, judge);
  try {
    const errors = mappingErrors(request.targets, request.mapping);
    if (errors.length > 0) throw mappingInvalid(errors);
    const first = await chunks.next();
    if (first.done) throw fileEmpty();
    const { mapping, options } = readHeading(first.value, request);
    const upload = { ...request, id: uuidv7(), kind: request.targets.kind.name, mapping, options };
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
      const { encoding } = judge;
      if (encoding !== undefined && encoding !== options.encoding)
        await database.transaction({ organizationId }, (tx) => addOptions(tx, upload.id, { encoding }));
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

function readHeading(
  head: Buffer,
  { targets: known, mapping, options }: UploadRequest,
): { mapping: ColumnTargets; options: ImportOptions } {
  const { columns, delimiter, encoding } = detectFormat(head, head.length < chunkBytes, {
    columns: Object.keys(mapping),
    isKnown: isKnownColumn(known),
    delimiter: options.delimiter,
    encoding: options.encoding,
  });
  const unknown = unknownColumns([...Object.keys(mapping), ...Object.keys(options.values ?? {})], columns);
  if (unknown.length > 0) throw mappingNamesUnknownColumn(unknown, columns);
  const targets = resolveMapping(known, columns, mapping);
  if (!Array.isArray(targets)) throw mappingInvalid([targets]);
  return { mapping: targets, options: { ...options, delimiter, encoding } };
}

/** Finds the encoding of a file by the first chunk that shows it: the first umlaut may stand in the last row. */
class EncodingJudge {
  encoding: Encoding | undefined;
  #isFirst = true;

  constructor(given: Encoding | undefined) {
    this.encoding = given;
  }

  see(chunk: Buffer): void {
    this.encoding ??= encodingOf(chunk, this.#isFirst);
    this.#isFirst = false;
  }

  get isWide(): boolean {
    return this.encoding?.startsWith("utf-16") === true;
  }
}

/** The file in chunks of equal size, known to be text. */
async function* textChunks(file: Readable, judge: EncodingJudge): AsyncGenerator<Buffer, undefined> {
  const chunks = equalChunks(file, {
    chunkBytes,
    maxBytes: maxFileMegabytes * 1024 * 1024,
    tooLarge: () => fileTooLarge(maxFileMegabytes),
    brokeOff: uploadBrokeOff,
  });
  let offset = 0;
  for await (const bytes of chunks) {
    judge.see(bytes);
    const kind = offset === 0 && !judge.isWide ? foreignKind(bytes) : undefined;
    if (kind !== undefined) throw fileUnsupported(kind);
    const nul = judge.isWide ? -1 : bytes.indexOf(0);
    if (nul !== -1) throw fileUnsupported(`a binary file (a NUL byte at position ${offset + nul})`);
    offset += bytes.length;
    yield bytes;
  }
}
